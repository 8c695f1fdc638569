"""What our own plans have cost each device at most: an upper bound, since what is left only a device knows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from server.modewords import TRUST_OF, least
from server.records import Device, EvaluationRequest, Run, SurveyRequest
from shared import accounting, wire
from shared.drift import counted
from shared.errors import WireError
from shared.privacy import SampledGaussian, Trust
from shared.rounds import RoundResult
from shared.tasks import Task
from shared.training import Training

History = frozenset[SampledGaussian]
MOST_CAMPAIGNS = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one task's plans have cost one device at most, and what another campaign would.

    Epsilon is for single rows, whatever the modes; `trust` says against whom it holds.
    """

    device: str
    rounds: int
    surveys: int
    epsilon: float
    after: float
    campaigns_left: int
    trust: Trust = "everyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """What one device may have charged: how many rounds and surveys, their events, merged, and against whom they hold."""

    device: str
    rounds: int
    surveys: int
    events: History
    trust: Trust = "everyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A device's epsilon after each charge so far, and after each of the rounds that one more campaign adds."""

    spent: tuple[float, ...]
    further: tuple[float, ...]


def campaign_event(training: Training) -> SampledGaussian:
    """All rounds of a campaign as one event: any split of the same steps costs the same."""
    steps = training.steps * training.rounds
    return SampledGaussian(noise_multiplier=training.noise_multiplier, sample_rate=training.sample_rate, steps=steps)


@lru_cache(maxsize=4096)
def epsilon(history: History, delta: float) -> float:
    """What merged events cost; devices with the same history share the answer."""
    return accounting.epsilon(history, delta=delta)


def merged(events: Iterable[SampledGaussian]) -> History:
    """Events with the same noise and rate as one, with their steps added."""
    steps: Counter[tuple[float, float]] = Counter()
    for event in events:
        steps[event.noise_multiplier, event.sample_rate] += event.steps
    return frozenset(
        SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=count) for (noise, rate), count in steps.items()
    )


def spending(
    task: Task, devices: Sequence[Device], rounds: Sequence[RoundResult], runs: Sequence[Run]
) -> tuple[Spending, ...]:
    """The spend of every approved device, by name."""
    return tuple(price(each, task) for each in charges(task, devices, rounds, runs))


def charges(
    task: Task, devices: Sequence[Device], rounds: Sequence[RoundResult], runs: Sequence[Run]
) -> tuple[Charges, ...]:
    """What every approved device may have charged for a task, counted high.

    A device that was asked and did not refuse may have charged, whether or not its reply arrived; a survey
    does not say who answered, so each device enrolled before its end counts as asked.
    """
    surveys = [(run, survey_events(run, task)) for run in runs if _counts(run, task)]
    approved = [device for device in devices if device.state == "approved"]
    asked = asked_of(rounds)
    return tuple(
        _charges_of(device, list(_paid(device.name, task, asked.get(device.name, ()))), surveys) for device in approved
    )


def asked_of(rounds: Iterable[RoundResult]) -> dict[str, list[RoundResult]]:
    """The rounds that each device was asked in, in their order: thousands of devices look through their own only."""
    asked: dict[str, list[RoundResult]] = {}
    for result in rounds:
        for name in result.cohort:
            asked.setdefault(name, []).append(result)
    return asked


def price(each: Charges, task: Task) -> Spending:
    """What the charges come to, now and after one more campaign as the task describes it."""
    campaign, privacy = campaign_event(task.training), task.privacy
    return Spending(
        device=each.device,
        rounds=each.rounds,
        surveys=each.surveys,
        epsilon=epsilon(each.events, privacy.delta),
        after=epsilon(merged([*each.events, campaign]), privacy.delta),
        campaigns_left=campaigns_left(each.events, campaign, ceiling=privacy.epsilon, delta=privacy.delta),
        trust=each.trust,
    )


@lru_cache(maxsize=4096)
def campaigns_left(spent: History, campaign: SampledGaussian, *, ceiling: float, delta: float) -> int:
    """How many more campaigns fit under the ceiling, counted to 99."""
    before, one = accounting.renyi(spent), accounting.renyi([campaign])
    count = 0
    while count < MOST_CAMPAIGNS and accounting.epsilon_of(before + (count + 1) * one, delta=delta) <= ceiling:
        count += 1
    return count


def survey_events(run: Run, task: Task) -> list[SampledGaussian]:
    """What a survey charges: one event each for the score, all features together, and whatever has cells.

    An evaluation is charged as one count of all its cells.
    """
    if run.kind == "evaluate":
        return list(counted(wire.from_json(EvaluationRequest, run.request.encode()).noise_multiplier))
    try:
        request = wire.from_json(SurveyRequest, run.request.encode())
    except WireError:
        return list(all_of(task))
    return list(counted(*(request.noise or noise_of(request, task))))


def noise_of(request: SurveyRequest, task: Task) -> tuple[float, ...]:
    """The noise multiplier of each count that a survey charges under a task as it is signed."""
    asked = (
        task.drift.score_noise_multiplier,
        task.drift.feature_noise_multiplier if request.features else None,
        task.contract.noise_multiplier if request.contract else None,
        task.drift.outcome_noise_multiplier if request.outcomes else None,
        task.drift.score_noise_multiplier if request.shadow is not None else None,
    )
    return tuple(noise for noise in asked if noise is not None)


def all_of(task: Task) -> tuple[SampledGaussian, ...]:
    """What a survey of all that the task lets be counted charges."""
    drift, contract = task.drift, task.contract
    rules = contract.noise_multiplier if contract.rules else None
    return counted(drift.score_noise_multiplier, drift.feature_noise_multiplier, rules, drift.outcome_noise_multiplier)


def course(device: str, task: Task, rounds: Sequence[RoundResult], runs: Sequence[Run], *, most: int) -> Course:
    """How a device's spend grew with each charge, and how it would with each round of one more campaign.

    Both are thinned out together to at most `most` points.
    """
    made = [(r.finished_at, paid) for r, paid in _paid(device, task, rounds)]
    made += [(run.started_at or 0.0, survey_events(run, task)) for run in runs if _counts(run, task)]
    past = [events for _, events in sorted(made, key=lambda each: each[0])]
    one = replace(campaign_event(task.training), steps=task.training.steps)
    further = [[one]] * task.training.rounds
    thin = max(1, -(-(len(past) + len(further)) // max(1, most)))
    return Course(
        spent=_growth([], past, task.privacy.delta, thin),
        further=_growth([event for events in past for event in events], further, task.privacy.delta, thin),
    )


def _growth(
    before: list[SampledGaussian], charged: Sequence[list[SampledGaussian]], delta: float, thin: int
) -> tuple[float, ...]:
    """Epsilon after every `thin`-th charge and after the last."""
    ends = [end for end in range(1, len(charged) + 1) if end == len(charged) or end % thin == 0]
    return tuple(
        epsilon(merged([*before, *(event for events in charged[:end] for event in events)]), delta) for end in ends
    )


def _may_charge(result: RoundResult, device: str) -> bool:
    """Whether a device was asked and did not refuse: its reply may be lost and its charge made."""
    return device in result.cohort and device not in result.refusals


def _paid(
    device: str, task: Task, rounds: Iterable[RoundResult]
) -> Iterator[tuple[RoundResult, list[SampledGaussian]]]:
    """What a device may have been charged at record level for each round; a reserved campaign comes with its first."""
    reserved: set[str] = set()
    for result in rounds:
        if result.plan.task != task.name or not _may_charge(result, device):
            continue
        campaign = result.plan.campaign
        yield result, [] if campaign in reserved else list(result.plan.cost.record)
        reserved |= {campaign} if campaign else set()


def paid(device: str, task: Task, rounds: Iterable[RoundResult]) -> History:
    """What rounds may have charged a device at record level, merged; whether it is approved still does not matter."""
    return merged(event for _, events in _paid(device, task, rounds) for event in events)


def _counts(run: Run, task: Task) -> bool:
    return run.kind in ("survey", "evaluate") and run.task == task.name and run.started_at is not None


def _charges_of(
    device: Device,
    trained: Sequence[tuple[RoundResult, list[SampledGaussian]]],
    surveys: Sequence[tuple[Run, list[SampledGaussian]]],
) -> Charges:
    asked = [events for run, events in surveys if run.finished_at is None or device.enrolled_at <= run.finished_at]
    paid = [events for _, events in trained]
    return Charges(
        device=device.name,
        rounds=len(trained),
        surveys=len(asked),
        events=merged(event for events in (*paid, *asked) for event in events),
        trust=least(TRUST_OF[result.plan.mode] for result, _ in trained),
    )
