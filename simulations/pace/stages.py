"""What is learned at either pace: aircraft under local noise, and handwritten-looking digits without any."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from server.plans import plan_round
from server.records import CampaignRequest
from shared.architecture import initial_weights, split
from shared.errors import InputError
from shared.tasks import Architecture, Task, Window, read_task
from shared.training import Training
from simulations.fleet.conditions import Behaviour, Conditions
from simulations.fleet.population import Packed, Rows, pack
from simulations.fleet.streams import generator
from simulations.pace.world import Weights, World, trainer

StageName = Literal["digits", "flights"]
Way = Literal["rounds", "buffer"]
WAYS: tuple[Way, ...] = ("rounds", "buffer")

TASK_FILE = Path("tasks/flights.toml")
SILENT = 1e-6
"""The noise multiplier where there is to be none; a plan must have one."""

NIGHT = 8 * 3600.0
"""Runs begin at eight o'clock UTC, which is night in the zones of the presets: most phones are there."""

PICTURES, TEST_PICTURES, PICTURES_EACH, SKEW = 40_000, 4000, 20, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A task, what counts as learned, and how each way trains: all but the server's step is the same for both.

    `measure` says what the target is of; `servers` are each way's learning rate and momentum of the server's step,
    chosen as docs/decisions/0021 says for so many devices at work (`concurrency`).
    """

    name: StageName
    measure: str
    target: float
    concurrency: int
    local: Training
    servers: dict[Way, tuple[float, float]]

    def training(self, way: Way) -> Training:
        """How a way trains: its own server learning rate and momentum."""
        rate, momentum = self.servers[way]
        return replace(self.local, server_learning_rate=rate, server_momentum=momentum)


STAGES: dict[StageName, Stage] = {
    "digits": Stage(
        name="digits", measure="accuracy on 4,000 other pictures", target=0.9, concurrency=1000,
        local=Training(
            rounds=1, sample_rate=0.5, steps=4, normalizer=10.0, learning_rate=0.5, max_grad_norm=1.0,
            noise_multiplier=SILENT, max_update_norm=20.0,
        ),
        servers={"rounds": (4.0, 0.8), "buffer": (1.0, 0.0)},
    ),
    "flights": Stage(
        name="flights", measure="AUC on March", target=0.67, concurrency=260,
        local=Training(
            rounds=1, sample_rate=1.0, steps=1, normalizer=10.0, learning_rate=1.0, max_grad_norm=1.0,
            noise_multiplier=2.0, max_update_norm=10.0,
        ),
        servers={"rounds": (1.0, 0.5), "buffer": (0.5, 0.0)},
    ),
}  # fmt: skip


def task_of(name: StageName) -> Task:
    """The task that a stage's devices learn."""
    from simulations.attacks.digits import digits_task

    if name == "flights":
        return read_task(TASK_FILE)
    return replace(digits_task(), architecture=Architecture(kind="mlp", hidden=(32,)))


def prepare(name: StageName, folder: Path, *, devices: int) -> int:
    """Pack a stage's population into a folder, and what it is tested on; how many devices there are.

    0 is as many as there are: 2,272 aircraft, of which settings were chosen on none, or 4,000 for digits.
    """
    rows, test = _aircraft(devices) if name == "flights" else _digits(devices or 4000)
    pack(folder, rows)
    np.savez(folder / "test.npz", inputs=test.inputs, labels=test.labels)
    return len(rows.names)


def world_of(
    stage: Stage, way: Way, folder: Path, *, behaviour: Behaviour, seed: int
) -> tuple[World, Callable[[Weights], float]]:
    """A prepared stage as one way runs it, and its measure."""
    task, training, rows = task_of(stage.name), stage.training(way), Packed(folder)
    request = CampaignRequest(
        task=task.name, window=Window(), training=training, base_version=1, quorum=1, cohort=1, deadline_seconds=600.0
    )
    plan = plan_round(1, 1, task, 1, request)
    counts = np.diff(rows.offsets).astype(np.float64)
    world = World(
        plan=plan, training=training, start=initial_weights(task), train=trainer(task, rows, noise="none" if training.noise_multiplier <= SILENT else "exact"),
        work=counts * training.sample_rate * training.steps, begins=NIGHT, seed=seed,
        conditions=Conditions(behaviour, len(rows), seed=seed),
    )  # fmt: skip
    return world, _measure(task, folder)


def _measure(task: Task, folder: Path) -> Callable[[Weights], float]:
    from simulations.modes.numerics import auc_of

    with np.load(folder / "test.npz") as kept:
        test = Examples(inputs=kept["inputs"], labels=kept["labels"])
    if task.name == "flights":
        return lambda weights: auc_of(task, weights, test)
    return lambda weights: accuracy_of(task, weights, test)


def accuracy_of(task: Task, weights: Weights, test: Examples) -> float:
    """The share of rows whose most likely class is theirs, under a network with one hidden layer."""
    inner, inner_bias, outer, outer_bias = split(weights, task)
    logits = np.tanh(test.inputs @ inner.T + inner_bias) @ outer.T + outer_bias
    return float((logits.argmax(axis=1) == test.labels).mean())


def _aircraft(devices: int) -> tuple[Rows, Examples]:
    """Each aircraft's January and February, and the March of all of them."""
    from simulations.modes.aircraft import read_fleet

    fleet = read_fleet(read_task(TASK_FILE))
    if devices > len(fleet.devices):
        raise InputError(f"there are {len(fleet.devices)} aircraft that are scored; ask for no more than that")
    return _rows(fleet.devices[: devices or None], "aircraft"), fleet.test


def _digits(devices: int, *, seed: int = 3) -> tuple[Rows, Examples]:
    """Twenty pictures a device, whose digits are skewed by a Dirichlet distribution (Hsu, Qi & Brown, 2019).

    Settings were chosen with another seed: on other pictures, shared out in another way.
    """
    from simulations.attacks.digits import CLASSES, draw

    pictures, random = draw(PICTURES + TEST_PICTURES, seed=seed), generator(seed, "digits")
    shares = random.dirichlet([SKEW] * CLASSES, devices)
    # Pictures come in the order of the ten digits, so a digit and a turn name one.
    digits = np.concatenate([random.choice(CLASSES, PICTURES_EACH, p=share) for share in shares])
    chosen = random.integers(PICTURES // CLASSES, size=len(digits)) * CLASSES + digits
    kept = [Examples(inputs=pictures.inputs[mine], labels=pictures.labels[mine]) for mine in np.split(chosen, devices)]
    return _rows(kept, "device"), Examples(inputs=pictures.inputs[PICTURES:], labels=pictures.labels[PICTURES:])


def _rows(devices: "list[Examples] | tuple[Examples, ...]", word: str) -> Rows:
    counts: NDArray[np.int64] = np.array([len(each.labels) for each in devices])
    return Rows(
        names=tuple(f"{word} {number}" for number in range(len(devices))),
        offsets=np.concatenate([np.zeros(1, np.int64), counts.cumsum()]),
        inputs=np.concatenate([each.inputs for each in devices]),
        labels=np.concatenate([each.labels for each in devices]),
        times=np.zeros(int(counts.sum()), np.int64),
        groups={},
    )
