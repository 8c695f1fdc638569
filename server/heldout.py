"""Which rows a version has learned, so that it is evaluated on others (privacy rule 13)."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from server.records import CampaignRequest, Run
from shared import wire
from shared.errors import InputError
from shared.models import ModelVersion
from shared.tasks import Task, Window

EARLIEST, LATEST = datetime.min, datetime.max  # noqa: DTZ901 - beyond every date of a row, which has no zone either


def learned(version: ModelVersion, versions: Sequence[ModelVersion], runs: Sequence[Run]) -> tuple[Window, ...]:
    """The windows that the version and its ancestors back to the untrained one were trained on, each once.

    Where a campaign set no end, it ended with the campaign: rows that were not there yet taught nothing. A day more is
    counted, because rows may be dated by clocks of any zone.
    """
    return tuple(dict.fromkeys(_windows(version, versions, runs)))


def default_window(known: Iterable[Window]) -> Window:
    """All rows after the last that was learned."""
    return Window(start=max((window.end for window in known), key=_end, default=""))


def require_held_out(task: Task, version: int, window: Window, known: Sequence[Window]) -> None:
    """Raise `InputError` that names the rows which the version has learned, if the window holds any."""
    if known and not task.timestamp:
        raise InputError(
            f"task {task.name!r} dates no rows (it has no `timestamp`), so version {version} may have learned any of them; "
            "it can be tested on rows of your own, not on the fleet's"
        )
    seen = [each for each in known if overlap(window, each)]
    if seen:
        raise InputError(
            f"version {version} has learned rows of {', '.join(map(str, seen))}, and {window} holds some of them; "
            f"evaluate it on others, such as --window {default_window(known).start}.."
        )


def is_held_out(window: Window, known: Iterable[Window]) -> bool:
    """Whether a window holds no row that was learned."""
    return not any(overlap(window, each) for each in known)


def overlap(one: Window, other: Window) -> bool:
    """Whether a row could lie in both."""
    return _start(one) < _end(other.end) and _start(other) < _end(one.end)


def _windows(version: ModelVersion, versions: Sequence[ModelVersion], runs: Sequence[Run]) -> Iterator[Window]:
    by_number, by_run = {each.number: each for each in versions}, {run.id: run for run in runs}
    at: ModelVersion | None = version
    while at is not None:
        if at.run_id:
            yield _asked(by_run[at.run_id])
        # A parent is always older, so damaged rows cannot lead round in a circle.
        at = by_number.get(at.parent) if at.parent < at.number else None


def _asked(run: Run) -> Window:
    window = wire.from_json(CampaignRequest, run.request.encode()).window
    if window.end:
        return window
    ended = datetime.fromtimestamp(run.finished_at, UTC) if run.finished_at else datetime.now(UTC)
    return Window(start=window.start, end=(ended + timedelta(days=2)).date().isoformat())


def _start(window: Window) -> datetime:
    return _moment(window.start) if window.start else EARLIEST


def _end(text: str) -> datetime:
    return _moment(text) if text else LATEST


def _moment(text: str) -> datetime:
    """A bound as rows are compared with it: one with a zone in UTC."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
