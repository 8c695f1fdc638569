"""What a campaign would cost, for numbers as a person types them: epsilon by itself, for the fleet, and what else would fit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from server import calculator
from server.answers import campaigns_in
from server.calculator import MOST_NOISE, MOST_ROUNDS
from server.costs import campaign_cost
from server.spending import Charges, campaign_event, campaigns_left, epsilon, merged
from server.tui.budgets import over
from shared import accounting
from shared.tasks import Task
from shared.training import Training

FIELDS: dict[str, str] = {"noise": "Noise", "rounds": "Rounds", "rate": "Rate"}
"""Each number's name on screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """The three numbers as they stand in their fields."""

    noise: str
    rounds: str
    rate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoned:
    """One campaign: its epsilon alone, the most that a device would then have spent, and how many could pay for it.

    `able` are those that do not say themselves that their budget is short; `short` says that, whatever our plans leave.
    `campaigns` of its kind fit under the ceiling of a device that spent nothing, `most_rounds` rounds do. `refused` says
    which signed limit it breaks, if it does. `grid` is epsilon by noise and rounds near it.
    """

    training: Training
    epsilon: float
    after: float
    able: int
    short: int
    fleet: int
    campaigns: int
    most_rounds: int
    refused: str
    grid: tuple[tuple[float, int, float], ...]


def usual(task: Task) -> Typed:
    """The task's own numbers."""
    training = task.training
    return Typed(noise=f"{training.noise_multiplier:g}", rounds=str(training.rounds), rate=f"{training.sample_rate:g}")


def problems(typed: Typed) -> dict[str, str]:
    """What is no number that could be reckoned with, by the field's name."""
    found = {
        "noise": _number(typed.noise, MOST_NOISE, "a number above 0"),
        "rounds": "" if typed.rounds.isdecimal() and 1 <= int(typed.rounds) <= MOST_ROUNDS else f"1 to {MOST_ROUNDS}",
        "rate": _number(typed.rate, 1.0, "above 0, at most 1"),
    }
    return {name: text for name, text in found.items() if text}


def hints(task: Task) -> dict[str, str]:
    """The signed limit of each number."""
    privacy = task.privacy
    return {
        "noise": f"at least {privacy.min_noise_multiplier:g}, signed",
        "rounds": f"of {task.training.steps} steps each",
        "rate": f"at most {privacy.max_sample_rate:g}, signed",
    }


def reckon(
    typed: Typed, task: Task, charges: Sequence[Charges], allowed: Mapping[str, float] = MappingProxyType({})
) -> Reckoned:
    """All that follows from numbers that have no problems.

    `allowed` is how many campaigns of the task's own training a device's word leaves room for, at most.
    """
    training = replace(
        task.training, noise_multiplier=float(typed.noise), rounds=int(typed.rounds), sample_rate=float(typed.rate)
    )
    event, privacy = campaign_event(training), task.privacy
    after = {events: epsilon(merged([*events, event]), privacy.delta) for events in {each.events for each in charges}}
    short = over(allowed, campaigns_in(event, campaign_event(task.training)))
    held = Counter(each.events for each in charges if each.device not in short)
    alone = merged([event])
    return Reckoned(
        training=training,
        epsilon=epsilon(alone, privacy.delta),
        after=max(after.values(), default=0.0),
        able=sum(number for events, number in held.items() if after[events] <= privacy.epsilon),
        short=len(short),
        fleet=len(charges),
        campaigns=campaigns_left(frozenset(), event, ceiling=privacy.epsilon, delta=privacy.delta),
        most_rounds=most_rounds(training, task),
        refused=privacy.weakened_by(training) or "",
        grid=tuple(near(training, task)),
    )


def most_rounds(training: Training, task: Task) -> int:
    """How many such rounds the ceiling covers, of a device that spent nothing; 0 if none."""
    one, privacy = accounting.renyi([campaign_event(replace(training, rounds=1))]), task.privacy
    low, high = 0, MOST_ROUNDS + 1
    while high - low > 1:
        middle = (low + high) // 2
        fits = accounting.epsilon_of(middle * one, delta=privacy.delta) <= privacy.epsilon
        low, high = (middle, high) if fits else (low, middle)
    return low


def near(training: Training, task: Task) -> list[tuple[float, int, float]]:
    """Noise, rounds and epsilon of campaigns with more and less of both, as `covey plan` lists them."""
    bounds = calculator.bounds_of(task, "local")
    found = calculator.around(training, bounds)
    price = [(each, campaign_cost(task, "local", each).record) for each in found]
    return [(each.noise_multiplier, each.rounds, epsilon(merged(events), task.privacy.delta)) for each, events in price]


def command(typed: Typed, task: Task) -> tuple[str, ...]:
    """The words that show the same campaign in a shell, with what else would cost as much."""
    return (
        "plan", "--task", task.name, "--noise", typed.noise, "--rounds", typed.rounds, "--sample-rate", typed.rate
    )  # fmt: skip


def _number(text: str, most: float, instead: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return instead
    return "" if 0 < value <= most else instead
