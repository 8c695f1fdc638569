"""A campaign on flights in process, whose updates travel compressed or not: the same samples and noise either way."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.feedback import Feedback, compress
from client.inputs import Examples
from client.light import train
from server.strategy import step
from shared.architecture import initial_weights, split
from shared.compression import Compression, Noised, decode, public_seed
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task, Window

WINTER = Window(start="2013-01-01", end="2013-03-01")
MARCH = Window(start="2013-03-01", end="2013-04-01")
DEVICES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a campaign came to: the tested AUC, and the mean bytes up a device and round."""

    auc: float
    bytes_up: float


def campaign(task: Task, devices: list[Examples], test: Examples, spec: Compression | None, *, seed: int) -> Outcome:
    """Run the task's rounds with one compression, or none, and test the last weights."""
    weights = initial_weights(task)
    momentum, kept, lengths = np.zeros_like(weights), [Feedback() for _ in devices], list[int]()
    for number in range(1, task.training.rounds + 1):
        plan = plan_of(task, spec, run_id=seed, number=number)
        arrived: list[NDArray[np.float32]] = []
        for device, examples in enumerate(devices):
            update = train(plan, task, weights, examples, stream("train", seed, number, device))
            travelled, length = _travel(update, plan, f"device {device}", kept[device])
            arrived.append(travelled)
            lengths.append(length)
        mean = np.asarray(np.mean(np.stack(arrived), axis=0, dtype=np.float64))
        weights, momentum = step(weights, mean, momentum, task.training)
    return Outcome(auc=_auc(task, weights, test), bytes_up=float(np.mean(lengths)))


def plan_of(task: Task, spec: Compression | None, *, run_id: int, number: int) -> RoundPlan:
    """The plan of a round, as the task has it."""
    training = task.training
    return RoundPlan(
        run_id=run_id, number=number, task=task.name, revision=task.revision, base_version=number, window=WINTER,
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm, compression=spec,
    )  # fmt: skip


def _travel(
    update: NDArray[np.float32], plan: RoundPlan, device: str, kept: Feedback
) -> tuple[NDArray[np.float32], int]:
    """What arrives of an update, and in how many bytes it came."""
    if plan.compression is None:
        return update, update.nbytes
    noised, words = Noised(values=update, cost=plan.cost), stream("round", plan.run_id, plan.number, device).words
    data = compress(noised, plan, device=device, kept=kept, words=words)
    seed = public_seed(plan.run_id, plan.number, device)
    return decode(data, plan.compression, size=len(update), seed=seed), len(data)


def read_flights(task: Task) -> tuple[list[Examples], Examples]:
    """Each station's winter, and the March of all."""
    from client.dataset import read_examples
    from simulations import flights

    winters, marches = list[Examples](), list[Examples]()
    with tempfile.TemporaryDirectory(prefix="covey-compression-") as folder:
        for station in flights.stations()[:DEVICES]:
            path = Path(folder) / f"{station}.parquet"
            flights.write_station(station, range(1, 4), path)
            winters.append(read_examples(path, task, WINTER))
            marches.append(read_examples(path, task, MARCH))
    inputs, labels = (np.concatenate(parts) for parts in zip(*((e.inputs, e.labels) for e in marches), strict=True))
    return winters, Examples(inputs=inputs, labels=labels)


def _auc(task: Task, weights: NDArray[np.float32], test: Examples) -> float:
    """Of a linear network: the difference of its two logits orders rows as its probability does."""
    from simulations.demo.central import auc

    weight, bias = split(weights, task)
    logits = test.inputs @ weight.T + bias
    return auc(logits[:, 1] - logits[:, 0], test.labels)


def stream(*names: object) -> CipherStream:
    """A stream of its own for each name: seeded, which only a simulation may do."""
    return CipherStream(hashlib.sha256(repr(names).encode()).digest())
