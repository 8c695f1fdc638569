"""Which survey is due by itself: a release's reference first, then one each so many days, of days that none counted before. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from server.records import Run, SurveyRequest
from server.retraining import DAY
from shared import wire
from shared.drift import SurveyRole
from shared.errors import WireError
from shared.lifecycle import Retraining
from shared.models import Release
from shared.tasks import Window

PATIENCE_DAYS = 1.0
"""How long a survey rests that too few devices answered."""

VAIN = ("failed", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A survey that somebody asked for, and its run."""

    run: Run
    request: SurveyRequest

    @property
    def vain(self) -> bool:
        """Whether nothing came of it."""
        return self.run.state in VAIN


def asked(runs: Sequence[Run], release: Release) -> Iterator[Asked]:
    """The surveys of a release, oldest first; those of an older Covey that cannot be read are left out."""
    for run in runs:
        if run.kind != "survey" or run.task != release.task:
            continue
        try:
            request = wire.from_json(SurveyRequest, run.request.encode())
        except WireError:
            continue
        if request.release == release.number and request.role != "canary":
            yield Asked(run=run, request=request)


def due(terms: Retraining, release: Release, runs: Sequence[Run], now: float) -> tuple[SurveyRole, Window] | None:
    """The survey to ask for at a moment (Unix time): what it is about, and of which days (UTC); None if none is due."""
    own = list(asked(runs, release))
    if not terms.survey_days or any(each.vain and now - each.run.created_at < PATIENCE_DAYS * DAY for each in own):
        return None
    answered = [each for each in own if not each.vain]
    reference = next((each for each in answered if each.request.role == "reference"), None)
    if reference is None:
        return "reference", release.trained_on
    counted = [_counted_until(each) for each in answered if each.request.role == "current"]
    end = _day(now) - timedelta(days=terms.label_days)
    if (end - max(counted, default=_day(reference.run.created_at))).days < terms.survey_days:
        return None
    return "current", Window(start=str(end - timedelta(days=terms.survey_days)), end=str(end))


def _counted_until(each: Asked) -> date:
    """The first day that a survey did not count."""
    end = each.request.window.end
    return datetime.fromisoformat(end).date() if end else _day(each.run.created_at)


def _day(moment: float) -> date:
    return datetime.fromtimestamp(moment, UTC).date()
