"""A campaign, round by round: plan, ask, validate, aggregate, commit; and again after a crash."""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from server.exchange import Replies, exchange
from server.records import CampaignRequest, Progress, Run
from server.store import Store
from server.strategy import check_update, step
from shared import messages
from shared.architecture import size
from shared.errors import InputError, WireError
from shared.rounds import Outcome, RoundPlan, RoundResult, TrainReport
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
    number = max((result.plan.number for result in done), default=0)
    while committed < request.training.rounds and not stopped(store, run.id):
        if number - committed >= request.training.rounds:
            raise InputError(f"{number - committed} rounds were abandoned; see `covey rounds {run.id}` for the reasons")
        number += 1
        plan = plan_round(run.id, number, task, version, request)
        result, updates = run_round(grid, store, task, plan, request)
        if result.outcome == "committed":
            version = _commit(store, task, result, updates, request)
            committed += 1
        elif not stopped(store, run.id):
            store.abandon_round(result)
        log.info("round %d of run %d: %s", number, run.id, result.outcome)


def plan_round(run_id: int, number: int, task: Task, version: int, request: CampaignRequest) -> RoundPlan:
    """Write the plan of one round: public constants of the request, nothing from any device."""
    training = request.training
    return RoundPlan(
        run_id=run_id,
        number=number,
        task=task.name,
        revision=task.revision,
        base_version=version,
        window=request.window,
        sample_rate=training.sample_rate,
        steps=training.steps,
        normalizer=training.normalizer,
        learning_rate=training.learning_rate,
        max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier,
        max_update_norm=training.max_update_norm,
    )


def run_round(
    grid: Grid, store: Store, task: Task, plan: RoundPlan, request: CampaignRequest
) -> tuple[RoundResult, list[NDArray[np.float32]]]:
    """Ask a cohort to train and return the record of it with the valid updates, each of shape `(size,)`."""
    started = time.time()
    show = _progress(store, plan.run_id, plan.number, request.training.rounds)
    go_on = partial(_goes_on, store, plan.run_id)
    cohort = gather(
        grid, store, request.quorum, request.cohort,
        wait=lambda: show("waiting for devices", 0, Replies()) and go_on(),
    )  # fmt: skip
    content = messages.pack("plan", plan, array=read_weights(store, plan.base_version))
    replies = exchange(
        grid,
        invite(cohort, content, "train", group=str(plan.number)),
        goal=len(cohort),
        deadline_seconds=request.deadline_seconds,
        watch=lambda replies: show("training", len(cohort), replies) and go_on(),
    )
    updates = validate(replies, plan, size(task))
    outcome: Outcome = "committed" if len(updates) >= max(1, request.quorum) else "abandoned"
    result = RoundResult(
        plan=plan,
        cohort=tuple(sorted(cohort)),
        returned=tuple(sorted(updates)),
        refusals=replies.refusals,
        failures=replies.failures,
        started_at=started,
        finished_at=time.time(),
        outcome=outcome,
    )
    return result, list(updates.values())


def validate(replies: Replies, plan: RoundPlan, size: int) -> dict[str, NDArray[np.float32]]:
    """Keep the updates that fit the plan; every other one is noted against its sender and dropped."""
    updates: dict[str, NDArray[np.float32]] = {}
    for name, content in replies.contents.items():
        try:
            updates[name] = _read_update(content, plan, size)
        except WireError as error:
            replies.failures[name] = str(error)[:200]
    return updates


def _read_update(content: RecordDict, plan: RoundPlan, size: int) -> NDArray[np.float32]:
    report = messages.unpack(content, "report", TrainReport)
    expected = TrainReport(run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version)
    if report != expected:
        raise WireError(f"report is for round {report.round_number} of run {report.run_id}, not for this one")
    update = messages.unpack_array(content, size=size)
    check_update(update, plan.max_update_norm)
    return update


def _commit(
    store: Store, task: Task, result: RoundResult, updates: list[NDArray[np.float32]], request: CampaignRequest
) -> int:
    weights = read_weights(store, result.plan.base_version)
    kept = store.momentum(result.plan.run_id)
    momentum = np.zeros_like(weights) if kept is None else np.frombuffer(kept, dtype="<f4")
    weights, momentum = step(weights, updates, momentum, request.training)
    version = store.commit_round(result, weights=weights.tobytes(), momentum=momentum.tobytes(), revision=task.revision)
    return version.number


def gather(grid: Grid, store: Store, quorum: int, cohort: int, *, wait: Callable[[], bool]) -> dict[str, int]:
    """Choose up to `cohort` online, approved devices at random, by name and node.

    Waits a bounded time for a quorum; `wait` is called at every look and returns False to stop waiting.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        online = set(grid.get_node_ids())
        devices = [device for device in store.devices() if device.state == "approved"]
        present = {d.name: d.node_id for d in devices if d.node_id is not None and d.node_id in online}
        if len(present) >= quorum or time.monotonic() > end or not wait():
            chosen = secrets.SystemRandom().sample(sorted(present), min(cohort, len(present)))
            return {name: present[name] for name in chosen}
        time.sleep(0.25)


def invite(cohort: Mapping[str, int], content: RecordDict, message_type: str, *, group: str) -> dict[str, Message]:
    """Address the same content to each device of a cohort."""
    return {name: Message(content, node, message_type, group_id=group) for name, node in cohort.items()}


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
