"""Reading 4 of 20 columns of five million rows: the agent's reader beside pandas, and how much memory each takes.

python -m simulations.benchmarks.data

Both read the same four columns, three of numbers and a label, into the same NumPy arrays; `words` has a column of words
in place of one of numbers. Every figure is the median of fresh processes, in turn, pinned to one core with one thread and
with everything imported. The ratio is of processor time, so that a busy neighbour counts less; `wall` is the clock's.
pandas is no dependency of Covey's: where it cannot be imported, a row says so. Its Parquet needs pyarrow as well.

What was found: both decode the same bytes, and most of the rest is the price of fresh memory, so Polars asks for large
pages (`POLARS_THP`) and rows are laid out once. With pandas 3.1 and pyarrow 26 on a quiet machine, numbers come 1.3 to 1.5
times as fast; on one whose memory others press, fresh memory costs more and the ratio grows, so read it on a quiet one.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl

from shared.contract import Contract
from shared.features import Category, Number
from shared.tasks import Task, Threshold, read_task

ROWS = 5_000_000
COLUMNS = 20
REPEATS = 5
LONGER = 4
FASTER = 2.5
FLAT = 1.25
"""How much more memory a file that is `LONGER` times as long may take."""

WANTED = ("c1", "c5", "c9", "label")
WORDED = ("c1", "c5", "word", "label")
WORDS = 16

Row = dict[str, str | float | bool]


class Measured(TypedDict):
    """What a child process says of itself."""

    seconds: float
    wall: float
    peak_mb: float
    rows: int


OURS = """
columns, labels = read_columns(path, task, Window())
rows = len(labels)
"""

STREAMED = """
rows = sum(len(columns_and_labels(kept(batch.frame, task, Window()), task)[1]) for batch in judged(path, task))
"""

ENCODED = """
rows = len(read_examples(path, task, Window(), scratch=path.parent / "scratch").labels)
"""

PANDAS = """
if path.suffix == ".csv":
    frame = pandas.read_csv(path, usecols=list(wanted))
else:
    frame = pandas.read_parquet(path, columns=list(wanted))
found = [frame[name].to_numpy(object if name == "word" else np.float32) for name in wanted[:-1]]
labels = (frame["label"].to_numpy() > 0.5).astype(np.int64)
rows = len(labels)
"""

CHILD = """
import json, resource, sys, time
from pathlib import Path
path, wanted = Path(sys.argv[1]), sys.argv[2].split(",")
{imports}
began, started = time.perf_counter(), time.process_time()
{body}
seconds, wall = time.process_time() - started, time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": seconds, "wall": wall, "peak_mb": peak, "rows": rows}}))
"""

OUR_IMPORTS = """
from client.dataset import columns_and_labels, judged, kept, read_columns, read_examples
from shared.tasks import Window
from simulations.benchmarks.data import task_of
task = task_of(wanted)
"""


def task_of(wanted: list[str] | tuple[str, ...]) -> Task:
    """A task over the wanted columns; the last is the label."""
    words = tuple(f"W{index}" for index in range(WORDS))
    features = tuple(
        Category(name=name, values=words) if name == "word" else Number(name=name, low=-4.0, high=4.0, missing=0.0)
        for name in wanted[:-1]
    )
    return replace(
        read_task(Path("tasks/flights.toml")), features=features, timestamp=None, contract=Contract(),
        label=Threshold(column=wanted[-1], above=0.5, classes=("no", "yes")),
    )  # fmt: skip


def measure(*, rows: int = ROWS) -> list[Row]:
    """Times, peaks and ratios for Parquet and CSV; then the memory of encoding a file and one four times as long."""
    with tempfile.TemporaryDirectory() as folder:
        found: list[Row] = []
        for suffix in ("parquet", "csv"):
            path = Path(folder) / f"rows.{suffix}"
            write(path, rows)
            found += _compare(path, suffix, WANTED)
            found += _compare(path, f"{suffix}.words", WORDED)
            found += _flatness(path, Path(folder) / f"longer.{suffix}", suffix, rows)
            path.unlink()
        return found


def write(path: Path, rows: int) -> None:
    """Write `rows` rows of 18 numbers, a word and a label; Parquet as most programs do, with Snappy."""
    random = np.random.default_rng(0)
    part = {f"c{index}": random.normal(size=rows).astype(np.float32).round(3) for index in range(COLUMNS - 2)}
    words = np.array([f"W{index}" for index in range(WORDS)])[random.integers(0, WORDS, rows)]
    frame = pl.DataFrame(part | {"word": words, "label": random.integers(0, 2, rows).astype(np.float64)})
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path, compression="snappy")


def _compare(path: Path, what: str, wanted: tuple[str, ...]) -> list[Row]:
    name, parquet = f"device.data.{what}", path.suffix == ".parquet"
    ways = {"covey": (OURS, OUR_IMPORTS)}
    if there := find_spec("pandas") and (find_spec("pyarrow") or not parquet):
        ways["pandas"] = (PANDAS, "import numpy as np, pandas" + (", pyarrow.dataset, pyarrow.parquet" * parquet))
    runs = _runs(ways, path, wanted)
    found = [row for way, measured in runs.items() for row in _figures(f"{name}.{way}", measured)]
    if not there:
        missing = "pandas with pyarrow" if parquet else "pandas"
        return [*found, {"name": f"{name}.ratio", "value": f"{missing} is not installed here", "unit": ""}]
    ratio, wall = (runs["pandas"][clock] / runs["covey"][clock] for clock in ("seconds", "wall"))
    target = {"target": f">= {FASTER}", "meets": ratio >= FASTER} if parquet else {}
    return [*found, _row(f"{name}.ratio", ratio, "x") | target, _row(f"{name}.ratio.wall", wall, "x")]


def _figures(name: str, measured: Measured) -> list[Row]:
    return [
        _row(name, measured["seconds"], "s"), _row(f"{name}.wall", measured["wall"], "s"),
        _row(f"{name}.peak", measured["peak_mb"], "MB"),
    ]  # fmt: skip


def _flatness(path: Path, longer: Path, suffix: str, rows: int) -> list[Row]:
    """Peaks of judging and of encoding every row of a file, and of one that is longer."""
    lengthen(path, longer, LONGER)
    found: list[Row] = []
    for what, body in (("streamed", STREAMED), ("encoded", ENCODED)):
        ways = {"covey": (body, OUR_IMPORTS)}
        once, more = (_runs(ways, file, WANTED, repeats=1)["covey"] for file in (path, longer))
        assert more["rows"] == LONGER * once["rows"] == LONGER * rows
        name, growth = f"device.data.{suffix}.{what}", more["peak_mb"] / once["peak_mb"]
        found += [_row(f"{name}.peak", once["peak_mb"], "MB"), _row(f"{name}.longer.peak", more["peak_mb"], "MB")]
        found.append({**_row(f"{name}.growth", growth, "x"), "target": f"<= {FLAT}", "meets": growth <= FLAT})
    longer.unlink()
    return found


def lengthen(path: Path, longer: Path, times: int) -> None:
    """Write a file's rows several times over."""
    if path.suffix == ".parquet":
        pl.concat([pl.scan_parquet(path)] * times).sink_parquet(longer)
        return
    header, _, body = path.read_bytes().partition(b"\n")
    with longer.open("wb") as file:
        file.write(header + b"\n")
        for _ in range(times):
            file.write(body)


def _runs(
    ways: dict[str, tuple[str, str]], path: Path, wanted: tuple[str, ...], *, repeats: int = REPEATS
) -> dict[str, Measured]:
    """Medians over fresh processes, the ways in turn; the first of each, which warms the file up, does not count."""
    runs: dict[str, list[Measured]] = {way: [] for way in ways}
    for _ in range(repeats + 1):
        for way, (body, imports) in ways.items():
            runs[way].append(_run(CHILD.format(imports=imports, body=body), path, wanted))
    return {way: _median(found[1:]) for way, found in runs.items()}


def _median(runs: list[Measured]) -> Measured:
    return Measured(
        seconds=statistics.median(run["seconds"] for run in runs),
        wall=statistics.median(run["wall"] for run in runs),
        peak_mb=statistics.median(run["peak_mb"] for run in runs),
        rows=runs[0]["rows"],
    )


def _run(script: str, path: Path, wanted: tuple[str, ...]) -> Measured:
    """One fresh process on one core."""
    environment = os.environ | dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    command = [sys.executable, "-c", script, str(path), ",".join(wanted)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, preexec_fn=_pin)  # noqa: S603 - this very interpreter
    return json.loads(done.stdout)


def _pin() -> None:
    """One core; pyarrow takes its number of threads from it."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _row(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": value, "unit": unit}


def main() -> None:
    """Print the table."""
    for row in measure():
        value = f"{row['value']:>10.3f} {row['unit']:<3}" if isinstance(row["value"], float) else str(row["value"])
        word = "" if "meets" not in row else ("meets " if row["meets"] else "MISSES ") + str(row["target"])
        sys.stdout.write(f"{row['name']:<44} {value} {word}\n")


if __name__ == "__main__":
    main()
