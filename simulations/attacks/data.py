"""Attacks on data: gradient inversion and membership inference, at epsilon infinite, 8 and 2.

`python -m simulations.attacks.data`; the same as rows in `reports/attacks-data.json`. Rows, devices and coordinators are
made up here, and their streams have seeds: the code that trains, masks, adds up and charges is the one that ships. The
attackers are given more than a coordinator gets: plans that no agent accepts, and devices with one row.
"""

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from shared.endings import one_line
from shared.files import write_whole
from simulations.attacks import inversion, shadows
from simulations.attacks.leaks import rows, tables

REPORT = Path("reports/attacks-data.json")


def main() -> None:
    """Run both attacks side by side, print the tables, keep the rows."""
    options = argparse.ArgumentParser(prog="python -m simulations.attacks.data", description=__doc__)
    options.add_argument("--json", action="store_true", help="print the rows as JSON instead of the tables")
    chosen = options.parse_args()
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    with one_line("attacks"):
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=spawn) as pool:
            first, second = pool.submit(inversion.attack, _tell), pool.submit(shadows.attack, _tell)
            leaks, members = first.result(), second.result()
        found = rows(leaks, members)
        REPORT.parent.mkdir(exist_ok=True)
        write_whole(REPORT, json.dumps(found, indent=2).encode())
        sys.stdout.write(json.dumps(found, indent=2) + "\n" if chosen.json else tables(leaks, members))


def _tell(words: str) -> None:
    """Two processes speak, so each says whole lines."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
