"""What the views show beyond the rows themselves; pure functions, run off the screen's thread."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from server.records import Device, Run, RunState, SurveyResult
from server.tui.words import ONLINE_SECONDS
from shared import accounting
from shared.drift import Histogram, Shift
from shared.privacy import SampledGaussian
from shared.rounds import RoundResult
from shared.tasks import Task, Training

Part = Literal["returned", "refused", "failed", "idle"]
History = frozenset[SampledGaussian]
MOST_CAMPAIGNS = 99

ENDED: tuple[RunState, ...] = ("finished", "stopped", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Participation:
    """What came of asking one device: its answers, its last refusal, and its part in each recent round."""

    asked: int = 0
    returned: int = 0
    last_refusal: str = ""
    recent: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one task's plans have cost one device at most, and what another campaign would."""

    device: str
    rounds: int
    surveys: int
    epsilon: float
    after: float
    campaigns_left: int


def device_state(device: Device, now: float) -> str:
    """`pending`, `revoked`, or whether an approved device spoke within the last minute."""
    if device.state != "approved":
        return device.state
    return "online" if device.last_seen is not None and now - device.last_seen <= ONLINE_SECONDS else "away"


def part_in(result: RoundResult, device: str) -> Part:
    """What a device did in a round."""
    if device in result.refusals:
        return "refused"
    if device in result.failures:
        return "failed"
    return "returned" if device in result.returned else "idle"


def participation(devices: Sequence[Device], rounds: Sequence[RoundResult]) -> dict[str, Participation]:
    """What came of asking each device, over all rounds in their order."""
    return {device.name: _part_of(device.name, rounds) for device in devices}


def _part_of(name: str, rounds: Sequence[RoundResult]) -> Participation:
    parts = tuple(part_in(result, name) for result in rounds)
    refusals = [result.refusals[name] for result in rounds if name in result.refusals]
    return Participation(
        asked=sum(part != "idle" for part in parts),
        returned=parts.count("returned"),
        last_refusal=refusals[-1] if refusals else "",
        recent=parts[-200:],
    )


def campaign_event(training: Training) -> SampledGaussian:
    """All rounds of a campaign as one event: any split of the same steps costs the same."""
    steps = training.steps * training.rounds
    return SampledGaussian(
        noise_multiplier=training.noise_multiplier, sample_rate=training.sample_rate, steps=steps
    )


@lru_cache(maxsize=4096)
def epsilon(history: History, delta: float) -> float:
    """What merged events cost; devices with the same history share the answer."""
    return accounting.epsilon(history, delta=delta)


def spending(
    task: Task, devices: Sequence[Device], rounds: Sequence[RoundResult], surveys: Sequence[SurveyResult]
) -> tuple[Spending, ...]:
    """The spend of every approved device, by name, counted high.

    A device that was asked and did not refuse may have charged, whether or not its reply arrived; a survey
    does not say who answered, so each device enrolled before it counts as asked.
    """
    approved = [device for device in devices if device.state == "approved"]
    trained = _steps_by_device(task, rounds)
    counted = [(survey, _survey_events(task, survey)) for survey in surveys if survey.task == task.name]
    return tuple(_spending_of(device, task, trained.get(device.name, []), counted) for device in approved)


def _steps_by_device(task: Task, rounds: Iterable[RoundResult]) -> dict[str, list[SampledGaussian]]:
    events: dict[str, list[SampledGaussian]] = {}
    for result in rounds:
        if result.plan.task == task.name:
            for name in set(result.cohort) - result.refusals.keys():
                events.setdefault(name, []).append(result.plan.event)
    return events


def _survey_events(task: Task, survey: SurveyResult) -> list[SampledGaussian]:
    noises = [task.drift.score_noise_multiplier]
    if len(survey.histograms) > 1:
        noises.append(task.drift.feature_noise_multiplier)
    return [SampledGaussian(noise_multiplier=noise, sample_rate=1.0, steps=1) for noise in noises]


def _spending_of(
    device: Device,
    task: Task,
    trained: Sequence[SampledGaussian],
    surveys: Sequence[tuple[SurveyResult, list[SampledGaussian]]],
) -> Spending:
    answered = [events for survey, events in surveys if survey.at >= device.enrolled_at]
    spent = merged([*trained, *(event for events in answered for event in events)])
    campaign = campaign_event(task.training)
    return Spending(
        device=device.name,
        rounds=len(trained),
        surveys=len(answered),
        epsilon=epsilon(spent, task.privacy.delta),
        after=epsilon(merged([*spent, campaign]), task.privacy.delta),
        campaigns_left=campaigns_left(spent, campaign, epsilon_ceiling=task.privacy.epsilon, delta=task.privacy.delta),
    )


def merged(events: Iterable[SampledGaussian]) -> History:
    """Events with the same noise and rate as one, with their steps added."""
    steps: Counter[tuple[float, float]] = Counter()
    for event in events:
        steps[event.noise_multiplier, event.sample_rate] += event.steps
    return frozenset(
        SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=count) for (noise, rate), count in steps.items()
    )


@lru_cache(maxsize=4096)
def campaigns_left(spent: History, campaign: SampledGaussian, *, epsilon_ceiling: float, delta: float) -> int:
    """How many more campaigns fit under the ceiling, counted to 99."""
    before, one = accounting.renyi(spent), accounting.renyi([campaign])
    count = 0
    while count < MOST_CAMPAIGNS and accounting.epsilon_of(before + (count + 1) * one, delta=delta) <= epsilon_ceiling:
        count += 1
    return count


def current_run(runs: Sequence[Run]) -> Run | None:
    """The run under way, or else the newest."""
    active = [run for run in runs if run.state not in ENDED]
    return (active or list(runs) or [None])[-1]


def verdict(shift: Shift, alarm_psi: float) -> Literal["evident", "steady", "unknown"]:
    """Whether a shift is seen, ruled out at the alarm's size, or hidden by the noise that privacy adds."""
    if shift.evident:
        return "evident"
    return "steady" if shift.noise <= alarm_psi else "unknown"


def reference_for(survey: SurveyResult, surveys: Sequence[SurveyResult]) -> SurveyResult | None:
    """The newest reference survey of the same task that precedes this one."""
    earlier = [s for s in surveys if s.task == survey.task and s.role == "reference" and s.at <= survey.at]
    return earlier[-1] if earlier else None


def histogram(survey: SurveyResult | None, name: str) -> Histogram | None:
    """The histogram called `name`, if the survey counted it."""
    return next((h for h in survey.histograms if h.name == name), None) if survey else None


def counted(reasons: Mapping[str, str]) -> dict[str, int]:
    """How often each reason was given."""
    return dict(Counter(reasons.values()))
