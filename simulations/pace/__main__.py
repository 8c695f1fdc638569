"""`covey-sim pace`: rounds against a buffer, in time, traffic and privacy; the same as rows in `reports/pace.json`."""

import json as json_format
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from shared.endings import one_line
from shared.errors import InputError
from shared.files import write_whole

REPORT = Path("reports/pace.json")

Tasks = Literal["all", "digits", "flights"]


def pace(
    task: Annotated[
        Tasks, typer.Option(help="What is learned: digits without noise, flights under local noise.")
    ] = "all",
    devices: Annotated[int, typer.Option(help="How many there are; 0 is all aircraft, 4,000 for digits.", min=0)] = 0,
    concurrency: Annotated[
        int, typer.Option(help="How many work at once; 0 is 260 aircraft, 1,000 for digits.", min=0)
    ] = 0,
    buffer: Annotated[int, typer.Option(help="How many answers make a step of the buffer.", min=1)] = 10,
    over_selection: Annotated[
        float, typer.Option(help="Devices that a round asks over those that it waits for.", min=1)
    ] = 1.3,
    behaviour: Annotated[
        str, typer.Option(help="ideal, phones, desktops, or a TOML file: docs/devices.md.")
    ] = "phones",
    seeds: Annotated[int, typer.Option(help="Runs of each; others have other devices, samples and noise.", min=1)] = 5,
    workers: Annotated[int, typer.Option(help="Processes at a time.", min=1)] = 2,
    report: Annotated[Path, typer.Option(help="Where the rows go, as JSON.")] = REPORT,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Compare synchronous rounds with a buffer (FedBuff) on a virtual clock, beside the published figures."""
    from simulations.fleet.behaviour import read_behaviour
    from simulations.modes.pool import Job, work
    from simulations.pace.race import Pace, race
    from simulations.pace.report import rows, table
    from simulations.pace.stages import STAGES, WAYS, StageName, prepare

    behaves = read_behaviour(behaviour)
    names: list[StageName] = [name for name in STAGES if task in (name, "all")]
    hows = {
        name: Pace(concurrency=concurrency or STAGES[name].concurrency, buffer=buffer, over_selection=over_selection)
        for name in names
    }
    if any(how.concurrency < over_selection for how in hows.values()):
        raise InputError(f"{concurrency} devices at work leave no round to wait for: raise --concurrency")
    with tempfile.TemporaryDirectory(prefix="covey-pace-") as folder:
        for name in names:
            _say(f"preparing {name}")
            if prepare(name, Path(folder) / name, devices=devices) < concurrency:
                raise InputError(
                    f"{concurrency} devices cannot work at once where there are fewer; lower --concurrency"
                )
        jobs: dict[str, Job] = {
            f"{name} {way} {seed}": (race, (name, way, Path(folder) / name, hows[name], behaves, seed))
            for name in names for seed in range(seeds) for way in WAYS
        }  # fmt: skip
        done = work(jobs, workers=workers, say=_say)
    found, said = [], list[str]()
    for name in names:
        mine = list(
            rows(name, {way: [done[f"{name} {way} {seed}"] for seed in range(seeds)] for way in WAYS}, hows[name])
        )
        found += mine
        said += [*table(name, mine), ""]
    report.parent.mkdir(parents=True, exist_ok=True)
    write_whole(report, json_format.dumps(found, indent=2).encode() + b"\n")
    typer.echo(json_format.dumps(found, indent=2) if json else "\n".join(said))


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    with one_line("covey-sim pace"):
        typer.run(pace)
