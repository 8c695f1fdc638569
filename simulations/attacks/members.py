"""Hostile members against the coordinator's defences, on real flights: `python -m simulations.attacks.members`.

Twelve stations, three of them hostile (or nine further devices of one owner). Each cell is one campaign over January and
February, tested on March; rows go to `reports/attacks-members.json`. Nothing here touches privacy: what hostile
members can do is a matter of accuracy, and every honest device's epsilon stays as it is.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from shared.endings import one_line
from shared.files import write_whole
from shared.tasks import read_task
from simulations.attacks.lineup import DEFENCES, FORGERIES, HONEST, LIARS, LIES, STATIONS
from simulations.attacks.ring import Found, Ground, play, prepare
from simulations.attacks.tables import FORGED_ROUNDS, Cells, report, tables

REPORT = Path("reports/attacks-members.json")
TASK_FILE = Path("tasks/flights.toml")

_GROUND: list[Ground] = []
"""What a process of the pool was given when it started."""


def main() -> None:
    """Play every attack against every defence, print the tables, keep the rows."""
    options = argparse.ArgumentParser(prog="python -m simulations.attacks.members", description=__doc__)
    options.add_argument("--rounds", type=int, default=20, help="rounds of a campaign in the first table (default: 20)")
    options.add_argument("--seeds", type=int, default=1, help="campaigns a cell of the first table (default: 1)")
    options.add_argument("--processes", type=int, default=2, help="how many at once (default: 2)")
    options.add_argument("--json", action="store_true", help="print the rows as JSON instead of the tables")
    chosen = options.parse_args()
    if chosen.rounds < FORGED_ROUNDS or min(chosen.seeds, chosen.processes) < 1:
        options.error(f"rounds are at least {FORGED_ROUNDS}, seeds and processes at least 1")
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")  # thousands of keys are nobody's
    with one_line("attacks"):
        cells = play_all(rounds=chosen.rounds, seeds=chosen.seeds, processes=chosen.processes)
        rows = report(cells)
        REPORT.parent.mkdir(exist_ok=True)
        write_whole(REPORT, json.dumps(rows, indent=2).encode())
        sys.stdout.write(json.dumps(rows, indent=2) + "\n" if chosen.json else tables(cells))


def play_all(*, rounds: int, seeds: int, processes: int) -> Cells:
    """Every cell of both tables, by attack's and defence's name; the first table's once a seed."""
    plays = [(attack.name, FORGED_ROUNDS, 0) for attack in (HONEST, *FORGERIES)]
    plays += [(attack.name, rounds, seed) for seed in range(seeds) for attack in (HONEST, *LIES)]
    everything = [(attack, defence.name, count, seed) for attack, count, seed in plays for defence in DEFENCES]
    with tempfile.TemporaryDirectory(prefix="covey-flights-") as folder:
        _tell("reading the flights")
        ground = prepare(Path(folder), read_task(TASK_FILE), stations=STATIONS)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_receive, initargs=(ground,)) as pool:
            try:
                return _gather(pool, everything)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _gather(pool: ProcessPoolExecutor, plays: Sequence[tuple[str, str, int, int]]) -> Cells:
    cells: Cells = {}
    waiting = {pool.submit(_play, *each): each for each in plays}
    for done, future in enumerate(as_completed(waiting), start=1):
        attack, defence, count, _ = waiting[future]
        cells.setdefault((attack, defence, count), []).append(future.result())
        _tell(f"{done} of {len(plays)} campaigns")
    sys.stderr.write("\n" if sys.stderr.isatty() else "")
    return cells


def _receive(ground: Ground) -> None:
    import logging

    logging.disable(logging.CRITICAL)  # every refusal here is one that an attack is meant to meet
    _GROUND[:] = [ground]


def _play(attack: str, defence: str, count: int, seed: int) -> Found:
    """Names cross to this process, because a forgery is a function and some have none that pickle finds."""
    chosen = next(each for each in (HONEST, *LIES, *FORGERIES) if each.name == attack)
    against = next(each for each in DEFENCES if each.name == defence)
    return play(_GROUND[0], chosen, against, liars=LIARS, count=count, seed=seed)


def _tell(words: str) -> None:
    sys.stderr.write(f"\r{words} " if sys.stderr.isatty() else f"{words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
