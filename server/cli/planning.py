"""`covey plan`: which campaign costs no more than an epsilon, what more or less of it would cost, and how to start it."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from server import calculator
from server.calculator import FIELDS, Bounds, Goal, Price, Quantity, Solution
from server.cli.base import AsJson, count, opened, session, the_task
from server.cli.planned import Option, Planned, show
from server.config import default_home
from shared import wire
from shared.errors import InputError
from shared.modes import Mode
from shared.privacy import PrivacyBudget, SampledGaussian
from shared.tasks import Task, read_task
from shared.training import Training

POINTS = 12
"""Of each curve."""


def plan(
    context: typer.Context,
    task: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="A task of the federation, or a task file.",
                                 show_default="the only one"),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="What a campaign may cost each device.", show_default="the task's ceiling")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="At which delta.", show_default="the task's")] = None,
    noise: Annotated[
        float | None, typer.Option(metavar="MULTIPLIER", help="Fix the noise.", show_default="solved for")
    ] = None,
    rounds: Annotated[int | None, count("Fix the rounds.", default="the task's")] = None,
    steps: Annotated[int | None, count("Fix the steps of a round.", default="the task's")] = None,
    sample_rate: Annotated[float | None, typer.Option(help="Fix the sample rate.", show_default="the task's")] = None,
    solve: Annotated[
        Quantity | None,
        typer.Option(help="What to solve for.", show_default="the noise; if that is fixed, what is left"),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Who adds the noise, as in `covey start`.")] = "local",
    against: Annotated[Quantity, typer.Option(help="What the plot shows epsilon against.")] = "rounds",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Find the campaign that fits an epsilon, and show what noise and rounds trade for it."""
    fixed: dict[Quantity, float | None] = {
        "noise": noise, "rounds": rounds, "steps": steps, "sample_rate": sample_rate
    }  # fmt: skip
    given: dict[Quantity, float] = {quantity: value for quantity, value in fixed.items() if value is not None}
    read = _read(context, task)
    bounds, goal, price = calculator.bounds_of(read, mode), _goal(read, mode, epsilon, delta), _price(read, mode)
    start = _fixed(read, mode, given)
    calculator.check(start, bounds, list(given))
    calculator.require_weight(against, mode)
    free = calculator.free(list(given), mode, solve=solve)
    solution = calculator.solve(start, free, bounds, goal, price)
    told = _tell(read, mode, against, solution, bounds, goal, price, home=_home(context))
    if as_json:
        typer.echo(json.dumps(wire.encode(told), indent=2))
    else:
        show(read, told, list(given))


def _read(context: typer.Context, name: str | None) -> Task:
    if name and (name.endswith(".toml") or "/" in name):
        return read_task(Path(name))
    with opened(context) as (_, store):
        return the_task(store, name)


def _goal(task: Task, mode: Mode, epsilon: float | None, delta: float | None) -> Goal:
    ceiling = PrivacyBudget(epsilon=task.privacy.epsilon, delta=task.privacy.delta)
    try:
        wanted = PrivacyBudget(
            epsilon=ceiling.epsilon if epsilon is None else epsilon, delta=ceiling.delta if delta is None else delta
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    level = task.central.unit if mode == "central" and task.central else "record"
    return Goal(wanted=wanted, ceiling=ceiling, level=level)


def _price(task: Task, mode: Mode) -> Price:
    from server.costs import campaign_cost

    return lambda training: campaign_cost(task, mode, training)


def _fixed(task: Task, mode: Mode, given: dict[Quantity, float]) -> Training:
    """The task's training with what was given in its place; raise `InputError` for what nobody can train."""
    from server.planning import training_in

    try:
        return replace(training_in(task, mode), **{FIELDS[quantity]: value for quantity, value in given.items()})
    except ValueError as error:
        raise InputError(str(error)) from None


def _home(context: typer.Context) -> Path | None:
    """The federation's directory, where the command to start must name it."""
    home = session(context).federation.home
    return None if home == default_home().absolute() else home


def _tell(
    task: Task, mode: Mode, against: Quantity, found: Solution, bounds: Bounds, goal: Goal, price: Price, *,
    home: Path | None,
) -> Planned:  # fmt: skip
    """All that is shown, with the tighter epsilons, which take a while, told on stderr."""
    variants = calculator.around(found.training, bounds)
    line = calculator.along(found.training, against, bounds, POINTS)
    tight = _tighter(mode, goal)
    steps = _counted(len(variants) + len(line) + 1)

    def option(training: Training) -> Option:
        next(steps)
        cost = price(training)
        return Option(
            noise_multiplier=training.noise_multiplier, rounds=training.rounds, epsilon=goal.epsilon(cost),
            pld=tight(cost.at(goal.level)), campaigns=calculator.campaigns(cost.record, goal.ceiling),
        )  # fmt: skip

    itself, options = option(found.training), [option(each) for each in variants]
    curve = [option(each) for each in line]
    places = [float(getattr(each, FIELDS[against])) for each in line]
    points = zip(places, curve, strict=True)
    next(steps, None)
    return Planned(
        task=task.name, revision=task.revision, mode=mode, level=goal.level, trust=price(found.training).trust,
        wanted=goal.wanted, ceiling=goal.ceiling, solved=found.solved, held=found.held, training=found.training,
        epsilon=itself.epsilon, pld=itself.pld, campaigns=itself.campaigns, options=tuple(options), against=against,
        command=command(task, mode, found.training, home=home),
        curve=tuple((x, each.epsilon, *([] if each.pld is None else [each.pld])) for x, each in points),
    )  # fmt: skip


def _tighter(mode: Mode, goal: Goal) -> Callable[[Sequence[SampledGaussian]], float | None]:
    """Epsilon by privacy loss distributions; none where the noise is not Gaussian."""
    if mode == "distributed":
        return lambda _: None
    from shared import pld

    return lambda events: pld.epsilon(events, delta=goal.wanted.delta)


def _counted(total: int) -> Iterator[None]:
    """Say on stderr how far the work is, in one line that goes away; nothing where nobody watches."""
    shown = sys.stderr.isatty()
    for number in range(1, total + 1):
        if shown:
            typer.echo(f"\rcomputing epsilon {number} of {total}", err=True, nl=False)
        yield
    if shown:
        typer.echo("\r" + " " * 40 + "\r", err=True, nl=False)


def command(task: Task, mode: Mode, training: Training, *, home: Path | None = None) -> str:
    """The command that starts exactly this campaign."""
    own = task.training_in(mode)
    words = ["covey", *(("--home", str(home)) if home else ()), "start", task.name]
    words += ["--mode", mode] if mode != "local" else []
    if own is None or training.rounds != own.rounds:
        words += ["--rounds", str(training.rounds)]
    for name in ("noise_multiplier", "steps", "sample_rate"):
        if own is None or getattr(training, name) != getattr(own, name):
            words += ["--set", f"{name}={getattr(training, name)!r}"]
    return shlex.join(words)
