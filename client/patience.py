"""When to try again, and when "no" is the answer: the device's side of a coordinator that comes and goes.

Pure decisions; `client/fleet.py` acts on them.
"""

import json
import time
from http import HTTPStatus
from random import Random
from threading import Event
from typing import Any, Literal, cast

from shared.errors import CoveyError

Link = Literal["starting", "online", "rejoining", "pending", "revoked", "unknown", "unreachable", "broken"]
"""How this device stands with the coordinator, in the word that `covey-agent status` shows."""

MEANING: dict[Link, str] = {
    "starting": "is starting",
    "online": "is online",
    "rejoining": "waits until the coordinator has noticed that its earlier process ended",
    "pending": "waits for the operator's approval",
    "revoked": "was revoked by the operator; predictions go on, training does not",
    "unknown": "is not known to the coordinator, or its clock is wrong",
    "unreachable": "cannot reach the coordinator and keeps trying",
    "broken": "cannot take part until its owner mends something; its log says what",
}

_LONGEST: dict[Link, float] = {"pending": 3.0, "rejoining": 2.0, "revoked": 60.0, "unknown": 15.0}
ABSENT_SECONDS = 300.0
"""The longest pause while the coordinator is away: for weeks, it is asked every few minutes."""

_SLICE_SECONDS = 5.0
_SLEPT_SECONDS = 30.0
_NODE_ACTIVATION_FAILED = 2004
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class Stopped(CoveyError):
    """The agent is stopping; whatever was going on is taken up at the next start."""


class Declined(CoveyError):
    """The coordinator answered, and asking again would not change the answer (a run that is over, say)."""


class Unrecognised(CoveyError):
    """The coordinator does not know this device's session; it must be opened anew."""


def verdict(status: int, body: bytes) -> Link:
    """Say why an answer of 300 or above may change by itself; raise `Declined` when it will not."""
    document = _document(body)
    reason = document.get("reason")
    if status == HTTPStatus.FORBIDDEN and reason in ("pending", "revoked"):
        return cast(Link, reason)
    if document.get("code") == _NODE_ACTIVATION_FAILED:
        return "rejoining"
    if status == HTTPStatus.UNAUTHORIZED:
        return "unknown"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY:
        return "unreachable"
    raise Declined(f"the coordinator declined with status {status}")


def pause(attempt: int, link: Link, *, random: Random) -> float:
    """Seconds to wait after a number of failed attempts: doubling, capped, and half of it at random.

    The random half keeps a fleet from coming back all at once after the coordinator's restart.
    """
    longest = min(_LONGEST.get(link, ABSENT_SECONDS), 0.2 * 2.0 ** min(attempt, 12))
    return longest * (0.5 + random.random() / 2)


def rest(stopping: Event, seconds: float) -> bool:
    """Wait, and return whether the agent stops; a machine that wakes from sleep does not sleep its pause out.

    A pause counts only time awake, so after a night it would go on where it was.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        asked, wall = min(left, _SLICE_SECONDS), time.time()
        if stopping.wait(asked):
            return True
        if abs(time.time() - wall - asked) > _SLEPT_SECONDS:
            break
    return stopping.is_set()


def _document(body: bytes) -> dict[str, Any]:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], document) if isinstance(document, dict) else {}
