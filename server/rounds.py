"""A campaign, round by round: plan, ask, validate, aggregate, commit; and again after a crash."""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from server import plain, secure_rounds
from server.exchange import Replies
from server.plain import Answer
from server.plans import plan_round
from server.records import CampaignRequest, Progress, Run
from server.store import Store
from server.strategy import start, step
from server.timeline import Timeline
from server.tracing import span
from shared.errors import InputError
from shared.modes import Distributed
from shared.roster import Roster
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Task

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long a campaign waits for enough devices to be online before a round is abandoned."""


def run_campaign(grid: Grid, store: Store, run: Run, request: CampaignRequest) -> None:
    """Run rounds until the request's number is committed, resuming after the last one in the store.

    Raises `InputError` when as many rounds were abandoned as were asked for: something is wrong out there.
    """
    task = store.task(request.task)
    done = store.rounds(run.id)
    committed = sum(result.outcome == "committed" for result in done)
    version = max((v.number for v in store.versions(task.name) if v.run_id == run.id), default=request.base_version)
    while committed < request.training.rounds and not stopped(store, run.id):
        number = max((result.plan.number for result in done), default=0) + 1
        if number - 1 - committed >= request.training.rounds:
            raise InputError(
                f"{number - 1 - committed} rounds were abandoned; see `covey rounds {run.id}` for the reasons"
            )
        with span("round", number=number) as traced:
            result, update = run_round(grid, store, task, (run.id, number, version), request, done)
            if update is not None:
                with span("commit"):
                    version = _commit(store, task, result, update, request)
                committed += 1
            elif not stopped(store, run.id):
                store.abandon_round(result)
            traced.note(outcome=result.outcome, cohort=len(result.cohort), returned=len(result.returned))
        done.append(result)
        log.info("round %d of run %d: %s", number, run.id, result.outcome)


def run_round(
    grid: Grid, store: Store, task: Task, where: tuple[int, int, int], request: CampaignRequest,
    done: Sequence[RoundResult],
) -> tuple[RoundResult, NDArray[np.float64] | None]:  # fmt: skip
    """Ask a cohort to train; returns the record of the round and, if enough answered, the mean update, `(size,)`.

    `where` is the run, the round's number and the version it starts from.
    """
    (run_id, number, version), started = where, time.time()
    timeline = Timeline(_progress(store, run_id, number, request.training.rounds))
    show, go_on = timeline.show, partial(_goes_on, store, run_id)
    with span("select") as traced:
        cohort = gather(
            grid, store, request.quorum, request.cohort, rested=_left_out(store, task, request, done),
            wait=lambda: show("waiting for devices", 0, Replies()) and go_on(),
        )  # fmt: skip
        traced.note(devices=len(cohort))
    weights = read_weights(store, version)
    plan, answer = _asked(grid, store, task, where, request, done, cohort, weights, show, go_on)
    result = RoundResult(
        plan=plan,
        cohort=tuple(sorted(cohort)),
        returned=answer.returned,
        refusals=answer.replies.refusals,
        failures=answer.replies.failures,
        started_at=started,
        finished_at=time.time(),
        outcome="abandoned" if answer.update is None else "committed",
        within=answer.within,
        phases=timeline.phases,
        answered=timeline.answered,
    )
    return result, answer.update


def _asked(
    grid: Grid, store: Store, task: Task, where: tuple[int, int, int], request: CampaignRequest,
    done: Sequence[RoundResult], cohort: Mapping[str, int], weights: NDArray[np.float32],
    show: Callable[[str, int, Replies], bool], go_on: Callable[[], bool],
) -> tuple[RoundPlan, Answer]:  # fmt: skip
    """Plan the round for the cohort that was found, and ask it in the way of the campaign's mode."""
    run_id, number, version = where

    def watch(phase: str, replies: Replies) -> bool:
        return show(phase, len(cohort), replies) and go_on()

    if request.mode == "distributed":
        terms, roster = _secure_terms(store, task)
        return secure_rounds.ask(
            grid, request, terms, cohort, weights, roster=roster,
            plan=partial(plan_round, run_id, number, task, version, request, done=done), watch=watch,
        )  # fmt: skip
    plan = plan_round(run_id, number, task, version, request, done=done)
    answer = plain.ask(
        grid, plan, request, cohort, weights,
        key=store.campaign_key(run_id), owners=store.owners(), watch=partial(watch, "training"),
    )  # fmt: skip
    return plan, answer


def _secure_terms(store: Store, task: Task) -> tuple[Distributed, Roster]:
    """What a round under secure aggregation needs to be known; raise `InputError` that says how to provide it."""
    roster = store.roster()
    if task.distributed is None:
        raise InputError(f"task {task.name!r} has no [distributed] table, so no device would take part in a sum")
    if roster is None:
        raise InputError("no roster is signed, so no device would take part in a sum; `covey roster` signs one")
    return task.distributed, roster


def _left_out(store: Store, task: Task, request: CampaignRequest, done: Sequence[RoundResult]) -> frozenset[str]:
    """Devices that cannot take part in the next round: they would only refuse, or make others refuse."""
    if request.mode == "distributed":
        keys = {device.name: device.public_key for device in store.devices()}
        return frozenset(keys) - secure_rounds.on_roster(keys, keys, _secure_terms(store, task)[1])
    return _spent_devices(task, request, done)


def _spent_devices(task: Task, request: CampaignRequest, done: Sequence[RoundResult]) -> frozenset[str]:
    """Devices that correlated noise gives no further part in the campaign, or none yet."""
    terms = task.central
    if request.mode != "central" or terms is None or terms.noise != "correlated":
        return frozenset()
    committed = [result.returned for result in done if result.outcome == "committed"]
    taken = Counter(name for result in done for name in result.cohort if name not in result.refusals)
    resting = {name for names in committed[len(committed) + 1 - terms.separation :] for name in names}
    return frozenset(resting | {name for name, times in taken.items() if times >= terms.participations})


def _commit(
    store: Store, task: Task, result: RoundResult, update: NDArray[np.float64], request: CampaignRequest
) -> int:
    weights = read_weights(store, result.plan.base_version)
    kept = store.momentum(result.plan.run_id)
    state = start(weights, request.training) if kept is None else np.frombuffer(kept, dtype="<f4")
    weights, state = step(weights, update, state, request.training)
    version = store.commit_round(result, weights=weights.tobytes(), momentum=state.tobytes(), revision=task.revision)
    return version.number


def gather(
    grid: Grid, store: Store, quorum: int, cohort: int, *, wait: Callable[[], bool], rested: Container[str] = ()
) -> dict[str, int]:
    """Choose up to `cohort` online, approved devices at random, by name and node; none of `rested`.

    Waits a bounded time for a quorum; `wait` is called at every look and returns False to stop waiting.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        online = set(grid.get_node_ids())
        devices = [each for each in store.devices() if each.state == "approved" and each.name not in rested]
        present = {d.name: d.node_id for d in devices if d.node_id is not None and d.node_id in online}
        if len(present) >= quorum or time.monotonic() > end or not wait():
            chosen = secrets.SystemRandom().sample(sorted(present), min(cohort, len(present)))
            return {name: present[name] for name in chosen}
        time.sleep(0.25)


def read_weights(store: Store, version: int) -> NDArray[np.float32]:
    """Read a version's weights, shape `(size,)`."""
    return np.frombuffer(store.weights(version), dtype="<f4")


def stopped(store: Store, run_id: int) -> bool:
    """Whether an operator asked the run to stop."""
    return store.run(run_id).state == "stopping"


def _goes_on(store: Store, run_id: int) -> bool:
    return not stopped(store, run_id)


def _progress(store: Store, run_id: int, number: int, rounds: int) -> Callable[[str, int, Replies], bool]:
    """Write down where the run is whenever that changes."""
    last: list[tuple[str, int, int]] = []

    def show(phase: str, cohort: int, replies: Replies) -> bool:
        state = (phase, len(replies.contents), len(replies.refusals))
        if last != [state]:
            last[:] = [state]
            store.set_progress(
                Progress(
                    run_id=run_id, round_number=number, rounds=rounds, phase=phase, cohort=cohort,
                    returned=state[1], refused=state[2], reasons=dict(Counter(replies.refusals.values())),
                    at=time.time(),
                )
            )  # fmt: skip
        return True

    return show
