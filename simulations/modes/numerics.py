"""A campaign without Flower, ledgers and files: the functions that ship, one after another, for runs that are repeated.

Masks of secure aggregation cancel exactly, so what the coordinator decodes is the sum of the devices' residues: here
they are added up without masks. Noise is fresh in each run, as it ships.
"""

import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from client.contribution import contribution as as_residues
from client.inputs import Examples
from client.light import contribution, train
from server import central, secure_rounds
from server.plans import plan_round
from server.records import CampaignRequest
from server.strategy import step
from shared.architecture import initial_weights, size, split
from shared.errors import InputError
from shared.modes import Mode
from shared.noise import system_stream
from shared.rounds import RoundPlan
from shared.secagg.encoding import decode
from shared.secure import SecureRound
from shared.tasks import Task, Window

Weights = NDArray[np.float32]
Mean = NDArray[np.float64]


def campaign(task: Task, mode: Mode, devices: Sequence[Examples]) -> tuple[Weights, RoundPlan]:
    """Run all rounds of the task's mode over all devices; the last weights, shape `(size,)`, and the last plan."""
    request = request_of(task, mode, cohort=len(devices))
    weights, plans = initial_weights(task), list[RoundPlan]()
    momentum, key = np.zeros_like(weights), secrets.token_bytes(32)
    for number in range(1, request.training.rounds + 1):
        plan = plan_of(task, request, number)
        weights, momentum = step(weights, _mean(plan, task, weights, devices, key), momentum, request.training)
        plans.append(plan)
    return weights, plans[-1]


def request_of(task: Task, mode: Mode, *, cohort: int, window: Window | None = None) -> CampaignRequest:
    """A campaign as the task describes it; raise `InputError` if it does not offer the mode."""
    training = task.training_in(mode)
    if training is None:
        raise InputError(f"task {task.name!r} has no [{mode}] table to compare with")
    return CampaignRequest(
        task=task.name, window=window or Window(), training=training, base_version=1, quorum=1, cohort=cohort,
        deadline_seconds=600.0, mode=mode,
    )  # fmt: skip


def plan_of(task: Task, request: CampaignRequest, number: int) -> RoundPlan:
    """The plan of a round over the request's whole cohort."""
    if request.mode != "distributed" or task.distributed is None:
        return plan_round(1, number, task, number, request)
    noise = secure_rounds.noise_for(request.training, task.distributed, size=size(task), devices=request.cohort)
    secure = SecureRound(noise=noise, seed=secrets.token_hex(32), roster=1)
    return plan_round(1, number, task, number, request, secure=secure)


def _mean(plan: RoundPlan, task: Task, weights: Weights, devices: Sequence[Examples], key: bytes) -> Mean:
    """One round's mean update with all of its noise, shape `(size,)`."""
    if plan.secure:
        return _decoded(plan, plan.secure, task, weights, devices)
    if plan.central:
        return central.noisy_mean(plan, bounded(plan, task, weights, devices), divisor=len(devices), key=key)
    updates = [train(plan, task, weights, each, system_stream()) for each in devices]
    return np.asarray(np.mean(np.stack(updates), axis=0, dtype=np.float64))


def bounded(plan: RoundPlan, task: Task, weights: Weights, devices: Sequence[Examples]) -> list[Weights]:
    """What devices send to a coordinator that adds the noise: one update of shape `(size,)` each."""
    return [contribution(plan, task, weights, each, system_stream()).astype(np.float32) for each in devices]


def _decoded(plan: RoundPlan, secure: SecureRound, task: Task, weights: Weights, devices: Sequence[Examples]) -> Mean:
    """The mean of a round whose noise is in shares, as the coordinator reads it off the sum."""
    encoding, seed = secure.noise.encoding, bytes.fromhex(secure.seed)
    total = np.zeros(encoding.padded, np.uint64)
    for each in devices:
        update = contribution(plan, task, weights, each, system_stream())
        total += as_residues(update, secure.noise, seed=seed, stream=system_stream())
    total &= np.uint64((1 << encoding.bits) - 1)
    return decode(total, encoding, seed=seed) / len(devices)


def auc_of(task: Task, weights: Weights, test: Examples) -> float:
    """The area under the ROC curve of a linear network: its logits' difference orders rows as its probability does."""
    from simulations.demo.central import auc

    weight, bias = split(weights, task)
    logits = test.inputs @ weight.T + bias
    return auc(logits[:, 1] - logits[:, 0], test.labels)
