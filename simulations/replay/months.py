"""Months, and what is known at the first day of one: outcomes come late."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shared.errors import InputError
from shared.tasks import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Served months `first` to `last`, each by its first day; what a campaign learns from, and how late outcomes come.

    A campaign learns from `learn_months` months, of which the last `delay_days` days are not known yet.
    """

    first: date
    last: date
    learn_months: int = 2
    delay_days: int = 7

    def __post_init__(self) -> None:
        """Refuse a time in which nothing is served or known."""
        if self.first > self.last or {self.first.day, self.last.day} != {1}:
            raise InputError(f"a replay goes from one month's first day to another's, got {self.first} to {self.last}")
        if self.learn_months < 1 or self.delay_days < 0:
            raise InputError("a campaign learns from one month or more, and outcomes come after no or more days")

    @property
    def months(self) -> tuple[date, ...]:
        """The first day of each month that is served."""
        count = 12 * (self.last.year - self.first.year) + self.last.month - self.first.month + 1
        return tuple(later(self.first, by) for by in range(count))

    def known(self, at: date) -> Window:
        """What a campaign on the first day of a month learns from: the rows whose outcome is known by then."""
        late = timedelta(days=self.delay_days)
        return Window(start=str(later(at, -self.learn_months) - late), end=str(at - late))


def later(month: date, by: int) -> date:
    """The first day of the month that is so many months on."""
    count = 12 * month.year + month.month - 1 + by
    return date(count // 12, count % 12 + 1, 1)


def whole(month: date) -> Window:
    """All days of a month."""
    return Window(start=str(month), end=str(later(month, 1)))


def seconds(day: date) -> float:
    """When a day begins, in seconds since 1970, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
