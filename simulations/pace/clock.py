"""A virtual clock: what is to happen, in the order of its time, and at one time in the order in which it was set."""

import heapq
import math
from collections.abc import Iterable
from typing import Generic, TypeVar

Event = TypeVar("Event")


class Clock(Generic[Event]):
    """Seconds that pass only when somebody asks for what happens next."""

    def __init__(self, now: float = 0.0) -> None:
        """Begin at a moment."""
        self.now = now
        self._events: list[tuple[float, int, Event]] = []
        self._set = 0

    def __len__(self) -> int:
        return len(self._events)

    def after(self, seconds: float, event: Event) -> None:
        """Let something happen in so many seconds; raise `ValueError` for a time that is past, or never comes."""
        if not (seconds >= 0 and math.isfinite(seconds)):
            raise ValueError(f"an event is set for a time from now on, not for {seconds} seconds from now")
        heapq.heappush(self._events, (self.now + seconds, self._set, event))
        self._set += 1

    def together(self) -> list[Event]:
        """Go on to when something happens next, and return all of it; raise `IndexError` if nothing does."""
        self.now = self._events[0][0]
        found: list[Event] = []
        while self._events and self._events[0][0] == self.now:
            found.append(heapq.heappop(self._events)[2])
        return found

    def until(self, moment: float) -> Iterable[Event]:
        """Go on to a moment, by way of all that happens before it or then; one that is past is now."""
        while self._events and self._events[0][0] <= moment:
            yield from self.together()
        self.now = max(self.now, moment)
