"""How long a row may take part: for so many days from its own timestamp on; then it retires (privacy rule 9).

Whether a row takes part in what is charged at a moment depends on that row's timestamp and that moment alone (rule 3).
A timestamp without a zone is read as UTC, whatever clock wrote it: a row then begins and ends some hours early or late,
and pays no more for that. docs/decisions/0018 has the proof.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.tasks import Window

DAY = 86_400
_NEVER = timedelta(microseconds=500_001)
_TICK = timedelta(microseconds=1)
_BEGINNING = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, which is how rows are dated


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The rows that one charge may touch: their timestamp in `column` lies in `[start, end)`, whole Unix seconds."""

    column: str
    start: int
    end: int

    def within(self, window: Window) -> Window:
        """The rows that are in a window too; where there can be none, a microsecond of these in which no clock ticks."""
        begins, ends = (_BEGINNING + timedelta(seconds=bound) for bound in (self.start, self.end))
        start, end = max(begins, _moment(window.start, begins)), min(ends, _moment(window.end, ends))
        if start >= end:
            start, end = begins + _NEVER, begins + _NEVER + _TICK
        return Window(start=start.isoformat(), end=end.isoformat())


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """How long a task's rows take part: `days` from the timestamp in `column` on; without a column, for ever."""

    task: str
    column: str | None
    days: float

    def at(self, moment: float) -> Alive | None:
        """The rows that may take part in what is charged at a moment (Unix time): none of the future; None if all may."""
        if self.column is None:
            return None
        end = math.floor(moment)
        return Alive(column=self.column, start=end - round(self.days * DAY), end=end)


def _moment(text: str, unbounded: datetime) -> datetime:
    """A window's bound in UTC, as the readers of rows understand it."""
    if not text:
        return unbounded
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # beyond the calendar by its zone alone
        return datetime.min if moment.year == 1 else datetime.max  # noqa: DTZ901 - naive UTC, as above
