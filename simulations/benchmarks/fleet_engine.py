"""Virtual devices trained per core-second: the simulation's engine beside a bare PyTorch loop, Opacus, and the light trainer.

One workload: five local steps of sixteen rows from common weights, and the update bounded as a whole. Drawn samples are
a fifth of 80 rows, so as many in the mean. Processor time of one thread, medians, the trainers taking turns.

python -m simulations.benchmarks.fleet_engine
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
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from client.inputs import Examples
from client.light import train
from shared.architecture import initial_weights
from shared.features import Number
from shared.images import Image
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Classes, Task, Window, read_task
from simulations.fleet.engine import Engine, Noise
from simulations.fleet.streams import device_stream

TASK_FILE = Path("tasks/flights.toml")
STEPS, BATCH, RATE = 5, 16, 0.1
MFLOP = 5.22
"""What an update of the `mlp` takes in products and sums, by 10^6: forward, both gradients, none for the rows."""

REPEATS = 11
MATRIX = 1024
MAX_MEGABYTES = 100.0
Row = dict[str, str | float | bool]
Way = tuple[Callable[[], object], int]
"""What is timed, and how many devices it trains."""


@cache
def mlp_task() -> Task:
    """30-128-64-2 with tanh: 12,354 parameters."""
    return _task(30, 2, Architecture(kind="mlp", hidden=(128, 64)))


@cache
def cnn_task() -> Task:
    """Three convolutions and two dense layers over 28 by 28 pixels: 26,610 parameters."""
    image = Image(height=28, width=28, channels=(16, 32, 32))
    return _task(784, 10, Architecture(kind="cnn", hidden=(24,), image=image))


def mlp_plan(*, drawn: bool = False, clip: float = 1.0) -> RoundPlan:
    """Five steps of 16 rows: all that a device has, or `drawn` from 80. An infinite `clip` is plain SGD."""
    return RoundPlan(
        run_id=1, number=1, task=mlp_task().name, revision=1, base_version=1, window=Window(),
        sample_rate=1 / STEPS if drawn else 1.0, steps=STEPS, normalizer=float(BATCH), learning_rate=RATE,
        max_grad_norm=clip, noise_multiplier=1.0, max_update_norm=0.5,
    )  # fmt: skip


def device_examples(index: int, *, task: Task | None = None, rows: int = BATCH) -> Examples:
    """The rows of a device: some of its inputs lean to the side of its label."""
    task = task or mlp_task()
    random = np.random.default_rng(index)
    labels = random.integers(0, len(task.label.classes), rows)
    inputs = random.standard_normal((rows, task.inputs), np.float32) * np.float32(0.5)
    inputs[:, :5] += (0.3 * (labels[:, None] % 2 * 2 - 1)).astype(np.float32)
    return Examples(inputs=np.clip(inputs, -1, 1), labels=labels)


def engine(task: Task, noise: Noise, devices: int, *, drawn: bool = False, clip: float = 1.0) -> Way:
    """Many devices with the engine."""
    examples = [device_examples(index, task=task, rows=BATCH * STEPS if drawn else BATCH) for index in range(devices)]
    trainer, weights, plan = Engine(task), initial_weights(task), mlp_plan(drawn=drawn, clip=clip)
    streams = [device_stream(1, 1, index) for index in range(devices)]
    updates = np.empty((devices, len(weights)), np.float32)
    return lambda: trainer.train(plan, weights, examples, streams, noise=noise, out=updates), devices


def light(task: Task, devices: int) -> Way:
    """One device after another with the trainer that ships, on drawn samples."""
    examples = [device_examples(index, task=task, rows=BATCH * STEPS) for index in range(devices)]
    weights, plan = initial_weights(task), mlp_plan(drawn=True)
    return lambda: [train(plan, task, weights, each, device_stream(1, 1, 0)) for each in examples], devices


def bare(task: Task, devices: int, *, private: bool = False) -> Way:
    """One device after another in PyTorch, as short as it can be written.

    `private`: with Opacus as it comes, its hooks and its optimizer, made for each device as an app does that is
    started for it; its loader, which would draw the samples, is left out.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from shared.network import build, flatten, load

    torch.set_num_threads(1)
    weights, network = initial_weights(task), build(task)
    sets = [device_examples(index, task=task, rows=BATCH) for index in range(devices)]
    tensors = [(torch.from_numpy(each.inputs), torch.from_numpy(each.labels)) for each in sets]

    def descend() -> None:
        for inputs, labels in tensors:
            module: Any = build(task) if private else network
            load(module, weights, task)
            optimizer: Any = torch.optim.SGD(module.parameters(), lr=RATE)
            if private:
                module, optimizer = _opacus(module, optimizer)
            for _ in range(STEPS):
                optimizer.zero_grad()
                cross_entropy(module(inputs), labels).backward()
                optimizer.step()
            update = flatten(module.parameters()) - weights
            update *= np.float32(min(1.0, 0.5 / float(np.linalg.norm(update))))

    return descend, devices


def measure() -> list[Row]:
    """Updates per core-second of each way, what they are to one another, and the share of this machine's arithmetic."""
    return [*_mlp_rows(_child("mlp")), *_cnn_rows(_child("cnn")), _memory(_child("peak"))]


def main() -> None:
    """Print the table; in a child, print what it was asked for."""
    if len(sys.argv) > 1:
        asked: dict[str, Callable[[], object]] = {"mlp": _time_mlp, "cnn": _time_cnn, "peak": _peak}
        sys.stdout.write(json.dumps(asked[sys.argv[1]]()))
        return
    for row in measure():
        verdict = f"  target {row['target']}: {'met' if row['meets'] else 'missed'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<52} {row['value']:>10.2f} {row['unit']}{verdict}\n")


def _opacus(module: Any, optimizer: Any) -> tuple[Any, Any]:
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    made = GradSampleModule(module)
    return made, DPOptimizer(optimizer, noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=BATCH)


def _time_mlp() -> dict[str, float]:
    task, plain = mlp_task(), math.inf
    ways = {
        "plain": engine(task, "none", 128, clip=plain),
        "plain-drawn": engine(task, "none", 128, drawn=True, clip=plain),
        "clipped-drawn": engine(task, "none", 128, drawn=True),
        "quick": engine(task, "quick", 64),
        "quick-drawn": engine(task, "quick", 64, drawn=True),
        "exact-drawn": engine(task, "exact", 16, drawn=True),
        "light-drawn": light(task, 8),
        "sgemm": _sgemm(),
    }
    return _rates(ways | _peers(task, 16, 6))


def _time_cnn() -> dict[str, float]:
    task, plain = cnn_task(), math.inf
    ways = {
        "plain": engine(task, "none", 4, clip=plain),
        "plain-drawn": engine(task, "none", 4, drawn=True, clip=plain),
        "quick-drawn": engine(task, "quick", 4, drawn=True),
        "light-drawn": light(task, 2),
    }
    return _rates(ways | _peers(task, 2, 2))


def _peers(task: Task, devices: int, private: int) -> dict[str, Way]:
    ways: dict[str, Way] = {}
    if find_spec("torch"):
        ways["torch"] = bare(task, devices)
    if find_spec("opacus"):
        ways["opacus"] = bare(task, private, private=True)
    return ways


def _sgemm() -> Way:
    """A product of two large matrices; what it counts is not devices, but products and sums."""
    left, right, out = np.random.default_rng(0).standard_normal((3, MATRIX, MATRIX)).astype(np.float32)
    return lambda: np.matmul(left, right, out=out), 2 * MATRIX**3


def _rates(ways: dict[str, Way]) -> dict[str, float]:
    """How many devices a second of the processor trains: the median, the trainers taking turns."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(REPEATS + 1):
            for way, (run, _) in ways.items():
                started = time.process_time()
                run()
                times[way].append(time.process_time() - started)
    return {way: count / statistics.median(times[way][1:]) for way, (_, count) in ways.items()}


def _mlp_rows(rates: dict[str, float]) -> list[Row]:
    sgemm = rates.pop("sgemm")
    rows = _rate_rows("mlp", rates)
    rows += _ratios("mlp", rates, {"plain": 10.0, "plain-drawn": 10.0}, "torch")
    rows += _ratios("mlp", rates, {"quick": 20.0, "quick-drawn": 20.0, "exact-drawn": 20.0}, "opacus")
    rows += _ratios("mlp", rates, {"quick-drawn": None, "exact-drawn": None}, "light-drawn")
    rows.append({"name": "simulation.engine.sgemm", "value": sgemm / 1e9, "unit": "GFLOP/s"})
    share = 100 * rates["plain"] * MFLOP * 1e6 / sgemm
    return [*rows, {"name": "simulation.engine.mlp.plain.of-sgemm", "value": share, "unit": "%"}]


def _cnn_rows(rates: dict[str, float]) -> list[Row]:
    rows = _rate_rows("cnn", rates)
    rows += _ratios("cnn", rates, {"plain": 1.4, "plain-drawn": 1.4, "quick-drawn": None}, "torch")
    rows += _ratios("cnn", rates, {"quick-drawn": None}, "opacus")
    return [*rows, *_ratios("cnn", rates, {"quick-drawn": None}, "light-drawn")]


def _rate_rows(network: str, rates: dict[str, float]) -> list[Row]:
    return [
        {"name": f"simulation.engine.{network}.{way}", "value": rate, "unit": "updates/core-s"}
        for way, rate in rates.items()
    ]


def _ratios(network: str, rates: dict[str, float], targets: dict[str, float | None], peer: str) -> list[Row]:
    """How many times as many updates as a peer, where that is installed."""
    rows: list[Row] = []
    for way, target in targets.items():
        row: Row = {"name": f"simulation.engine.{network}.{way}.to-{peer}", "unit": "x"}
        if peer not in rates:
            rows.append(row | {"value": 0.0, "unit": f"x: {peer} is not installed"})
            continue
        row["value"] = value = rates[way] / rates[peer]
        rows.append(row if target is None else row | {"target": target, "meets": value >= target})
    return rows


def _memory(peak: float) -> Row:
    row: Row = {"name": "simulation.engine.mlp.memory", "value": peak, "unit": "MB"}
    return row | {"target": MAX_MEGABYTES, "meets": peak <= MAX_MEGABYTES}


def _peak() -> float:
    """Megabytes that this process took at most, after 2,048 devices in calls of 64."""
    run, _ = engine(mlp_task(), "quick", 64, drawn=True)
    for _ in range(32):
        run()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _child(what: str) -> Any:
    """The answer of a process of its own, whose libraries of matrices all run on one thread."""
    pinned = {f"{library}_NUM_THREADS": "1" for library in ("MKL", "OMP", "OPENBLAS")}
    command = [sys.executable, "-m", "simulations.benchmarks.fleet_engine", what]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | pinned)  # noqa: S603 (itself)
    return json.loads(done.stdout)


def _task(inputs: int, classes: int, architecture: Architecture) -> Task:
    return replace(
        read_task(TASK_FILE),
        features=tuple(Number(name=f"x{i}", low=-1.0, high=1.0, missing=0.0) for i in range(inputs)),
        label=Classes(column="y", classes=tuple(str(i) for i in range(classes))),
        architecture=architecture,
    )


if __name__ == "__main__":
    main()
