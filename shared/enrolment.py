"""The two short documents a device posts to Covey's own routes, beside Flower's fleet protocol.

`POST /covey/enrol` and `POST /covey/installed` each carry canonical JSON of one of these, under the
headers of `shared/signing.py`; an enrolment is signed by the very key that it names. Answers are JSON:
`{"state": "pending"}` or `{"reason": …, "detail": …}` with status 400, 401, 403, 404 or 413.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from shared import wire
from shared.health import Health

Bucket = Literal["0", "1", "2-4", "5+"]
"""How many more campaigns of a task's own training a device could pay for, as coarsely as it is ever told."""

BUCKETS: dict[Bucket, int] = {"0": 0, "1": 1, "2-4": 2, "5+": 5}
"""The fewest campaigns that each bucket stands for."""


MOST_HEALTH = 64
"""How many releases a device may speak of at once: far more tasks than it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolRequest:
    """A device asks to be let in: its name, its public key in PEM, and its invitation's token."""

    name: str
    public_key: str
    token: str

    def __post_init__(self) -> None:
        """Refuse a name that a terminal, a table or a path could trip over."""
        plain = self.name.replace("-", "").replace("_", "").replace(".", "")
        if not (plain.isascii() and plain.isalnum() and self.name[0].isalnum() and len(self.name) <= 64):
            raise ValueError(f"name must be up to 64 letters, digits, dots, hyphens or underscores, got {self.name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledReport:
    """Which release a device runs now (0: none), and what its self-test said; nothing computed from examples.

    `affords` says, by task, how many more campaigns fit the owner's budgets; it is empty unless the owner wants it told.
    `health` is how each release that the device was told to run fares on made-up records, also one that it refused.
    """

    release: int
    detail: str = ""
    affords: dict[str, Bucket] = field(default_factory=dict[str, Bucket], metadata=wire.LEFT_OUT_WHEN_EMPTY)
    health: tuple[Health, ...] = field(default=(), metadata=wire.LEFT_OUT_WHEN_EMPTY)

    def __post_init__(self) -> None:
        """Refuse what could not be shown in one line."""
        if self.release < 0:
            raise ValueError(f"release must not be negative, got {self.release}")
        if len(self.detail) > 200 or not self.detail.isprintable():
            raise ValueError("detail must be at most 200 printable characters")
        if not all(re.fullmatch("[a-z0-9][a-z0-9-]{0,63}", name) for name in self.affords):
            raise ValueError("affords must go by the names of tasks")
        if (
            len({(each.task, each.release) for each in self.health}) != len(self.health)
            or len(self.health) > MOST_HEALTH
        ):
            raise ValueError(f"health must speak of each release once, and of {MOST_HEALTH} at most")
