"""One round of a device: the light trainer beside stock Opacus, as a user writes it, on the same plan and rows.

A round goes from the received weights over sixteen Poisson-sampled steps to the clipped update, and to the epsilon
of all rounds so far. Opacus is as its documentation has it: `make_private`, its loader, its accountant.

python -m simulations.benchmarks.light_training
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from client.inputs import Examples
from client.light import clip, train
from shared.accounting import epsilon
from shared.architecture import initial_weights
from shared.features import Number
from shared.images import Image
from shared.noise import system_stream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Classes, Task, Window, read_task

TASK_FILE = Path("tasks/flights.toml")
ROWS = 1000
REPEATS = 15
NETWORKS = {
    "mlp": (30, 2, Architecture(kind="mlp", hidden=(128, 64))),
    "cnn": (784, 10, Architecture(kind="cnn", hidden=(64,), image=Image(height=28, width=28, channels=(16, 32)))),
}
TARGETS = {"mlp": 15.0, "cnn": 2.0}
MAX_MEGABYTES = 150.0
STOCK_MODES = ("hooks", "ew", "ghost")
"""Opacus's ways to an example's gradient: its default, its vectorised one, and norms without gradients."""

Row = dict[str, str | float | bool]


def measure() -> list[Row]:
    """The median milliseconds of a round for each network and trainer, how many times longer Opacus takes, and peak memory."""
    rows: list[Row] = []
    for name in NETWORKS:
        times: dict[str, float] = _child("times", name)
        rows += [{"name": f"device.train.{name}.{way}", "value": value, "unit": "ms"} for way, value in times.items()]
        rows += _ratios(name, times)
        rows.append(_row(f"device.train.{name}.light.memory", _child("peak", name), "MB", MAX_MEGABYTES, at_most=True))
    return rows


def main() -> None:
    """Print the table; in a child, print what it was asked for."""
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps({"times": _rounds, "peak": _peak}[sys.argv[1]](sys.argv[2])))
        return
    for row in measure():
        verdict = f"  target {row['target']}: {'met' if row['meets'] else 'missed'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<44} {row['value']:>10.2f} {row['unit']}{verdict}\n")


def light(name: str) -> Callable[[], object]:
    """A round with the light trainer."""
    task, plan, examples = _task(name), _plan(name), _examples(name)
    weights, history = initial_weights(task), [plan.event]

    def descend() -> object:
        update = train(plan, task, weights, examples, system_stream())
        history.append(plan.event)
        return update, epsilon(history, delta=task.privacy.delta)

    return descend


def stock(name: str, mode: str) -> Callable[[], object]:
    """A round with Opacus in one of its modes."""
    import torch
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    from shared.network import build, flatten, load

    task, plan, examples = _task(name), _plan(name), _examples(name)
    weights, engine = initial_weights(task), PrivacyEngine(accountant="rdp")
    rows = TensorDataset(torch.from_numpy(examples.inputs), torch.from_numpy(examples.labels))

    def descend() -> object:
        network = build(task)
        load(network, weights, task)
        private, optimizer, criterion, loader = _make_private(
            engine,
            mode,
            module=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=plan.learning_rate),
            criterion=torch.nn.CrossEntropyLoss(),
            data_loader=DataLoader(rows, batch_size=math.ceil(ROWS * plan.sample_rate)),
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.max_grad_norm,
        )
        for inputs, labels in loader:
            optimizer.zero_grad()
            criterion(private(inputs), labels).backward()
            optimizer.step()
        update = clip(flatten(network.parameters()) - weights, plan.max_update_norm)
        return update, engine.get_epsilon(task.privacy.delta)

    return descend


def _make_private(engine: Any, mode: str, **parts: Any) -> Any:
    """Opacus returns its criterion in one mode and leaves it out in the others."""
    made = engine.make_private(grad_sample_mode=mode, **parts)
    return made if len(made) == 4 else (*made[:2], parts["criterion"], made[2])


def _ways(name: str) -> dict[str, Callable[[], object]]:
    ways = {"light": light(name)}
    if find_spec("opacus"):
        import torch

        torch.set_num_threads(1)
        ways |= {f"opacus-{mode}": stock(name, mode) for mode in STOCK_MODES}
    return ways


def _rounds(name: str) -> dict[str, float]:
    """The median processor time of each trainer's round, in milliseconds, the trainers taking turns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ways = _ways(name)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(REPEATS + 1):
            for way, descend in ways.items():
                started = time.process_time()
                descend()
                times[way].append((time.process_time() - started) * 1e3)
    return {way: statistics.median(each[1:]) for way, each in times.items()}


def _ratios(name: str, times: dict[str, float]) -> list[Row]:
    """How many times longer Opacus takes: as it comes, which the target speaks of, and in the fastest of its modes."""
    stocks = [time for way, time in times.items() if way != "light"]
    if not stocks:
        return [{"name": f"device.train.{name}.ratio", "value": 0.0, "unit": "x: Opacus is not installed"}]
    stock, fastest = times["opacus-hooks"] / times["light"], min(stocks) / times["light"]
    return [
        _row(f"device.train.{name}.ratio", stock, "x", TARGETS[name], at_most=False),
        {"name": f"device.train.{name}.ratio-fastest", "value": fastest, "unit": "x"},
    ]


def _row(name: str, value: float, unit: str, target: float, *, at_most: bool) -> Row:
    meets = value <= target if at_most else value >= target
    return {"name": name, "value": value, "unit": unit, "target": target, "meets": meets}


def _child(what: str, name: str) -> Any:
    """The answer of a process of its own, whose libraries of matrices all run on one thread."""
    pinned = {f"{library}_NUM_THREADS": "1" for library in ("MKL", "OMP", "OPENBLAS")}
    command = [sys.executable, "-m", "simulations.benchmarks.light_training", what, name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | pinned)  # noqa: S603 (itself)
    return json.loads(done.stdout)


def _peak(name: str) -> float:
    """Megabytes that this process took at most, after one light round: `ru_maxrss` would count its parent's too."""
    light(name)()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _task(name: str) -> Task:
    inputs, classes, architecture = NETWORKS[name]
    return replace(
        read_task(TASK_FILE),
        features=tuple(Number(name=f"x{i}", low=-1.0, high=1.0, missing=0.0) for i in range(inputs)),
        label=Classes(column="y", classes=tuple(str(i) for i in range(classes))),
        architecture=architecture,
    )


def _plan(name: str) -> RoundPlan:
    """Sixteen steps at a sixteenth of 1,000 rows: the setting that the facts of this project were measured in."""
    task = _task(name)
    return RoundPlan(
        run_id=1, number=1, task=task.name, revision=1, base_version=1, window=Window(), sample_rate=1 / 16, steps=16,
        normalizer=62.5, learning_rate=0.1, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=1.0,
    )  # fmt: skip


def _examples(name: str) -> Examples:
    inputs, classes, _ = NETWORKS[name]
    random = np.random.default_rng(0)
    pixels = random.uniform(-1, 1, (ROWS, inputs)).astype(np.float32)
    return Examples(inputs=pixels, labels=random.integers(0, classes, ROWS))


if __name__ == "__main__":
    main()
