"""`covey-sim load`: a real coordinator against a swarm of embedded nodes, and stock Flower beside it."""

import json as json_format
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from shared.endings import one_line
from shared.errors import InputError
from shared.files import write_whole
from simulations.load import stock as stock_flower
from simulations.load.measure import Load, Say, Wanted, measure
from simulations.load.rows import Row, rows_of

REPORT = Path("reports/load.json")
STOCK_DEVICES, STOCK_ROUNDS = 50, 3
LONG = Wanted(devices=50, cohort=30, rounds=200, idle_seconds=0.0)
"""What shows whether memory stays flat."""


def load(
    devices: Annotated[
        list[int] | None, typer.Option(help="How many are enrolled.", show_default="50 200 1000")
    ] = None,
    cohort: Annotated[
        int | None, typer.Option(help="How many a round asks.", min=1, show_default="all, 200 at most")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each load.", min=1)] = 10,
    idle: Annotated[float, typer.Option(metavar="SECONDS", help="How long they rest before the first.", min=0)] = 72.0,
    stock: Annotated[bool, typer.Option(help="Play stock Flower beside it, with 50 nodes.")] = True,
    long: Annotated[bool, typer.Option(help="Play 200 rounds too, to see whether memory stays flat.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="50 devices, 3 rounds, no stock Flower: a minute.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Put a real coordinator under load: messages a second, CPU, memory, what was lost (about ten minutes)."""
    if quick:
        devices, rounds, idle, stock, long = [50], 3, 26.0, False, False
    wanted = [
        Wanted(devices=many, cohort=min(many, cohort or 200), rounds=rounds, idle_seconds=idle)
        for many in devices or [50, 200, 1000]
    ]
    if any(each.devices < 2 for each in wanted):
        raise InputError("a load has two devices at least")
    loads = [_play(each) for each in [*wanted, *([LONG] if long else [])]]
    rows = rows_of(loads, _play_stock() if stock else None)
    REPORT.parent.mkdir(exist_ok=True)
    write_whole(REPORT, json_format.dumps(rows, indent=2).encode())
    if json:
        print(json_format.dumps(rows, indent=2))
    else:
        _show(rows)


def _play(wanted: Wanted) -> Load:
    with tempfile.TemporaryDirectory(prefix="covey-load-", ignore_cleanup_errors=True) as folder:
        return measure(wanted, Path(folder), _teller())


def _play_stock() -> stock_flower.Stock:
    with tempfile.TemporaryDirectory(prefix="covey-load-", ignore_cleanup_errors=True) as folder:
        return stock_flower.measure(STOCK_DEVICES, STOCK_ROUNDS, Path(folder) / "stock", _teller())


def _teller() -> Say:
    def say(what: str) -> None:
        print(what, file=sys.stderr)

    return say


def _show(rows: list[Row]) -> None:
    for row in rows:
        verdict = "" if row["meets"] is None else ("meets" if row["meets"] else "MISSES") + f" {row['target']}"
        print(f"  {row['name']:<82}{row['value']:>12,.3f} {row['unit']:<6} {verdict}")


def main() -> None:
    """Run it as a program of its own."""
    with one_line("covey-sim"):
        typer.run(load)


if __name__ == "__main__":
    main()
