"""Notices that a release does badly on real requests, and says so at most once for each release."""

from dataclasses import dataclass, field

WINDOW = 200
"""Requests after which the counts begin anew."""

ERRORS = 5
"""Requests without an answer, within a window, after which a release is given up."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """Counts what one release does with single records, on one thread; `limit_us` is the task's gate on latency."""

    limit_us: float
    seen: int = field(default=0, init=False)
    slow: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    given_up: bool = field(default=False, init=False)

    def answered(self, latency_us: float) -> str | None:
        """Count an answer; return a reason to fall back, once, if more than half of a whole window was too slow."""
        self.seen += 1
        self.slow += latency_us > self.limit_us
        return self._judge() if self.seen >= WINDOW else None

    def had_none(self) -> str | None:
        """Count a request that the model did not answer; return a reason to fall back, once."""
        self.seen += 1
        self.failed += 1
        if self.failed >= ERRORS:
            return self._give_up(f"{self.failed} of {self.seen} requests had no answer")
        return self._judge() if self.seen >= WINDOW else None

    def _judge(self) -> str | None:
        slow, seen = self.slow, self.seen
        self.seen = self.slow = self.failed = 0
        too_slow = f"{slow} of {seen} requests took longer than {self.limit_us:g} us"
        return self._give_up(too_slow) if 2 * slow > seen else None

    def _give_up(self, reason: str) -> str | None:
        already, self.given_up = self.given_up, True
        return None if already else reason
