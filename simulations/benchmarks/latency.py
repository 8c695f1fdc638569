"""How long one raw record takes on this machine: the signed file beside PyTorch, in one process and one run.

python -m simulations.benchmarks.latency
"""

import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from client.inference import Predictor
from client.installed import SelfTest, file_of
from server.export import export
from shared import wire
from shared.architecture import size
from shared.features import encode_columns
from shared.models import Artifact, Precision, Release
from shared.network import build, load
from shared.synthetic import make_columns, to_records
from shared.tasks import Architecture, Task, Window, read_task

TASK_FILE = Path("tasks/flights.toml")
RECORDS = 2000
REPEATS = 3
NETWORKS = {"linear": Architecture(kind="linear"), "mlp": Architecture(kind="mlp", hidden=(32,))}

Record = Mapping[str, Any]
Row = dict[str, str | float]


def measure() -> list[Row]:
    """One row for each network, way of answering, and quantile: name, value, unit."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, architecture in NETWORKS.items():
        task = replace(read_task(TASK_FILE), architecture=architecture)
        records = to_records(make_columns(task, RECORDS, seed=1))
        with tempfile.TemporaryDirectory() as folder:
            for way, answer in _ways(task, Path(folder)).items():
                rows += _quantiles(f"device.predict.{name}.{way}", answer, records)
    return rows


def main() -> None:
    """Print the table, and how many times longer PyTorch takes."""
    rows = measure()
    for row in rows:
        sys.stdout.write(f"{row['name']:<44} {row['value']:>10.1f} {row['unit']}\n")
    values = {str(row["name"]): float(row["value"]) for row in rows}
    for name in NETWORKS:
        ratio = values[f"device.predict.{name}.torch.p50"] / values[f"device.predict.{name}.fp32.p50"]
        sys.stdout.write(f"{name}: PyTorch takes {ratio:.1f} times as long as the fp32 file\n")


def _ways(task: Task, folder: Path) -> dict[str, Callable[[Record], object]]:
    weights = np.random.default_rng(0).normal(0, 0.3, size(task)).astype(np.float32)
    return {
        "fp32": Predictor(_release(task, weights, folder / "fp32", "fp32")).predict,
        "int8": Predictor(_release(task, weights, folder / "int8", "int8")).predict,
        "torch": _torch(task, weights),
    }


def _release(task: Task, weights: NDArray[np.float32], folder: Path, serves: Precision) -> Path:
    """A release's directory, as an update leaves it, with the file that `serves` chosen."""
    models: dict[str, bytes] = {p: export(task, weights, version=1, precision=p) for p in ("fp32", "int8")}
    files = {**models, "task": wire.to_json(task)}
    folder.mkdir()
    for name, data in files.items():
        file_of(folder, name).write_bytes(data)
    artifacts = {
        name: Artifact(path=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        for name, data in files.items()
    }
    release = Release(number=1, task=task.name, revision=1, version=1, trained_on=Window(), artifacts=artifacts)
    (folder / "release.json").write_bytes(wire.to_json(release))
    (folder / "selftest.json").write_bytes(wire.to_json(SelfTest(precision=serves, fp32_us=1.0, int8_us=1.0)))
    return folder


def _torch(task: Task, weights: NDArray[np.float32]) -> Callable[[Record], object]:
    """What an application would write around the trained network: the same features, then the network, eagerly."""
    network = build(task)
    load(network, weights, task)

    @torch.inference_mode()
    def answer(record: Record) -> list[float]:
        columns: dict[str, NDArray[Any]] = {
            **{name: np.array([record[name]], dtype=np.float32) for name in task.numbers},
            **{name: np.array([record[name]], dtype=object) for name in task.texts},
        }
        logits: torch.Tensor = network(torch.from_numpy(encode_columns(task.features, columns)))
        return logits.softmax(dim=1)[0].tolist()

    return answer


def _quantiles(name: str, answer: Callable[[Record], object], records: list[dict[str, Any]]) -> list[Row]:
    """The medians, over repeats, of the 50th and 99th percentile of single calls, in microseconds."""
    passes = [_times(answer, records) for _ in range(REPEATS + 1)][1:]
    return [
        {
            "name": f"{name}.p{q}",
            "value": statistics.median(float(np.percentile(one, q)) for one in passes),
            "unit": "us",
        }
        for q in (50, 99)
    ]


def _times(answer: Callable[[Record], object], records: list[dict[str, Any]]) -> list[float]:
    times: list[float] = []
    for record in records:
        started = time.perf_counter()
        answer(record)
        times.append((time.perf_counter() - started) * 1e6)
    return times


if __name__ == "__main__":
    main()
