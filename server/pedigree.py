"""Where a version comes from and what became of it, put together from the store's rows without any I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from server.history import History, SignedRole
from server.modewords import TRUST_OF, least
from server.records import CampaignRequest, EvaluationResult, Gating, Lineage, RolloutStep
from server.spending import epsilon, paid
from shared import wire
from shared.architecture import size
from shared.errors import WireError
from shared.models import ModelVersion, Release
from shared.modes import Mode
from shared.privacy import Trust
from shared.rounds import RoundResult
from shared.tasks import Task, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What one run put into a version: its committed rounds from `first` to `last`, and whom it asked.

    `plan` is the hash of the plan file that it followed, if it did; `answered` the fewest and the most devices whose
    updates a round was made of.
    """

    run_id: int
    mode: Mode
    window: Window
    first: int
    last: int
    committed: int
    abandoned: int
    cohort: int
    answered: tuple[int, ...]
    plan: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """The most that the rounds behind a version can have cost one device, for single rows, and against whom that holds."""

    epsilon: float
    delta: float
    trust: Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A release of the version, and the newest document that says how far it has come, if one does."""

    release: Release
    rollout: RolloutStep | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pedigree:
    """A version's whole story. `ancestors` are version numbers, the parent first, the untrained one last.

    `signed` are the roles of the repository that vouch for its releases.
    """

    version: ModelVersion
    title: str
    parameters: int
    ancestors: tuple[int, ...]
    campaigns: tuple[Campaign, ...]
    spend: Spend
    lineage: Lineage | None
    evaluation: EvaluationResult | None
    gating: Gating | None
    offers: tuple[Offer, ...]
    signed: tuple[SignedRole, ...]
    collected: bool


def pedigree(history: History, number: int) -> Pedigree:
    """The story of version `number`, or `InputError` if there is none."""
    version = history.version(number)
    task, chain = history.task_of(version), list(ancestry(history, version))
    offers = tuple(_offers(history, number))
    return Pedigree(
        version=version,
        title=task.title,
        parameters=size(task),
        ancestors=tuple(each.number for each in chain[1:]),
        campaigns=tuple(_campaigns(history, chain)),
        spend=spend_of(task, rounds_behind(history, chain)),
        lineage=history.lineages.get(number),
        evaluation=history.evaluations.get(number),
        gating=history.gatings.get(number),
        offers=offers,
        signed=history.signed if offers else (),
        collected=number in history.collected,
    )


def ancestry(history: History, version: ModelVersion) -> Iterator[ModelVersion]:
    """The version, its parent, and so on to the untrained one; a parent that is lost ends the chain."""
    at: ModelVersion | None = version
    while at is not None:
        yield at
        # A parent is always older, so damaged rows cannot lead round in a circle.
        at = history.versions.get(at.parent) if at.parent < at.number else None


def rounds_behind(history: History, chain: Iterable[ModelVersion]) -> list[RoundResult]:
    """Every round that devices may have paid for on the way to the chain's first version, abandoned ones too."""
    found = [result for run_id, last in _reached(chain) for result in _until(history, run_id, last)]
    return sorted(found, key=lambda result: (result.plan.run_id, result.plan.number))


def spend_of(task: Task, rounds: list[RoundResult]) -> Spend:
    """What these rounds can have cost the device that took part in most of them."""
    names = sorted({name for result in rounds for name in result.cohort})
    delta = task.privacy.delta
    most = max((epsilon(paid(name, task, rounds), delta) for name in names), default=0.0)
    return Spend(epsilon=most, delta=delta, trust=least(TRUST_OF[result.plan.mode] for result in rounds))


def window_of(history: History, version: ModelVersion) -> Window | None:
    """The rows that the version's newest round asked for; None where nothing was learned yet."""
    chain = (each for each in ancestry(history, version) if each.run_id)
    newest = next(chain, None)
    if newest is None:
        return None
    rounds = history.rounds.get(newest.run_id, [])
    return next((result.plan.window for result in rounds if result.plan.number == newest.round_number), None)


def _reached(chain: Iterable[ModelVersion]) -> Iterator[tuple[int, int]]:
    """Each run of a chain, and the last of its rounds that went in; the newest first."""
    trained = (each for each in chain if each.run_id)
    for run_id, members in groupby(trained, key=lambda each: each.run_id):
        yield run_id, next(members).round_number


def _until(history: History, run_id: int, last: int) -> list[RoundResult]:
    return [result for result in history.rounds.get(run_id, []) if result.plan.number <= last]


def _campaigns(history: History, chain: Iterable[ModelVersion]) -> Iterator[Campaign]:
    for run_id, last in _reached(chain):
        rounds = _until(history, run_id, last)
        committed = [result for result in rounds if result.outcome == "committed"]
        if committed:
            yield _campaign(history, run_id, rounds, committed)


def _campaign(history: History, run_id: int, rounds: list[RoundResult], committed: list[RoundResult]) -> Campaign:
    answered = [len(result.returned) for result in committed]
    newest = committed[-1].plan
    return Campaign(
        run_id=run_id,
        mode=newest.mode,
        window=newest.window,
        first=committed[0].plan.number,
        last=newest.number,
        committed=len(committed),
        abandoned=len(rounds) - len(committed),
        cohort=max(len(result.cohort) for result in rounds),
        answered=(min(answered), max(answered)),
        plan=_plan(history, run_id),
    )


def _plan(history: History, run_id: int) -> str:
    run = history.runs.get(run_id)
    try:
        return wire.from_json(CampaignRequest, run.request.encode()).plan if run else ""
    except WireError:
        return ""


def _offers(history: History, number: int) -> Iterator[Offer]:
    for release in history.releases:
        if release.version == number:
            steps = [step for step in history.rollouts if step.rollout.release == release.number]
            yield Offer(release=release, rollout=steps[-1] if steps else None)
