"""This device's clock, held against the last moment at which the federation's metadata was verified.

Expiry means nothing on a clock that runs backwards (privacy rule 19).
"""

import time

from client.config import AgentHome
from shared.files import write_whole

SLACK_SECONDS = 600.0
"""How far a clock may be set back without being distrusted."""


def note(home: AgentHome) -> None:
    """Remember that it was now when the metadata was verified."""
    write_whole(home.clock_file, f"{time.time():.0f}".encode("ascii"))


def went_back(home: AgentHome, now: float) -> float:
    """By how many seconds `now` (Unix time) lies too far before that moment; 0 for a clock that can be trusted."""
    try:
        last = float(home.clock_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
    return last - now if last - now > SLACK_SECONDS else 0.0
