"""Which Covey this is: its released version, and the commit where it runs from a checkout."""

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PATIENCE_SECONDS = 5.0


@cache
def code_version() -> str:
    """`covey 0.1.0`, or `covey 0.1.0 (4f1d9a0b7c3e)` in a checkout, with `-dirty` where files differ from that commit."""
    released, commit = f"covey {metadata.version('covey')}", _commit(Path(__file__).parents[1])
    return f"{released} ({commit})" if commit else released


def _commit(folder: Path) -> str:
    """What git calls the folder's state; empty where it is no checkout of its own, or there is no git."""
    if not (folder / ".git").exists():
        return ""
    command = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)  # noqa: S603 - fixed words and our own folder
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
