"""Writes the plan of a round: public constants of the request, the task and the rounds before; nothing from any device."""

from collections.abc import Sequence

from server import central
from server.records import CampaignRequest
from shared.central import CentralRound
from shared.errors import InputError
from shared.rounds import RoundPlan, RoundResult
from shared.secure import SecureRound
from shared.tasks import Task


def plan_round(
    run_id: int, number: int, task: Task, version: int, request: CampaignRequest, *,
    done: Sequence[RoundResult] = (), secure: SecureRound | None = None,
) -> RoundPlan:  # fmt: skip
    """Write the plan of one round; `done` are the campaign's rounds so far, `secure` how a distributed one is summed."""
    training, last = request.training, _last_committed(done)
    form = _central(task, request, done)
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
        max_update_norm=central.bound(training, task.central.quantile if form and task.central else None, last),
        mode=request.mode,
        compression=training.compression,
        secure=secure,
        central=form,
        reserved=_reserved(request, form),
    )


def _central(task: Task, request: CampaignRequest, done: Sequence[RoundResult]) -> CentralRound | None:
    if request.mode != "central":
        return None
    if task.central is None:
        raise InputError(f"task {task.name!r} has no [central] table, so no device would accept central noise")
    committed = sum(result.outcome == "committed" for result in done)
    return central.round_of(task.central, request.training, step=committed + 1, cohort=request.cohort)


def _reserved(request: CampaignRequest, form: CentralRound | None) -> int | None:
    """How many rounds a device pays for with its first one."""
    if form and form.noise == "correlated":
        return form.participations
    return request.training.rounds if request.reserve else None


def _last_committed(done: Sequence[RoundResult]) -> RoundResult | None:
    return next((result for result in reversed(done) if result.outcome == "committed"), None)
