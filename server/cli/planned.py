"""How a plan is told: its numbers, what more or less of it would cost, a plot, and the command that starts it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import typer

from server.calculator import FIELDS, MOST_CAMPAIGNS, Quantity
from server.cli.base import print_table
from server.cli.plot import plot
from shared.modes import Mode
from shared.privacy import ADJACENCY, TRUST, Level, PrivacyBudget, Trust
from shared.tasks import Task
from shared.training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One campaign: what it costs by the ledger's accountant and by privacy loss distributions, and how many fit.

    There is no `pld` under secure aggregation, whose noise is bounded in Renyi divergence alone.
    """

    noise_multiplier: float
    rounds: int
    epsilon: float
    pld: float | None
    campaigns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What `covey plan --json` prints."""

    task: str
    revision: int
    mode: Mode
    level: Level
    trust: Trust
    wanted: PrivacyBudget
    ceiling: PrivacyBudget
    solved: tuple[Quantity, ...]
    held: str
    training: Training
    epsilon: float
    pld: float | None
    campaigns: int
    command: str
    options: tuple[Option, ...]
    against: str
    curve: tuple[tuple[float, ...], ...]


def show(task: Task, told: Planned, given: Sequence[Quantity]) -> None:
    """Print a plan; `given` are the quantities that were fixed."""
    typer.echo(
        f"{task.name}, revision {task.revision}: what one campaign costs a device that takes part in all of it.\n"
    )
    for quantity, field in FIELDS.items():
        value = getattr(told.training, field)
        whence = "solved for" if quantity in told.solved else "given" if quantity in given else "the task's"
        typer.echo(f"  {quantity.replace('_', ' '):<12} {value:<9g} {whence}")
    tighter = "" if told.pld is None else f"; {upwards(told.pld)} by privacy loss distributions"
    typer.echo(f"  {'epsilon':<12} {upwards(told.epsilon):<9} as devices count it{tighter}")
    for note in _notes(task, told):
        typer.echo(f"  {note}")
    typer.echo("")
    print_table(
        ("NOISE", "ROUNDS", "EPSILON", "BY PLD", "CAMPAIGNS", ""), [_row(each, told) for each in told.options], empty=""
    )
    curves = [[(point[0], point[index]) for point in told.curve] for index in range(1, len(told.curve[0]))]
    legend = "epsilon as devices count it" + (" (above) and by PLD (below)" if told.pld is not None else "")
    typer.echo("")
    for line in plot(
        curves, level=told.wanted.epsilon, x_title=told.against.replace("_", " "), y_title=f"{legend}; ··· wanted"
    ):
        typer.echo(line)
    typer.echo(f"\n{told.command}")


def _row(each: Option, told: Planned) -> tuple[str, ...]:
    training = told.training
    is_plan = (each.noise_multiplier, each.rounds) == (training.noise_multiplier, training.rounds)
    note = "this plan" if is_plan else "too much" if each.epsilon > told.wanted.epsilon else ""
    tighter = "-" if each.pld is None else upwards(each.pld)
    return f"{each.noise_multiplier:g}", str(each.rounds), upwards(each.epsilon), tighter, _count(each.campaigns), note


def _notes(task: Task, told: Planned) -> Iterator[str]:
    """What a person should know before starting it."""
    yield f"at delta {told.wanted.delta:g}, for {ADJACENCY[told.level]}, {TRUST[told.trust]}"
    yield (
        f"The signed ceiling, epsilon {told.ceiling.epsilon:g} at delta {told.ceiling.delta:g}, holds "
        f"{_count(told.campaigns)} such campaigns."
    )
    if told.held:
        yield f"{told.held[0].upper()}{told.held[1:]} keeps it from costing the {told.wanted.epsilon:g} wanted."
    own = task.training_in(told.mode)
    if own is None or told.training.sample_rate == own.sample_rate:
        return
    like = own.normalizer * told.training.sample_rate / own.sample_rate
    if like >= 1:
        yield f"The normalizer stays {own.normalizer:g}; `--set normalizer={like:g}` would keep the length of a step."


def upwards(epsilon: float) -> str:
    """Three decimals, and never less than the number."""
    return f"{math.ceil(epsilon * 1000) / 1000:.3f}"


def _count(campaigns: int) -> str:
    return f"{MOST_CAMPAIGNS}+" if campaigns == MOST_CAMPAIGNS else str(campaigns)
