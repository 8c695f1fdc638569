"""What a release costs on its way to a device: bytes, the time until it answers, and what is made of it there.

python -m simulations.benchmarks.delivery
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface

from client.config import AgentHome
from client.selftest import batch_us, trial_feeds
from client.updates import Updates, fetch_task
from client.updating import TaskUpdate
from server.config import Federation
from server.export import export
from server.releases import create_repository, publish_release, publish_task
from shared import failpoints, wire
from shared.architecture import size
from shared.features import Number
from shared.files import write_whole
from shared.models import Release
from shared.quantization import RECIPE, quantize
from shared.reference import make_reference
from shared.runtime import median_us, open_model, optimize
from shared.tasks import Architecture, Task, Window, read_task

TASK_FILE = Path("tasks/flights.toml")
RELEASES = 12
REPEATS = 7
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - what an update takes besides waiting for a disk that others use too
URL = "https://coordinator"
MOVED = 0.01
"""How far one release's weights lie from the one before, as a share of their spread."""

Row = dict[str, str | float | bool]


class Local(FetcherInterface):
    """Serves a repository directory, as a web server would."""

    def __init__(self, repository: Path) -> None:
        """Of a federation."""
        self._repository = repository

    def _fetch(self, url: str) -> Iterator[bytes]:
        file = self._repository / url.removeprefix(f"{URL}/tuf/")
        if not file.is_file():
            raise exceptions.DownloadHTTPError("not found", 404)
        yield file.read_bytes()


@dataclass
class Watch:
    """When each named moment of an update came, in milliseconds since it began."""

    started: float = 0.0
    moments: dict[str, float] = field(default_factory=dict[str, float])

    def __call__(self, name: str) -> None:
        """Note a moment."""
        self.moments[name] = (time.perf_counter() - self.started) * 1000

    def start(self) -> None:
        """Begin anew."""
        self.started, self.moments = time.perf_counter(), {}


def wide_task() -> Task:
    """The MLP of the reference figures, 30-128-64-2: a file of 50 KB with its preprocessing."""
    columns = tuple(Number(name=f"x{index}", low=-1.0, high=1.0, missing=0.0) for index in range(30))
    return replace(
        read_task(TASK_FILE),
        features=columns,
        groups=(),
        timestamp=None,
        architecture=Architecture(kind="mlp", hidden=(128, 64)),
    )


def measure() -> list[Row]:
    """One row a figure: name, value, unit, and where there is one its target and whether it is met."""
    task = wide_task()
    with tempfile.TemporaryDirectory() as folder:
        rows = [*_deliveries(task, Path(folder), "disk"), _row("delivery.one_file", _one_file_ms(Path(folder)), "ms")]
        rows += [*_precisions(task), *_starts(task, Path(folder))]
    if not IN_MEMORY.is_dir():
        return [*rows, {"name": "device.delivery.memory.missing", "value": 0.0, "unit": "no file system in memory"}]
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        return [*rows, *_deliveries(task, Path(folder), "memory")]


def main() -> None:
    """Print the table."""
    for row in measure():
        target = f"   target {row['target']:>7} {'met' if row['meets'] else 'MISSED'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<44} {row['value']:>10.2f} {row['unit']:<6}{target}\n")


def _deliveries(task: Task, folder: Path, medium: str) -> list[Row]:
    """A first release that travels whole, then a dozen that travel as deltas, into one warm process."""
    federation, home = _both_ends(task, folder)
    watch, fetcher = Watch(), Local(federation.repository)
    failpoints.hook = watch
    weights, spent, looks = _weights(task, seed=0), list[dict[str, float]](), list[TaskUpdate]()
    try:
        for number in range(1, RELEASES + 1):
            _publish(federation, task, weights, number)
            weights = (weights + MOVED * _weights(task, seed=number)).astype(np.float32)
            _forget_swaps(home, task)
            watch.start()
            looks += Updates(home, fetcher=fetcher).check().tasks
            if not looks[-1].installed:
                raise RuntimeError(looks[-1].reason)
            spent.append(dict(watch.moments))
    finally:
        failpoints.hook = None
    return [*_times(spent[1:], medium), *(_bytes(looks) if medium == "disk" else [])]


def _times(spent: list[dict[str, float]], medium: str) -> list[Row]:
    """Medians of an update's parts, and the quickest whole; what is tuned after the swap keeps nobody waiting."""
    names = ("refreshed", "downloaded", "tested", "renamed", "pointed", "tuned")
    ends = [statistics.median(one[f"update.{name}"] for one in spent) for name in names]
    starts = [0.0, *ends]
    parts = zip(names, starts, ends, strict=False)
    return [
        _row(f"delivery.{medium}.verify_and_swap", ends[-2], "ms", target=10.0),
        _row(f"delivery.{medium}.verify_and_swap.best", min(one["update.pointed"] for one in spent), "ms"),
        *(_row(f"delivery.{medium}.{name}", end - start, "ms") for name, start, end in parts),
    ]


def _bytes(looks: list[TaskUpdate]) -> list[Row]:
    return [
        _row("delivery.bytes.first", looks[0].fetched, "bytes"),
        _row("delivery.bytes.update", statistics.median(look.fetched for look in looks[1:]), "bytes"),
        _row("delivery.bytes.saved", statistics.median(look.saved for look in looks[1:]), "bytes"),
    ]


def _precisions(task: Task) -> list[Row]:
    """A batch of 256 in fp32 and in int8, whole files with their preprocessing, side by side."""
    fp32 = export(task, _weights(task, seed=0), version=1)
    feeds = trial_feeds(task)
    exact, small = open_model(fp32), open_model(quantize(task, fp32))
    batches = [(batch_us(exact, feeds, calls=200), batch_us(small, feeds, calls=200)) for _ in range(REPEATS)]
    fp32_us, int8_us = (statistics.median(times) for times in zip(*batches, strict=True))
    return [
        _row("int8.batch256.fp32", fp32_us, "us"),
        _row("int8.batch256.int8", int8_us, "us"),
        _row("int8.batch256.ratio", int8_us / fp32_us, "x", target=0.6),
        _row("int8.one.fp32", median_us(exact, feeds, calls=256), "us"),
        _row("int8.one.int8", median_us(small, feeds, calls=256), "us"),
    ]


def _starts(task: Task, folder: Path) -> list[Row]:
    """How long a session takes to open: the signed file, and the graph that was optimized here."""
    original, file = export(task, _weights(task, seed=0), version=1), folder / "optimized.onnx"
    optimize(original, file)
    optimized = file.read_bytes()
    first = _median_ms(lambda: open_model(original))
    return [
        _row("session.original", first, "ms"),
        _row("session.optimized", _median_ms(lambda: open_model(optimized, optimized=True)), "ms"),
    ]


def _one_file_ms(folder: Path) -> float:
    """What this disk takes to replace one small file durably: an update does that twice, and waits for two files more.

    What else it makes durable goes to the disk while the model is tried.
    """
    return _median_ms(lambda: write_whole(folder / "small", b"x" * 1000))


def _median_ms(act: Callable[[], Any]) -> float:
    times: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def _both_ends(task: Task, folder: Path) -> tuple[Federation, AgentHome]:
    """A signed repository, and a device that has joined it."""
    federation, home = Federation(folder / "federation"), AgentHome(folder / "agent")
    federation.home.mkdir()
    create_repository(federation)
    publish_task(federation, task)
    root = (federation.repository / "metadata" / "1.root.json").read_bytes()
    fetch_task(home, base_url=URL, root=root, ca=b"", fetcher=Local(federation.repository))
    policy = f"""
name = "device"
coordinator = "coordinator"
federation = "benchmark"
budget = {{epsilon = 1.0, delta = 1e-5}}
tasks.{task.name}.data = ""
"""
    write_whole(home.settings_file, policy.encode())
    return federation, home


def _publish(federation: Federation, task: Task, weights: NDArray[np.float32], version: int) -> None:
    fp32 = export(task, weights, version=version)
    release = Release(
        number=0, task=task.name, revision=task.revision, version=version, trained_on=Window(), recipe=RECIPE,
        reference=make_reference(task, open_model(fp32), seed=version),
    )  # fmt: skip
    publish_release(federation, release, {"fp32.onnx": fp32, "task.json": wire.to_json(task)})


def _forget_swaps(home: AgentHome, task: Task) -> None:
    """A device would slow such a storm of releases down."""
    (home.task(task.name).releases / "attempts.json").unlink(missing_ok=True)


def _weights(task: Task, *, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.15, size(task)).astype(np.float32)


def _row(name: str, value: float, unit: str, *, target: float | None = None) -> Row:
    row: Row = {"name": f"device.{name}", "value": value, "unit": unit}
    return row if target is None else row | {"target": target, "meets": value <= target}


if __name__ == "__main__":
    main()
