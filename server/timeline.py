"""How a round went in time: when each phase began, and when each device answered; kept with the round, to be looked at again."""

import time
from collections.abc import Callable

from server.exchange import Replies
from shared.rounds import Phase

Show = Callable[[str, int, Replies], bool]

SLOWEST = 200
"""How many answers are kept: the latest ones, because they are who a round waits for."""


class Timeline:
    """Notes what a round shows while it runs; seconds are counted from its start, to a tenth: finer ones tell of rows."""

    def __init__(self, show: Show) -> None:
        """`show` is told everything as well, and decides."""
        self._show, self._begun = show, time.monotonic()
        self._phases: list[Phase] = []
        self._answered: dict[str, float] = {}

    def show(self, phase: str, cohort: int, replies: Replies) -> bool:
        """Note the phase, and who answered since the last look."""
        now = round(time.monotonic() - self._begun, 1)
        if not self._phases or self._phases[-1].name != phase:
            self._phases.append(Phase(name=phase, at=now))
        for name in (*replies.contents, *replies.refusals):
            self._answered.setdefault(name, now)
        return self._show(phase, cohort, replies)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in their order."""
        return tuple(self._phases)

    @property
    def answered(self) -> dict[str, float]:
        """When devices answered first, refusals too; of the `SLOWEST` alone where there are more."""
        latest = sorted(self._answered.items(), key=lambda item: (-item[1], item[0]))[:SLOWEST]
        return dict(sorted(latest))
