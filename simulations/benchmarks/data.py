"""Reading 4 of 20 columns of five million rows: the agent's reader beside pandas, and how much memory each takes.

python -m simulations.benchmarks.data

Every figure is the median of fresh processes pinned to one core with one thread; seconds are of processor time, so
that a busy neighbour does not count. pandas is no dependency of Covey's:
where it cannot be imported, a row says so. It arrives with the extra `demo`; its Parquet needs pyarrow as well.
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
from shared.features import Number
from shared.tasks import Task, Threshold, read_task

ROWS = 5_000_000
COLUMNS = 20
REPEATS = 3
LONGER = 4
FASTER = 2.5
FLAT = 1.25
"""How much more memory a file that is `LONGER` times as long may take."""

WANTED = ("c1", "c5", "c9", "label")

Row = dict[str, str | float | bool]


class Measured(TypedDict):
    """What a child process says of itself."""

    seconds: float
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
found = [frame[name].to_numpy(np.float32) for name in wanted[:-1]]
labels = (frame["label"].to_numpy() > 0.5).astype(np.int64)
rows = len(labels)
"""

CHILD = """
import json, resource, sys, time
from pathlib import Path
path, wanted = Path(sys.argv[1]), sys.argv[2].split(",")
{imports}
started = time.process_time()
{body}
seconds = time.process_time() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": seconds, "peak_mb": peak, "rows": rows}}))
"""

OUR_IMPORTS = """
import numpy, polars
from client.dataset import columns_and_labels, judged, kept, read_columns, read_examples
from shared.tasks import Window
from simulations.benchmarks.data import task_of
task = task_of(wanted)
"""


def task_of(wanted: list[str] | tuple[str, ...]) -> Task:
    """A task over the wanted columns; the last is the label."""
    features = tuple(Number(name=name, low=-4.0, high=4.0, missing=0.0) for name in wanted[:-1])
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
            found += _compare(path, suffix)
            found += _flatness(path, Path(folder) / f"longer.{suffix}", suffix, rows)
            path.unlink()
        return found


def write(path: Path, rows: int) -> None:
    """Write `rows` rows of 19 numbers and a label, a part at a time."""
    random = np.random.default_rng(0)
    part = {f"c{index}": random.normal(size=rows).astype(np.float32).round(3) for index in range(COLUMNS - 1)}
    frame = pl.DataFrame(part | {"label": random.integers(0, 2, rows).astype(np.float64)})
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)


def _compare(path: Path, suffix: str) -> list[Row]:
    ours = _run(OURS, OUR_IMPORTS, path)
    name = f"device.data.{suffix}"
    found = [_row(f"{name}.covey", ours["seconds"], "s"), _row(f"{name}.covey.peak", ours["peak_mb"], "MB")]
    if not find_spec("pandas") or (suffix == "parquet" and not find_spec("pyarrow")):
        missing = "pandas" if suffix == "csv" else "pandas with pyarrow"
        return [*found, {"name": f"{name}.ratio", "value": f"{missing} is not installed here", "unit": ""}]
    theirs = _run(PANDAS, "import numpy as np, pandas", path)
    ratio = theirs["seconds"] / ours["seconds"]
    return [
        *found,
        _row(f"{name}.pandas", theirs["seconds"], "s"),
        _row(f"{name}.pandas.peak", theirs["peak_mb"], "MB"),
        _row(f"{name}.ratio", ratio, "x")
        | ({"target": f">= {FASTER}", "meets": ratio >= FASTER} if suffix == "parquet" else {}),
    ]


def _flatness(path: Path, longer: Path, suffix: str, rows: int) -> list[Row]:
    """Peaks of judging and of encoding every row of a file, and of one that is longer."""
    lengthen(path, longer, LONGER)
    found: list[Row] = []
    for what, body in (("streamed", STREAMED), ("encoded", ENCODED)):
        once, more = (_run(body, OUR_IMPORTS, file, repeats=1) for file in (path, longer))
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


def _run(body: str, imports: str, path: Path, *, repeats: int = REPEATS) -> Measured:
    """Medians over fresh processes on one core; the first, which warms the file up, does not count."""
    script = CHILD.format(imports=imports, body=body)
    environment = os.environ | dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    command = [sys.executable, "-c", script, str(path), ",".join(WANTED)]
    runs: list[Measured] = []
    for _ in range(repeats + 1):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, preexec_fn=_pin)  # noqa: S603 - this very interpreter
        runs.append(json.loads(done.stdout))
    return Measured(
        seconds=statistics.median(run["seconds"] for run in runs[1:]),
        peak_mb=statistics.median(run["peak_mb"] for run in runs[1:]),
        rows=runs[0]["rows"],
    )


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
