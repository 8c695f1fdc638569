"""Rounds whose updates the coordinator sees one by one: local noise, or noise that it adds itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from server import central
from server.exchange import Replies, exchange
from server.records import CampaignRequest
from server.robust import aggregate, cast_votes
from server.strategy import check_update
from server.tracing import span
from shared import messages
from shared.aggregation import Aggregation
from shared.compression import decode, most_bytes, public_seed
from shared.errors import InputError, WireError
from shared.rounds import RoundPlan, TrainReport
from shared.updates import clip

Updates = dict[str, NDArray[np.float32]]
Watch = Callable[[Replies], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a round's answers come to: who counts, and the mean update of shape `(size,)` if enough of them did."""

    returned: tuple[str, ...]
    replies: Replies
    update: NDArray[np.float64] | None
    within: float | None = None


def ask(
    grid: Grid, plan: RoundPlan, request: CampaignRequest, cohort: Mapping[str, int], weights: NDArray[np.float32], *,
    key: bytes, owners: Mapping[str, str], watch: Watch,
) -> Answer:  # fmt: skip
    """Ask a cohort to train from `weights` of shape `(size,)`, check each update, and combine them.

    `key` is the secret of the campaign's own noise, `owners` say whose devices vote as one.
    """
    content = messages.pack("plan", plan, array=weights)
    replies = exchange(
        grid, invite(cohort, content, "train", group=str(plan.number)),
        goal=len(cohort), deadline_seconds=request.deadline_seconds, watch=watch,
    )  # fmt: skip
    with span("aggregate", answers=len(replies.contents)):
        updates, within = validate(replies, plan, len(weights))
        update = None
        if len(updates) >= max(1, request.quorum):
            update = _combine(plan, request, updates, key=key, owners=owners, size=len(weights), replies=replies)
    return Answer(
        returned=tuple(sorted(updates)), replies=replies, update=update,
        within=central.noisy_share(plan, within) if update is not None else None,
    )  # fmt: skip


def invite(cohort: Mapping[str, int], content: RecordDict, message_type: str, *, group: str) -> dict[str, Message]:
    """Address the same content to each device of a cohort."""
    return {name: Message(content, node, message_type, group_id=group) for name, node in cohort.items()}


def validate(replies: Replies, plan: RoundPlan, size: int) -> tuple[Updates, list[bool]]:
    """Keep the updates that fit the plan, and what they say of the bound; any other is noted against its sender."""
    updates: Updates = {}
    within: list[bool] = []
    for name, content in replies.contents.items():
        try:
            updates[name], told = _read_update(content, plan, size, name)
            within.append(told)
        except WireError as error:
            replies.failures[name] = str(error)[:200]
    return updates, within


def _read_update(content: RecordDict, plan: RoundPlan, size: int, name: str) -> tuple[NDArray[np.float32], bool]:
    report = messages.unpack(content, "report", TrainReport)
    asks = plan.central is not None and plan.central.count_noise is not None
    if (report.within is not None) != asks:
        raise WireError("report says of the bound what the plan did not ask, or does not say what it asked")
    expected = TrainReport(
        run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version, within=report.within
    )
    if report != expected:
        raise WireError(f"report is for round {report.round_number} of run {report.run_id}, not for this one")
    update = _unpack(content, plan, size, name)
    check_update(update, plan)
    # What decoding may have lengthened weighs no more than an update that travelled whole.
    return clip(update, plan.max_update_norm), bool(report.within)


def _unpack(content: RecordDict, plan: RoundPlan, size: int, name: str) -> NDArray[np.float32]:
    """The update as it was before it travelled, or what compression left of it; shape `(size,)`."""
    spec = plan.compression
    if spec is None:
        return messages.unpack_array(content, size=size)
    data = messages.unpack_data(content, most=most_bytes(spec, size))
    return decode(data, spec, size=size, seed=public_seed(plan.run_id, plan.number, name))


def _combine(
    plan: RoundPlan, request: CampaignRequest, updates: Updates, *, key: bytes, owners: Mapping[str, str], size: int,
    replies: Replies,
) -> NDArray[np.float64] | None:  # fmt: skip
    """The mean under the campaign's rule, or with the coordinator's noise; None where the rule needs more votes."""
    if plan.central:
        # Correlated noise cancels only while every round is divided by the same number.
        divisor = request.cohort if plan.central.noise == "correlated" else len(updates)
        return central.noisy_mean(plan, list(updates.values()), divisor=divisor, key=key)
    rule = request.training.aggregation or Aggregation()
    try:
        return aggregate(cast_votes(updates, owners, rule=rule, size=size), rule)
    except InputError as error:
        replies.failures.setdefault("(the round)", str(error)[:200])
        return None
