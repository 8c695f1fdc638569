"""Soak one agent and print how often it answered: `python -m simulations.soak --minutes 30`."""

import argparse
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

from rich.console import Console

from shared.endings import one_line
from shared.files import write_whole
from simulations.soak import report
from simulations.soak.story import Soak

DEFAULT_FOLDER = Path("soak")
DEFAULT_REPORT = Path("reports/soak.json")


def main() -> None:
    """Run the soak in a folder, which is made anew, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m simulations.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="for how long")
    parser.add_argument("--rate", type=float, default=200.0, help="questions a second")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule and the releases")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where the federation and the agent live")
    parser.add_argument("--report", type=Path, default=DEFAULT_REPORT, help="where the report goes, as JSON")
    arguments = parser.parse_args()
    console = Console()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    soak = Soak(arguments.folder.resolve(), arguments.minutes * 60, arguments.rate, arguments.seed, say=console.print)
    seen = soak.run()
    found = report.rows(seen)
    report.show(found, seen, console)
    arguments.report.parent.mkdir(exist_ok=True)
    write_whole(arguments.report, json.dumps(found, indent=2).encode() + b"\n")
    console.print(f"\nThe same as JSON: {arguments.report}.")


if __name__ == "__main__":
    with one_line("covey soak"):
        main()
