"""`covey-agent`: what a device's owner can do with the agent, in the groups that its help shows."""
