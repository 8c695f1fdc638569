"""The plan calculator: which campaign costs no more than an epsilon, within what the task signed. Nothing here does I/O.

Costs are counted as devices count them, by the Renyi filter of `shared/accounting.py`: a plan that fits here is
admitted there. Epsilon falls with noise and rises with rounds, steps and sample rate, so each is found by halving.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared import accounting
from shared.errors import InputError
from shared.modes import Mode
from shared.privacy import Cost, Level, PrivacyBudget, SampledGaussian
from shared.tasks import Task
from shared.training import Training

Quantity = Literal["noise", "rounds", "steps", "sample_rate"]
Price = Callable[[Training], Cost]
"""What a whole campaign costs a device that takes part in all of it."""

FIELDS: dict[Quantity, str] = {
    "noise": "noise_multiplier", "rounds": "rounds", "steps": "steps", "sample_rate": "sample_rate"
}  # fmt: skip
"""Each quantity's name in `Training`, in the order in which they are solved for."""

MOST_ROUNDS = 10_000
MOST_NOISE = 1e6
LEAST_RATE = 1e-6
MOST_CAMPAIGNS = 99
DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far each quantity may go, and the name of what signs it."""

    min_noise: float
    max_sample_rate: float
    max_steps: int
    min_sample_rate: float = LEAST_RATE
    names: tuple[tuple[Quantity, str], ...] = (
        ("noise", "the signed min_noise_multiplier"), ("rounds", "the most rounds of a campaign"),
        ("steps", "the signed max_steps"), ("sample_rate", "the signed max_sample_rate"),
    )  # fmt: skip

    def widest(self, quantity: Quantity) -> float:
        """The value of a quantity that protects least."""
        return {
            "noise": self.min_noise, "rounds": MOST_ROUNDS, "steps": self.max_steps, "sample_rate": self.max_sample_rate
        }[quantity]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a campaign may cost: `wanted` at a level; and the signed ceiling, which counts single rows."""

    wanted: PrivacyBudget
    ceiling: PrivacyBudget
    level: Level = "record"

    def epsilon(self, cost: Cost) -> float:
        """What a campaign costs at the level and delta that were asked about."""
        return accounting.epsilon(cost.at(self.level), delta=self.wanted.delta)

    def passed_by(self, cost: Cost) -> str:
        """What a campaign costs too much for, in words; empty if it fits."""
        if (found := self.epsilon(cost)) > self.wanted.epsilon:
            return f"epsilon {_up(found):.4g} at delta {self.wanted.delta:g}, above the {self.wanted.epsilon:g} wanted"
        if (found := accounting.epsilon(cost.record, delta=self.ceiling.delta)) > self.ceiling.epsilon:
            return (
                f"epsilon {_up(found):.4g} at delta {self.ceiling.delta:g}, above the signed {self.ceiling.epsilon:g}"
            )
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A campaign that fits: what was solved for, and the limit that keeps it from costing all that was wanted, if any."""

    training: Training
    solved: tuple[Quantity, ...]
    epsilon: float
    held: str


def bounds_of(task: Task, mode: Mode) -> Bounds:
    """The signed limits of a mode; raise `InputError` where the task does not offer it."""
    terms, training = task.terms_of(mode), task.training_in(mode)
    if training is None:
        raise InputError(f"task {task.name!r} has no [{mode}] table, so devices would refuse")
    if terms is None:
        ceiling = task.privacy
        return Bounds(
            min_noise=ceiling.min_noise_multiplier, max_sample_rate=ceiling.max_sample_rate, max_steps=ceiling.max_steps
        )
    whole = mode == "distributed"
    return Bounds(
        min_noise=terms.min_noise_multiplier, max_sample_rate=1.0, max_steps=training.steps,
        min_sample_rate=1.0 if whole else LEAST_RATE,
    )  # fmt: skip


def free(given: Sequence[Quantity], mode: Mode, *, solve: Quantity | None = None) -> tuple[Quantity, ...]:
    """What is solved for, in order: what was asked for; else the noise; else all that was not given.

    Outside the local mode steps and sample rate decide nothing, because what is clipped is the sum.
    """
    if solve is not None and solve in given:
        raise InputError(f"{solve} is given, so it cannot be solved for; leave one of the two options out")
    if solve is not None:
        require_weight(solve, mode)
        return (solve,)
    if "noise" not in given:
        return ("noise",)
    able: tuple[Quantity, ...] = ("rounds", "steps", "sample_rate") if mode == "local" else ("rounds",)
    return tuple(quantity for quantity in able if quantity not in given)


def require_weight(quantity: Quantity, mode: Mode) -> None:
    """Raise `InputError` for a quantity that does not change what a campaign of this mode costs."""
    if mode != "local" and quantity in {"steps", "sample_rate"}:
        raise InputError(f"{quantity} does not change what a {mode} campaign costs; take noise or rounds")


def check(training: Training, bounds: Bounds, given: Sequence[Quantity]) -> None:
    """Raise `InputError`, naming the limit, for a quantity that protects less than the task signed."""
    for quantity in given:
        value, limit = float(getattr(training, FIELDS[quantity])), bounds.widest(quantity)
        if value < limit if quantity == "noise" else value > limit:
            word = "at least" if quantity == "noise" else "at most"
            raise InputError(f"{quantity} must be {word} {limit:g}: {dict(bounds.names)[quantity]}")
    if training.noise_multiplier > MOST_NOISE:
        raise InputError(f"noise must be at most {MOST_NOISE:g}, got {training.noise_multiplier:g}")
    if training.sample_rate < bounds.min_sample_rate:
        raise InputError(f"sample_rate must be at least {bounds.min_sample_rate:g} here, got {training.sample_rate:g}")


def solve(training: Training, quantities: Sequence[Quantity], bounds: Bounds, goal: Goal, price: Price) -> Solution:
    """The campaign that costs most without costing too much, with only `quantities` changed, the first if that is enough.

    Raise `InputError`, naming what is fixed and what would be passed, if nothing fits.
    """
    solved: tuple[Quantity, ...] = ()
    for quantity in quantities:
        solved = (*solved, quantity)
        training = _with(training, quantity, _best(training, quantity, bounds, goal, price))
        if not goal.passed_by(price(training)):
            break
    if passed := goal.passed_by(price(training)):
        raise InputError(f"nothing fits: {_words(training, quantities)} {passed}")
    epsilon = goal.epsilon(price(training))
    return Solution(
        training=training, solved=solved, epsilon=epsilon, held=_held(training, solved, bounds, goal, price)
    )  # fmt: skip


def most_rounds(task: Task, price: Price, mode: Mode = "local") -> int:
    """How many rounds of the task's own training the signed ceiling covers, of a device that spent nothing; 0 if none."""
    ceiling = PrivacyBudget(epsilon=task.privacy.epsilon, delta=task.privacy.delta)
    goal, training = Goal(wanted=ceiling, ceiling=ceiling), task.training_in(mode) or task.training
    best = _best(training, "rounds", bounds_of(task, mode), goal, price)
    return 0 if goal.passed_by(price(_with(training, "rounds", best))) else int(best)


def campaigns(events: Sequence[SampledGaussian], budget: PrivacyBudget) -> int:
    """How many campaigns of these events a budget covers that nothing was spent of, counted to 99."""
    one = accounting.renyi(events)
    fits = (accounting.epsilon_of(count * one, delta=budget.delta) <= budget.epsilon for count in range(1, 100))
    return next((count for count, fitting in enumerate(fits) if not fitting), MOST_CAMPAIGNS)


def around(solution: Training, bounds: Bounds) -> tuple[Training, ...]:
    """The trade-off near a solution: campaigns with more and less noise, and of more and fewer rounds; no two alike."""
    noises = {max(bounds.min_noise, rounded(solution.noise_multiplier * factor)) for factor in (0.8, 1.25, 1.5625)}
    counts = {min(MOST_ROUNDS, max(1, round(solution.rounds * factor))) for factor in (0.5, 1, 2, 4)}
    pairs = [(noise, count) for noise in sorted({solution.noise_multiplier, *noises}) for count in sorted(counts)]
    return tuple(replace(solution, noise_multiplier=noise, rounds=count) for noise, count in pairs)


def along(solution: Training, quantity: Quantity, bounds: Bounds, points: int) -> tuple[Training, ...]:
    """A solution with one quantity in at most `points` values: up to twice its own, or as far as the limits go."""
    value = float(getattr(solution, FIELDS[quantity]))
    if quantity in {"rounds", "steps"}:
        most = max(value, min(max(2 * value, 4), bounds.widest(quantity)))
        values = sorted({round(1 + (most - 1) * place / (points - 1)) for place in range(points)})
        return tuple(_with(solution, quantity, each) for each in values)
    low, high = (bounds.min_noise, 2 * value) if quantity == "noise" else (value / 8, bounds.max_sample_rate)
    places = [min(low, value) + (max(high, value) - min(low, value)) * place / (points - 1) for place in range(points)]
    return tuple(_with(solution, quantity, each) for each in places)


def rounded(value: float, *, up: bool = True) -> float:
    """A positive value in four digits, no smaller than it was, or with `up=False` no larger."""
    short = float(f"{value:.{DIGITS}g}")
    if (short >= value) if up else (short <= value):
        return short
    unit = 10.0 ** (math.floor(math.log10(value)) - DIGITS + 1)
    return float(f"{short + unit if up else short - unit:.{DIGITS}g}")


def _best(training: Training, quantity: Quantity, bounds: Bounds, goal: Goal, price: Price) -> float:
    """The value that protects least among those that fit; where none does, the one that protects most."""

    def fits(value: float) -> bool:
        return not goal.passed_by(price(_with(training, quantity, value)))

    if fits(widest := bounds.widest(quantity)):
        return widest
    if quantity == "noise":
        return rounded(_halve(lambda value: fits(1 / value), 1 / MOST_NOISE, 1 / widest) ** -1)
    if quantity == "sample_rate":
        return rounded(_halve(fits, bounds.min_sample_rate, widest), up=False)
    low, high = 1, int(widest)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _halve(fits: Callable[[float], bool], low: float, high: float) -> float:
    """The largest value that fits, from below; `low` where none does."""
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _with(training: Training, quantity: Quantity, value: float) -> Training:
    number: Any = int(value) if quantity in {"rounds", "steps"} else float(value)
    return replace(training, **{FIELDS[quantity]: number})


def _held(training: Training, solved: Sequence[Quantity], bounds: Bounds, goal: Goal, price: Price) -> str:
    """What stopped the last quantity before epsilon was used up, in words."""
    if not solved:
        return ""
    last, limits = solved[-1], dict(bounds.names)
    if float(getattr(training, FIELDS[last])) == bounds.widest(last):
        return limits[last]
    wider = {"noise": 1 - 1e-3, "sample_rate": 1 + 1e-3}.get(last)
    value = float(getattr(training, FIELDS[last]))
    further = price(_with(training, last, value + 1 if wider is None else value * wider))
    return (
        "" if goal.epsilon(further) > goal.wanted.epsilon else f"the signed ceiling, epsilon {goal.ceiling.epsilon:g},"
    )


def _words(training: Training, quantities: Sequence[Quantity]) -> str:
    """A campaign that does not fit, and which of its numbers could not be changed."""
    fixed = [quantity for quantity in FIELDS if quantity not in quantities]
    values = {quantity: getattr(training, FIELDS[quantity]) for quantity in FIELDS}
    said = ", ".join(f"{quantity} {values[quantity]:g}" for quantity in fixed)
    if not quantities:
        return f"{said} cost"
    return f"with {said} fixed, even {' and '.join(f'{q} {values[q]:g}' for q in quantities)} cost"


def _up(epsilon: float) -> float:
    """To four digits, upwards: what is above a limit must look it."""
    return rounded(epsilon)
