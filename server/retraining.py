"""When a campaign starts by itself, or is asked for: what surveys alarm on, the pause, and what the budget leaves. No I/O.

The score's stability index and the daily loss decide. What moves with the season, such as weather, is named and decides
nothing: a model may be as good as before under another sky.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from server.detectors import watch
from server.losses import losses
from server.records import ACTIVE, Decision, Run, SurveyResult
from shared.drift import SCORE
from shared.lifecycle import Detector, Retraining
from shared.tasks import Task, Window

DAY = 86_400.0
SLACK = 1e-9
"""What floating point may add to an epsilon that is spent to the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """What the task's plans can have cost the device that paid most (epsilon), and what they would after one more campaign."""

    spent: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one detector says of a release: whether it alarms, and why, with its figures."""

    detector: Detector
    alarm: bool
    words: str


def decide(
    terms: Retraining, task: Task, *, release: int, surveys: Sequence[SurveyResult], runs: Sequence[Run],
    decisions: Sequence[Decision], funds: Funds, now: float,
) -> Decision:  # fmt: skip
    """What is to be done about the newest survey of the release in force.

    `surveys`, `runs` and `decisions` are the task's, oldest first; `now` is Unix time. The campaign itself is the caller's to queue.
    """
    seen = [each for each in surveys if each.role == "current" and each.release == release]
    informed = _informed(task, seen)
    if not seen:
        return Decision(task=task.name, at=now, act="wait", why=f"release {release} was not surveyed yet")
    said = [listen(detector, task, seen, decisions) for detector in terms.alarms]
    alarms = tuple(each.detector for each in said if each.alarm)
    if not alarms:
        why = f"no detector alarms: {_told(said)}"
        return Decision(task=task.name, at=now, act="wait", why=why, informed=informed)
    raised = _told([each for each in said if each.alarm])
    against = _against(terms, task, seen, runs, decisions, now)
    if not against and not affords(terms, task, funds):
        against = _price(terms, task, funds)
    if against:
        return Decision(
            task=task.name, at=now, act="wait", why=f"{raised}; but {against}", alarms=alarms, informed=informed
        )
    act = "ask" if terms.ask_first else "start"
    why = f"{raised}; {_price(terms, task, funds)}"
    return Decision(task=task.name, at=now, act=act, why=why, alarms=alarms, informed=informed)


def listen(detector: Detector, task: Task, seen: Sequence[SurveyResult], decisions: Sequence[Decision]) -> Said:
    """Read a release's surveys by one detector. An operator's no makes what the loss is then the calm to compare with."""
    if detector == "psi":
        return _by_score(task, seen[-1])
    if task.drift.outcome_noise_multiplier is None:
        return Said(detector=detector, alarm=False, words="the task counts no outcomes: drift.outcome_noise_multiplier")
    no = max((each.at for each in decisions if each.act == "decline"), default=0.0)
    reading = watch(detector, losses((each for each in seen if each.at > no), task))
    return Said(detector=detector, alarm=reading.alarm, words=reading.says)


def limit(terms: Retraining, task: Task) -> float:
    """How far the spend of the task's plans may go."""
    return task.privacy.epsilon if terms.max_epsilon is None else terms.max_epsilon


def affords(terms: Retraining, task: Task, funds: Funds) -> bool:
    """Whether one more campaign stays within the limit."""
    return funds.after <= limit(terms, task) + SLACK


def window(terms: Retraining, now: float) -> Window:
    """What a campaign at a moment (Unix time) learns: the last days whose outcomes are known, in UTC."""
    end = datetime.fromtimestamp(now, UTC).date() - timedelta(days=terms.label_days)
    return Window(start=str(end - timedelta(days=terms.window_days)), end=str(end))


def accepted(terms: Retraining) -> Retraining:
    """The terms once an operator has said yes."""
    return replace(terms, ask_first=False)


def asking(decisions: Sequence[Decision]) -> Decision | None:
    """The question that waits for an answer: a task's newest decision, if it asks."""
    return decisions[-1] if decisions and decisions[-1].act == "ask" else None


def _by_score(task: Task, survey: SurveyResult) -> Said:
    score = next((shift for shift in survey.shifts if shift.name == SCORE), None)
    if score is None:
        return Said(detector="psi", alarm=False, words="no reference survey to compare scores with")
    most = task.drift.alarm_psi
    if survey.alarm:
        words = f"score PSI {score.psi:.2f} is above the alarm, {most:g}"
    elif score.psi > most:
        words = f"score PSI {score.psi:.2f} lies within the noise, {score.noise:.2f}"
    else:
        words = f"score PSI {score.psi:.2f}, alarm at {most:g}"
    return Said(detector="psi", alarm=survey.alarm, words=words)


def _told(said: Sequence[Said]) -> str:
    return "; ".join(each.words for each in said)


def _informed(task: Task, seen: Sequence[SurveyResult]) -> tuple[str, ...]:
    """The columns that evidently moved by as much as would alarm, in the newest survey that counted columns; most first."""
    counted = next((each for each in reversed(seen) if any(shift.name != SCORE for shift in each.shifts)), None)
    moved = [
        shift
        for shift in (counted.shifts if counted else ())
        if shift.name != SCORE and shift.evident and shift.psi > task.drift.alarm_psi
    ]
    return tuple(shift.name for shift in sorted(moved, key=lambda shift: -shift.psi))


def _against(
    terms: Retraining, task: Task, seen: Sequence[SurveyResult], runs: Sequence[Run], decisions: Sequence[Decision],
    now: float,
) -> str:  # fmt: skip
    """What stands in the way besides the budget; empty if nothing does."""
    own = [run for run in runs if run.task == task.name]
    if active := [run for run in own if run.state in ACTIVE]:
        return f"run {active[0].id} is under way"
    campaigns = [run for run in own if run.kind == "train"]
    since = (now - campaigns[-1].created_at) / DAY if campaigns else terms.pause_days
    if since < terms.pause_days:
        return f"run {campaigns[-1].id} learned {since:.1f} days ago, and {terms.pause_days} must lie between campaigns"
    return _unreleased(seen, own, decisions)


def _unreleased(seen: Sequence[SurveyResult], runs: Sequence[Run], decisions: Sequence[Decision]) -> str:
    """Whether a campaign that this policy started has learned what alarms, and the release from before it still serves."""
    answered = [each for each in decisions if each.act in ("start", "decline")]
    if not answered or answered[-1].act == "decline" or seen[0].at > answered[-1].at:
        return ""
    started = next((run for run in runs if run.id == answered[-1].run_id), None)
    if started is None or started.state != "finished":
        return ""
    return (
        f"run {started.id} has learned on an alarm of this release already; promote its version, or say "
        f"`covey retrain {started.task} --decline`"
    )


def _price(terms: Retraining, task: Task, funds: Funds) -> str:
    costs, most = funds.after - funds.spent, limit(terms, task)
    return f"this campaign costs ε {costs:.2f}; spent {funds.spent:.2f} of {most:g}"
