"""`covey-sim drift`: a year of flights as it went by, for a fleet that learned in winter."""

import json as json_format
import sys
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from shared.endings import one_line
from shared.errors import InputError
from shared.files import write_whole
from shared.tasks import Task, read_task
from simulations.fleet.datasets import known
from simulations.fleet.population import Packed, pack
from simulations.replay.detecting import on_replay
from simulations.replay.findings import Findings, rows, table
from simulations.replay.lives import live
from simulations.replay.made_up import on_made_up
from simulations.replay.months import Calendar, whole
from simulations.replay.policies import POLICIES, Owners, Say, task_of
from simulations.replay.watch import repeated, survey_plan
from simulations.replay.world import Served, World

REPORT = Path("reports/drift.json")
FIRST, LAST, QUICK_LAST = date(2013, 3, 1), date(2013, 12, 1), date(2013, 5, 1)
QUICK_DEVICES, QUICK_ROUNDS, QUICK_DRAWS = 3, 3, 2


def drift(
    task: Annotated[
        str, typer.Option(metavar="FILE|NAME", help="A task file, or the name of one in tasks/.")
    ] = "flights",
    devices: Annotated[int, typer.Option(help="How many of the largest stations.", min=1, max=35)] = 8,
    learn_months: Annotated[int, typer.Option(help="Months that a campaign learns from.", min=1, max=12)] = 2,
    label_delay: Annotated[int, typer.Option(metavar="DAYS", help="How late outcomes are known.", min=0)] = 7,
    epsilon: Annotated[
        float | None, typer.Option(help="What each owner grants.", show_default="the task's ceiling")
    ] = None,
    row_lifetime: Annotated[
        float | None, typer.Option(metavar="DAYS", help="How long a row takes part, by its owner.", show_default="for ever")
    ] = None,
    outcome_noise: Annotated[
        float, typer.Option(metavar="MULTIPLIER", help="The noise of each daily count of outcomes.", min=0.5)
    ] = 10.0,
    draws: Annotated[int, typer.Option(help="How often each month's survey is asked again, to count alarms.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of the training noise; that of surveys is the system's.", min=0)] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Three stations, spring alone, a few rounds.")] = False,
    report: Annotated[Path, typer.Option(help="Where the rows go, as JSON.")] = REPORT,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:  # fmt: skip
    """Replay months as time: when do surveys see drift, and when does learning again pay (one to two minutes)."""
    read = _task(task)
    calendar = Calendar(
        first=FIRST, last=QUICK_LAST if quick else LAST, learn_months=learn_months, delay_days=label_delay
    )
    if quick:
        devices, draws = min(devices, QUICK_DEVICES), min(draws, QUICK_DRAWS)
        read = replace(read, training=replace(read.training, rounds=QUICK_ROUNDS))
    _say("reading the flights")
    with tempfile.TemporaryDirectory(prefix="covey-drift-") as folder:
        world = World(read, _stations(read, devices, Path(folder)), calendar, seed=seed)
        owners = Owners(
            epsilon=read.privacy.epsilon if epsilon is None else epsilon, row_lifetime_days=row_lifetime,
            outcome_noise=outcome_noise,
        )  # fmt: skip
        found = study(world, owners=owners, draws=draws, say=_say)
    _say("")
    told = list(rows(found))
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        write_whole(report, json_format.dumps(told, indent=2).encode() + b"\n")
    except OSError as error:
        raise InputError(f"{report} cannot be written: {error.strerror or error}") from error
    typer.echo(json_format.dumps(told, indent=2) if json else "\n".join(table(found)))


def study(world: World, *, owners: Owners, draws: int, say: Say = lambda _: None) -> Findings:
    """Live through the calendar under each policy, from one first version; then ask each month's survey again and again.

    At last the two detectors are held against each other, on the first version's days and on made-up ones.
    """
    say("the first campaign")
    start = world.calendar.first
    first = world.learn(None, start)
    outcomes = [live(world, which, first, owners=owners, say=say) for which in POLICIES]
    before = world.serve(first, world.calendar.known(start))
    rates = {}
    for month in world.calendar.months:
        say(f"surveys of {month:%B} again")
        plan = survey_plan(world.task, whole(month), "current")
        rates[month] = repeated(world.task, plan, before, world.serve(first, whole(month)), draws=draws)
    plan = survey_plan(world.task, world.calendar.known(start), "reference")
    odd, even = _by_days(world, before)
    watched = task_of("on loss", world.task, owners)
    caught = [
        *on_replay(watched, world.answers(first), world.calendar, draws=draws, say=say),
        *on_made_up(watched, devices=len(world.population), streams=2 * draws, say=say),
    ]
    return Findings(
        outcomes=outcomes, rates=rates, unmoved=repeated(world.task, plan, odd, even, draws=draws), caught=caught,
        threshold=world.task.drift.alarm_psi, delta=world.task.privacy.delta,
    )  # fmt: skip


def _by_days(world: World, served: Served) -> tuple[Served, Served]:
    """The scores of odd days and of even ones, of the window that the first version learned from."""
    window, population = world.calendar.known(world.calendar.first), world.population
    days = [population.times[population.rows(device, window)] // 86_400_000_000 for device in range(len(population))]
    parts = [
        [each[np.asarray(own % 2 == parity)] for each, own in zip(served.scores, days, strict=True)]
        for parity in (1, 0)
    ]
    return Served(scores=parts[0], auc=served.auc), Served(scores=parts[1], auc=served.auc)


def _task(named: str) -> Task:
    """A task file, or the one of that name that ships."""
    path = Path(named)
    return read_task(path if path.exists() or path.suffix else Path("tasks") / f"{named}.toml")


def _stations(task: Task, devices: int, folder: Path) -> Packed:
    dataset = known(task.name)
    if dataset is None or "station" not in dataset.ways:
        raise InputError(
            f"no months of {task.name!r} ship with Covey, so there are none to replay; take `--task flights`"
        )
    pack(folder, dataset.rows(task, way="station", devices=devices))
    return Packed(folder)


def _say(words: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{words:<40}" + ("" if words else "\r"))
        sys.stderr.flush()


def main() -> None:
    """Run it; whatever goes wrong is one line on stderr and exit status 1."""
    with one_line("covey-sim drift"):
        typer.run(drift)


if __name__ == "__main__":
    main()
