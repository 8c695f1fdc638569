"""Which settings each mode is compared with, and the noise that gives all of them the same epsilon.

Chosen on rows that are not scored (docs/decisions/0005): those for the eight largest stations on the sixteen medium
ones, and the other way round; those for aircraft on every third aircraft, of which none is scored.
"""

from dataclasses import dataclass, replace
from typing import Literal

from shared import accounting
from shared.modes import Central, Distributed, Mode
from shared.privacy import SampledGaussian
from shared.tasks import Task, Window
from shared.training import Training

Kind = Literal["none", "local", "sampled", "distributed", "central"]
"""A column of the table. `sampled` is local noise too, in many small steps on samples of the rows."""

KINDS: tuple[Kind, ...] = ("none", "local", "sampled", "distributed", "central")
EPSILONS = (3.5, 1.0)
WINTER = Window(start="2013-01-01", end="2013-03-01")
MARCH = Window(start="2013-03-01", end="2013-04-01")
SILENT = 1e-6
"""The noise multiplier where there is to be none; a plan must have one."""

TRAINING = Training(
    rounds=30, sample_rate=1.0, steps=1, normalizer=1.0, learning_rate=2.0, max_grad_norm=1.0, noise_multiplier=1.0,
    max_update_norm=0.5, server_momentum=0.7,
)  # fmt: skip
"""One step over all rows a round; only the noise, and what it is over, differ between modes."""

SAMPLED = Training(
    rounds=20, sample_rate=0.03125, steps=16, normalizer=1.0, learning_rate=0.5, max_grad_norm=1.0,
    noise_multiplier=1.0, max_update_norm=1.0, server_momentum=0.5,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stations:
    """A fleet of stations, by their rank in flights, and how it trains: the normalizer by kind and epsilon.

    `quiet` is for training without noise, which affords more rounds and more momentum.
    """

    name: str
    ranks: slice
    quiet: float
    sums: dict[float, float]
    local: dict[float, float]
    sampled: dict[float, tuple[float, float]]

    def training(self, kind: Kind, epsilon: float, *, delta: float) -> Training:
        """How a kind trains here so that every row of a device in all rounds pays `epsilon`."""
        if kind == "none":
            rounds = replace(TRAINING, rounds=60, server_momentum=0.9, max_update_norm=5.0)
            return replace(rounds, normalizer=self.quiet, noise_multiplier=SILENT)
        if kind == "sampled":
            normalizer, rate = self.sampled[epsilon]
            return _paid(replace(SAMPLED, normalizer=normalizer, learning_rate=rate), epsilon, delta=delta)
        normalizers = self.local if kind == "local" else self.sums
        return _paid(replace(TRAINING, normalizer=normalizers[epsilon]), epsilon, delta=delta)


LARGE = Stations(
    name="large-8", ranks=slice(8), quiet=4400.0, sums={3.5: 1600.0, 1.0: 2200.0}, local={3.5: 2200.0, 1.0: 4400.0},
    sampled={3.5: (128.0, 0.5), 1.0: (128.0, 0.125)},
)  # fmt: skip
MEDIUM = Stations(
    name="medium-16", ranks=slice(8, 24), quiet=1000.0, sums={3.5: 250.0, 1.0: 250.0},
    local={3.5: 250.0, 1.0: 1000.0}, sampled={3.5: (29.0, 0.5), 1.0: (29.0, 0.125)},
)  # fmt: skip
FLEETS = (LARGE, MEDIUM)


def mode_of(kind: Kind) -> Mode:
    """The mode whose code a kind runs through; without noise it makes no difference who would add it."""
    return {"none": "central", "sampled": "local"}.get(kind, kind)  # type: ignore[return-value]


def offering(task: Task, kind: Kind, training: Training) -> Task:
    """The task, offering a kind with a training, to owners who allow it whatever it costs."""
    least = training.noise_multiplier
    ceiling = replace(
        task.privacy, epsilon=1e15, min_noise_multiplier=least, max_sample_rate=1.0, max_steps=training.steps
    )
    mode = mode_of(kind)
    terms = task.distributed
    return replace(
        task,
        training=training,
        privacy=ceiling,
        distributed=_shares(training, terms) if mode == "distributed" else None,
        central=Central(training=training, min_noise_multiplier=least, unit="record") if mode == "central" else None,
    )


def noise_for(epsilon: float, *, steps: int, sample_rate: float, delta: float) -> float:
    """The noise multiplier, to a part in a billion and never less, with which so many steps cost `epsilon`."""

    def cost(noise: float) -> float:
        event = SampledGaussian(noise_multiplier=noise, sample_rate=sample_rate, steps=steps)
        return accounting.epsilon([event], delta=delta)

    low, high = 1e-3, 1.0
    while cost(high) > epsilon:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) > epsilon else (low, middle)
    return high


def _paid(training: Training, epsilon: float, *, delta: float) -> Training:
    steps = training.rounds * training.steps
    noise = noise_for(epsilon, steps=steps, sample_rate=training.sample_rate, delta=delta)
    return replace(training, noise_multiplier=noise)


def _shares(training: Training, terms: Distributed | None) -> Distributed:
    """The task's terms for sums, or usual ones, with another training."""
    if terms is None:
        return Distributed(
            training=training, min_cohort=5, threshold=0.7, colluders=0.1,
            min_noise_multiplier=training.noise_multiplier, bits=32,
        )  # fmt: skip
    return replace(terms, training=training, min_noise_multiplier=training.noise_multiplier)
