"""Roll bad candidates out on a real fleet and print how far each came: `covey-sim rollout`, or `make rollouts`.

Real parts: a federation's directory, its TUF repository and signed releases, one agent directory a device whose own code
looks, tries, installs, falls back and answers surveys, and the controller that ships. What is not: the clock, which
jumps from one reporting period to the next, and the network.
"""

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.files import write_whole
from simulations.progress import bar, told_on_stderr
from simulations.rollouts.candidates import Candidate, candidates

if TYPE_CHECKING:
    from simulations.rollouts.ride import Ride

REPORT = Path("reports/rollouts.json")
DEVICES, FLEETS = 40, 60


def rollout(
    devices: Annotated[int, typer.Option(help="How many devices.", min=10)] = DEVICES,
    fleets: Annotated[int, typer.Option(help="Drawn fleets behind each power.", min=10)] = FLEETS,
    only: Annotated[list[str] | None, typer.Option(help="Only this candidate; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    report: Annotated[Path, typer.Option(help="Where the rows go.")] = REPORT,
) -> None:
    """Roll six kinds of bad candidates out, and a good one: how far each comes, and how soon it is halted."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    chosen = [each for each in candidates() if not only or each.name in only]
    if not chosen:
        raise typer.BadParameter(f"--only takes {', '.join(each.name for each in candidates())}")

    from simulations.rollouts import table
    from simulations.rollouts.strength import fewest, strengths

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="covey-rollouts-") as folder, _quietly():
        rides = ride_all(chosen, Path(folder), devices=devices)
    told_on_stderr("drawing fleets for the test's power")
    strong = strengths(devices, fewest(devices, 100 * rides[0].canary), fleets=fleets)
    rows = table.rows(rides, strong, devices=devices, fleets=fleets, seconds=time.monotonic() - began)
    report.parent.mkdir(exist_ok=True)
    write_whole(report, json.dumps(rows, indent=2).encode() + b"\n")
    sys.stdout.write(
        json.dumps(rows, indent=2) + "\n" if as_json else table.text(rides, strong, devices=devices, fleets=fleets)
    )


@contextmanager
def _quietly() -> Generator[None]:
    """What devices log of a refused release is what the table shows."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def ride_all(chosen: list[Candidate], folder: Path, *, devices: int) -> "list[Ride]":
    """Let the devices join and settle on a good release, then send each candidate on its way."""
    from simulations.rollouts.fleet import Fleet
    from simulations.rollouts.ride import first, ride, settle

    told_on_stderr(f"{devices} devices join")
    fleet = Fleet(folder, devices=devices)
    rides: list[Ride] = []
    with bar("candidates", len(chosen)) as tell:
        settle(fleet, first())
        for done, candidate in enumerate(chosen, start=1):
            rides.append(ride(fleet, candidate))
            tell(done)
    fleet.close()
    return rides


if __name__ == "__main__":
    typer.run(rollout)
