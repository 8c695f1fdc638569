"""How fast a device answers: in process beside PyTorch, over the socket, while releases are swapped, and from cold.

The network is the 30-128-64-2 MLP with its preprocessing in the graph. PyTorch gets the prepared features and nothing
to preprocess; it runs in the same process, in turn with ours. Over the socket the service has one core and the
caller another.

python -m simulations.benchmarks.serving [--full]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from client.config import AgentHome
from client.inference import Predictor
from client.installed import point_to
from shared.architecture import initial_weights
from shared.features import Number
from shared.tasks import Architecture, Task, read_task
from simulations.benchmarks import endpoint

TASK_FILE = Path("tasks/flights.toml")
CALLS, REPEATS, STARTS = 5000, 5, 5
CONNECTIONS = 8
TASKS = 8

Row = dict[str, str | float | bool]
RECORD = {f"n{index}": 0.03 * index for index in range(30)}


def measure(*, full: bool = False) -> list[Row]:
    """Every figure with its target; `full` asks a million times while releases are swapped, else 100,000 times."""
    endpoint.pin(0)()
    with tempfile.TemporaryDirectory(prefix="covey-") as folder:
        home = endpoint.make_home(Path(folder) / "one", _task(), names=["bench"], releases=2)
        many = endpoint.make_home(
            Path(folder) / "many", _task(), names=[f"bench-{n}" for n in range(TASKS)], releases=1
        )
        return [
            *_in_process(home), *_over_the_socket(home), *_while_swapping(home, 1_000_000 if full else 100_000),
            *_cold(home), *_eight_tasks(many),
        ]  # fmt: skip


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--full", action="store_true", help="a million requests while releases are swapped")
    for row in measure(full=options.parse_args().full):
        verdict = f"  target {row['target']}: {'met' if row['meets'] else 'missed'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<52} {row['value']:>10.1f} {row['unit']}{verdict}\n")


def _task() -> Task:
    import dataclasses

    task = read_task(TASK_FILE)
    features = tuple(Number(name=name, low=0.0, high=1.0, missing=0.5) for name in RECORD)
    changes: dict[str, Any] = {"features": features, "groups": (), "timestamp": None}
    return dataclasses.replace(
        task, **changes, architecture=Architecture(kind="mlp", hidden=(128, 64)), **_without_rules(task)
    )


def _without_rules(task: Task) -> dict[str, Any]:
    """What a task may say about columns that this one does not have, back to its default."""
    return {name: type(getattr(task, name))() for name in ("contract",) if hasattr(task, name)}


def _in_process(home: AgentHome) -> Iterator[Row]:
    predictor = Predictor(home)
    prepared = np.array([list(RECORD.values())], dtype=np.float32)
    ways: dict[str, Callable[[], object]] = {
        "prepared": lambda: predictor.predict_prepared(prepared), "dict": lambda: predictor.predict(RECORD)
    }  # fmt: skip
    if find_spec("torch"):
        ways["torch"] = _torch(predictor.task, prepared)
    quiet = _quantiles(ways)
    targets = {"prepared": (12.0, 20.0), "dict": (20.0, 40.0)}
    for way, (p50, p99) in quiet.items():
        limits = targets.get(way, (None, None))
        yield _at_most(f"device.predict.{way}.p50", p50, "us", limits[0])
        yield _at_most(f"device.predict.{way}.p99", p99, "us", limits[1])
    if "torch" in quiet:
        yield _at_least("device.predict.torch_over_prepared", quiet["torch"][0] / quiet["prepared"][0], "times", 2.0)
    else:
        yield {"name": "device.predict.torch is not installed here", "value": 0.0, "unit": "rows"}
    with endpoint.beside(endpoint.TRAIN, core=None):
        busy = _quantiles({way: ways[way] for way in targets})
    for way, (_, p99) in busy.items():
        yield _at_most(f"device.predict.{way}.p99.while_training", p99, "us", targets[way][1])


def _torch(task: Task, prepared: Any) -> Callable[[], object]:
    """The trained network, eagerly, on features that somebody else prepared."""
    import torch

    from shared.network import build, load

    torch.set_num_threads(1)
    network = build(task)
    load(network, initial_weights(task), task)
    features = torch.from_numpy(prepared)

    @torch.inference_mode()
    def answer() -> list[float]:
        logits: torch.Tensor = network(features)
        return logits.softmax(dim=1)[0].tolist()

    return answer


def _over_the_socket(home: AgentHome) -> Iterator[Row]:
    for record in ("forget", "record"):
        with endpoint.beside(endpoint.SERVICE, str(home.path), record, core=1) as child:
            yield from _asked(home, "" if record == "forget" else ".recording", child.pid)


def _asked(home: AgentHome, suffix: str, process: int) -> Iterator[Row]:
    """What a caller sees, and what a whole core would give: on a busy machine the two differ."""
    caller = endpoint.Caller(home, "/v1/predict", RECORD, connections=CONNECTIONS)
    caller.times_us(500)
    passes = [caller.times_us(CALLS) for _ in range(REPEATS)]
    p50, p99 = (statistics.median(float(np.percentile(one, q)) for one in passes) for q in (50, 99))
    before = endpoint.processor_seconds(process)
    rates = [_rate(caller, 4 * CALLS) for _ in range(REPEATS)]
    spent = endpoint.processor_seconds(process) - before
    caller.close()
    yield _at_most(f"device.socket.one{suffix}.p50", p50, "us", 150.0)
    yield _at_most(f"device.socket.one{suffix}.p99", p99, "us", None)
    yield _at_least(f"device.socket{suffix}.requests", statistics.median(rates), "a second", 5000.0)
    core = 4 * CALLS * REPEATS / spent
    yield _at_least(f"device.socket{suffix}.requests_per_core", core, "a second of its processor time", 5000.0)


def _rate(caller: endpoint.Caller, number: int) -> float:
    started = time.perf_counter()
    answered = sum(answer.startswith(b"HTTP/1.1 200") for answer in caller.answers(number))
    return answered / (time.perf_counter() - started)


def _while_swapping(home: AgentHome, number: int) -> Iterator[Row]:
    place = home.only_task()
    expected = {n: Predictor(place.releases / str(n)).predict(RECORD).scores for n in (1, 2)}
    stop, swaps = Event(), [0]

    def swap() -> None:
        while not stop.wait(0.25):
            swaps[0] += 1
            point_to(place, 1 + swaps[0] % 2)

    with endpoint.beside(endpoint.SERVICE, str(home.path), "forget", core=1):
        caller = endpoint.Caller(home, "/v1/predict", RECORD, connections=CONNECTIONS)
        thread = Thread(target=swap)
        thread.start()
        found = endpoint.judge(caller.answers(number), expected, number)
        stop.set()
        thread.join()
        caller.close()
    point_to(place, 1)
    yield {"name": "device.socket.swapping.requests", "value": float(found["right"]), "unit": "answers"}
    yield {"name": "device.socket.swapping.pointer_moves", "value": float(swaps[0]), "unit": "moves"}
    yield _at_most("device.socket.swapping.errors", float(found["failed"]), "answers", 0.0)
    yield _at_most("device.socket.swapping.mixed", float(found["mixed"]), "answers", 0.0)


def _cold(home: AgentHome) -> Iterator[Row]:
    """From starting a process to its first answer, and what it holds then."""
    command = [sys.executable, "-c", endpoint.PREDICT, str(home.path), "bench", json.dumps(RECORD)]
    alone = [_first_answer(command) for _ in range(STARTS)]
    yield _at_most("device.cold.predictor", statistics.median(ms for ms, _ in alone), "ms", 400.0)
    yield _at_most("device.cold.predictor.memory", statistics.median(mb for _, mb in alone), "MB", 90.0)
    served = [_first_served(home) for _ in range(STARTS)]
    yield _at_most("device.cold.service", statistics.median(ms for ms, _ in served), "ms", 400.0)
    yield _at_most("device.cold.service.memory", statistics.median(mb for _, mb in served), "MB", 90.0)


def _first_answer(command: list[str]) -> tuple[float, float]:
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own code
        assert child.stdout is not None
        child.stdout.readline()
        waited = (time.perf_counter() - started) * 1000
        return waited, int(child.stdout.readline()) / 1024


def _first_served(home: AgentHome) -> tuple[float, float]:
    started = time.perf_counter()
    with endpoint.beside(endpoint.SERVICE, str(home.path), "record", core=None) as child:
        caller = endpoint.Caller(home, "/v1/predict", RECORD, connections=1)
        caller.times_us(1)
        waited = (time.perf_counter() - started) * 1000
        caller.close()
        # The recorder opens its file within a second; what it needs counts.
        time.sleep(1.5)
        return waited, endpoint.resident_mb(child.pid)


def _eight_tasks(home: AgentHome) -> Iterator[Row]:
    with endpoint.beside(endpoint.SERVICE, str(home.path), "record", core=1) as child:
        callers = [
            endpoint.Caller(home, f"/v1/tasks/{place.name}/predict", RECORD, connections=1) for place in home.tasks()
        ]
        times = [one.times_us(1)[0] for _ in range(CALLS // 2) for one in callers]
        for one in callers:
            one.close()
        p50, p99 = (float(np.percentile(times[len(callers) * 50 :], q)) for q in (50, 99))
        yield _at_most("device.eight_tasks.p50", p50, "us", None)
        yield _at_most("device.eight_tasks.p99", p99, "us", None)
        yield _at_most("device.eight_tasks.memory", endpoint.resident_mb(child.pid), "MB", None)


def _quantiles(ways: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """The medians, over repeats in turn, of the 50th and 99th percentile of single calls, in microseconds."""
    passes: dict[str, list[list[float]]] = {way: [] for way in ways}
    for repeat in range(REPEATS + 1):
        for way, answer in ways.items():
            times = _times(answer)
            if repeat:
                passes[way].append(times)
    return {
        way: (
            statistics.median(float(np.percentile(one, 50)) for one in found),
            statistics.median(float(np.percentile(one, 99)) for one in found),
        )
        for way, found in passes.items()
    }


def _times(answer: Callable[[], object]) -> list[float]:
    times: list[float] = []
    for _ in range(CALLS):
        started = time.perf_counter_ns()
        answer()
        times.append((time.perf_counter_ns() - started) / 1000)
    return times


def _at_most(name: str, value: float, unit: str, target: float | None) -> Row:
    row: Row = {"name": name, "value": value, "unit": unit}
    return row if target is None else row | {"target": f"<= {target:g}", "meets": value <= target}


def _at_least(name: str, value: float, unit: str, target: float) -> Row:
    return {"name": name, "value": value, "unit": unit, "target": f">= {target:g}", "meets": value >= target}


if __name__ == "__main__":
    main()
