"""Privacy modes side by side: `covey-sim modes`, or `python -m simulations.modes`; as rows in `reports/modes.json`.

On flights, January and February learned, March tested: without noise, and with local, distributed and central noise at
an equal epsilon for each row, for the eight largest stations and for sixteen medium ones. Whole runs go through the
server and clients that ship; bands come from the same functions without Flower in between. Aircraft are compared at an
equal epsilon for whole devices, under noise that the coordinator adds.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from shared.endings import one_line
from shared.files import write_whole
from shared.tasks import Task, read_task
from shared.training import Training
from simulations.modes.compare import Extent, Row, aircraft, compare
from simulations.modes.measure import Comparison
from simulations.modes.settings import EPSILONS, FLEETS, KINDS, LARGE, MARCH, WINTER, Kind, Stations
from simulations.modes.table import table

TASK_FILE = Path("tasks/flights.toml")
REPORT = Path("reports/modes.json")
REPEATS, WORKERS, MINUTES = 12, 2, 5


def flights(extent: Extent, *, workers: int, folder: Path, fleets: tuple[Stations, ...] = FLEETS) -> list[Row]:
    """Write the stations' rows into `folder`, and compare the modes on them and on the aircraft."""
    task, began = read_task(TASK_FILE), time.monotonic()
    _say("reading flights")
    found = [comparison_of(fleet, task, folder) for fleet in fleets]
    rows = compare(found, extent, workers=workers, say=_say)
    rows += aircraft(task, extent, workers=workers, say=_say)
    seconds = time.monotonic() - began
    target = f"at most {60 * MINUTES} s"
    return [
        *rows,
        {"name": "modes.seconds", "value": seconds, "unit": "s", "target": target, "meets": seconds <= 60 * MINUTES},
    ]


def comparison_of(fleet: Stations, task: Task, folder: Path) -> Comparison:
    """Write a fleet's first three months into `folder`, to be compared at every epsilon."""
    from simulations import flights

    names = flights.stations()[fleet.ranks]
    files = {name: folder / f"{name}.parquet" for name in names}
    early = flights.table().filter(flights.table()["scheduled_departure"].dt.month() <= 3)
    for name, path in files.items():
        early.filter(early["station"] == name).write_parquet(path)
    trainings: dict[tuple[Kind, float], Training] = {
        (kind, epsilon): fleet.training(kind, epsilon, delta=task.privacy.delta)
        for kind in KINDS
        for epsilon in EPSILONS
    }
    return Comparison(name=fleet.name, task=task, files=files, train=WINTER, test=MARCH, trainings=trainings)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def run(*, repeats: int = REPEATS, workers: int = WORKERS, as_json: bool = False) -> None:
    """Measure, write the report, and print the table or the rows."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    extent = Extent(epsilons=EPSILONS, repeats=repeats, rehearsed=(LARGE.name, EPSILONS[0]))
    with tempfile.TemporaryDirectory(prefix="covey-modes-") as folder:
        rows = flights(extent, workers=workers, folder=Path(folder))
    REPORT.parent.mkdir(exist_ok=True)
    write_whole(REPORT, json.dumps(rows, indent=2).encode())
    sys.stdout.write(json.dumps(rows, indent=2) + "\n" if as_json else table(rows, EPSILONS))


def main() -> None:
    """Run from the command line; whatever goes wrong is one line on stderr and exit status 1."""
    options = argparse.ArgumentParser(prog="python -m simulations.modes", description=__doc__)
    options.add_argument("--repeats", type=int, default=REPEATS, help=f"campaigns a band (default {REPEATS})")
    options.add_argument("--workers", type=int, default=WORKERS, help=f"processes (default {WORKERS})")
    options.add_argument("--json", action="store_true", help="print the rows instead of the table")
    chosen = options.parse_args()
    if chosen.repeats < 2 or chosen.workers < 1:
        options.error("a band takes two campaigns or more, and one worker or more")
    with one_line("python -m simulations.modes"):
        run(repeats=chosen.repeats, workers=chosen.workers, as_json=chosen.json)


if __name__ == "__main__":
    main()
