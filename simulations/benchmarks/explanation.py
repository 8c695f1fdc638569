"""How long explaining one answer takes: the graph that a device builds beside Captum, on the same network and records.

python -m simulations.benchmarks.explanation

Where Captum is not installed, a row says so; it is no dependency of a device.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.attributiongraph import build_graph
from client.attributions import ATTRIBUTIONS, Explainer
from server.export import export
from shared.architecture import size
from shared.features import Number, encode_columns
from shared.feeds import to_feeds
from shared.runtime import open_model
from shared.synthetic import make_columns
from shared.tasks import Architecture, Task, read_task

TASK_FILE = Path("tasks/flights.toml")
INPUTS, HIDDEN = 30, (128, 64)
CALLS = 300
CAPTUM_CALLS = 30
TARGET_MS = 0.1
AGREE = 1e-5

Row = dict[str, str | float | bool]


def measure() -> list[Row]:
    """Median milliseconds for one record, how many times longer Captum takes, and how far the two differ."""
    task = small_task()
    weights = np.random.default_rng(0).normal(0, 0.2, size(task)).astype(np.float32)
    graph = build_graph(task, export(task, weights, version=1))
    columns = make_columns(task, 256, seed=1)
    feeds = to_feeds(task, columns)
    explainer, session = Explainer(task, graph), open_model(graph)
    records = [{name: table[row : row + 1] for name, table in feeds.items()} for row in range(256)]
    one_ms = _median_ms(lambda row: explainer.explain(records[row]), CALLS)
    batch_ms = _median_ms(lambda _: session.run([ATTRIBUTIONS], feeds), CAPTUM_CALLS)
    rows = [
        _row("device.explain.mlp.one", one_ms, "ms", TARGET_MS),
        {"name": "device.explain.mlp.batch_256", "value": batch_ms, "unit": "ms"},
        {"name": "device.explain.mlp.graph", "value": len(graph) / 1e3, "unit": "kB"},
    ]
    ours: NDArray[np.float32] = session.run([ATTRIBUTIONS], feeds)[0]
    return rows + _captum(task, weights, columns, ours, one_ms)


def small_task() -> Task:
    """The network of the issue's figures: 30 numbers, 128 and 64 units, two classes."""
    features = tuple(Number(name=f"x{index}", low=-3.0, high=3.0, missing=0.0) for index in range(INPUTS))
    network = Architecture(kind="mlp", hidden=HIDDEN)
    return replace(read_task(TASK_FILE), features=features, architecture=network)


def main() -> None:
    """Print the table."""
    for row in measure():
        verdict = f"  target {row['target']}: {'met' if row['meets'] else 'missed'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<44} {row['value']:>12.6g} {row['unit']}{verdict}\n")


def _captum(
    task: Task, weights: NDArray[np.float32], columns: dict[str, Any], ours: NDArray[np.float32], one_ms: float
) -> list[Row]:
    if find_spec("captum") is None:
        return [{"name": "device.explain.captum", "value": 0.0, "unit": "not installed"}]
    import torch

    from shared.network import build, load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum's own imports use what others have deprecated
        from captum.attr import IntegratedGradients

    torch.set_num_threads(1)
    network = torch.nn.Sequential(build(task), torch.nn.Softmax(dim=1))
    load(network[0], weights, task)
    inputs = torch.from_numpy(encode_columns(task.features, columns))
    answered = network(inputs).argmax(dim=1)
    method = IntegratedGradients(network)

    def explain(rows: slice) -> NDArray[np.float32]:
        found = method.attribute(inputs[rows].clone(), target=answered[rows], n_steps=50)
        return found.detach().numpy()

    captum_ms = _median_ms(lambda row: explain(slice(row, row + 1)), CAPTUM_CALLS)
    gap = float(np.abs(explain(slice(None)) - ours).max())
    return [
        {"name": "device.explain.mlp.captum", "value": captum_ms, "unit": "ms"},
        {"name": "device.explain.mlp.captum_ratio", "value": captum_ms / one_ms, "unit": "times as long"},
        _row("device.explain.mlp.difference_to_captum", gap, "probability", AGREE),
    ]


def _median_ms(act: Callable[[int], object], calls: int) -> float:
    times: list[float] = []
    for call in range(calls + 10):
        started = time.perf_counter()
        act(call % 256)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times[10:])


def _row(name: str, value: float, unit: str, target: float) -> Row:
    return {"name": name, "value": value, "unit": unit, "target": target, "meets": value <= target}


if __name__ == "__main__":
    main()
