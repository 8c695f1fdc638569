"""Cut lives of an agent short in every way and print what its next start makes of it: `make faults`."""

import argparse
import fnmatch
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

from rich.console import Console
from rich.table import Table

from shared.endings import one_line
from shared.files import write_whole
from simulations.faults.table import AT_ONCE, Outcome, World
from simulations.faults.zygote import Zygote

DEFAULT_REPORT = Path("reports/faults.json")
LEAST = 60


def main() -> None:
    """Run the cases, print the table and write the report."""
    parser = argparse.ArgumentParser(prog="python -m simulations.faults", description=__doc__)
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="only cases whose name and place match, as `killed: update*`"
    )
    parser.add_argument("--report", type=Path, default=DEFAULT_REPORT, help="where the report goes, as JSON")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    console, started = Console(), time.monotonic()
    outcomes, full = run(arguments.only, console)
    if not outcomes:
        sys.exit(f"no case matches {arguments.only!r}; try `killed: update*` or `*agent.db*`")
    console.print(table(outcomes))
    failed = [one for one in outcomes if not one.holds]
    for one in failed:
        console.print(
            f"[red]{one.case.name} | {one.case.at}[/]: {one.starts or one.serves or one.epsilon or one.files}"
        )
    seconds = time.monotonic() - started
    console.print(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} cases hold ({seconds:.0f} s). A full disk is a {full}; "
        f"a read-only directory is a read-only mount where this user may mount."
    )
    arguments.report.parent.mkdir(exist_ok=True)
    write_whole(arguments.report, json.dumps(rows(outcomes), indent=2).encode() + b"\n")


def _end(_number: int, _frame: FrameType | None) -> None:
    """Leave by the way on which everything that was mounted is unmounted."""
    sys.exit(143)


def run(pattern: str, console: Console) -> tuple[list[Outcome], str]:
    """Every case that matches, in order, and how a disk was filled."""
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="covey-") as folder, ExitStack() as stack:
        log = Path(folder) / "children.log"
        world = World(Path(folder), [stack.enter_context(Zygote(log)) for _ in range(AT_ONCE)])
        wanted = [case for case in world.all_cases() if fnmatch.fnmatch(f"{case.name} | {case.at}", f"{pattern}*")]
        with console.status("") as status:

            def done(outcome: Outcome) -> None:
                outcomes.append(outcome)
                status.update(f"{len(outcomes)} of {len(wanted)}: {outcome.case.name} | {outcome.case.at}")

            world.run(wanted, done)
        return outcomes, world.full


def table(outcomes: list[Outcome]) -> Table:
    """For people."""
    found = Table("case", "at", "starts again", "serves", "epsilon", "files", title="Faults")
    for one in outcomes:
        verdicts = (one.starts, one.serves, one.epsilon, one.files)
        words = ["yes" if not verdict else "[red]NO[/]" for verdict in verdicts]
        if not one.starts and one.how:
            words[0] = "one sentence"
        found.add_row(one.case.name, one.case.at, *words)
    return found


def rows(outcomes: list[Outcome]) -> list[dict[str, str | float | bool]]:
    """For programs: one row a case, and how many there are."""
    found: list[dict[str, str | float | bool]] = [
        {
            "name": f"device.faults.{one.case.name} | {one.case.at}", "value": int(one.holds), "unit": "holds", "target": 1,
            "meets": one.holds, "starts": one.starts, "serves": one.serves, "epsilon": one.epsilon, "files": one.files,
        }
        for one in outcomes
    ]  # fmt: skip
    count = {"name": "device.faults.cases", "value": len(outcomes), "unit": "cases", "target": LEAST}
    return [*found, {**count, "meets": len(outcomes) >= LEAST}]


if __name__ == "__main__":
    with one_line("covey faults"):
        main()
