"""`covey-agent`: what a device's owner can do with the agent. Only what is asked for is imported."""

import os

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

from shared.endings import one_line


def main() -> None:
    """Run a command; whatever goes wrong is one line on stderr and exit status 1."""
    os.umask(0o077)  # whatever is written here is its owner's alone
    with one_line("covey-agent"):
        from client.cli.program import app

        app(prog_name="covey-agent")


if __name__ == "__main__":
    main()
