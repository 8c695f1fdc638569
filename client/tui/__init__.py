"""`covey-agent tui`: the owner's window on the agent."""
