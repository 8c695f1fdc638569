"""Surveys of drift: what is counted between which public edges, and what comes of it.

Adding or removing one row changes one count by one in each histogram. The L2 sensitivity is therefore 1
for the score, and the square root of their number for all columns together.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from shared.features import Bucket, Category, Cycle, Feature, Number
from shared.privacy import SampledGaussian
from shared.tasks import Task, Window

SurveyRole = Literal["reference", "current"]

SCORE = "score"
"""The name of the histogram over the model's score of the last class; it always stands first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyPlan:
    """What a device is asked to count; all public. `features` off asks for the score alone."""

    run_id: int
    task: str
    revision: int
    release: int
    window: Window
    role: SurveyRole
    features: bool
    score_bins: int
    feature_bins: int
    score_noise_multiplier: float
    feature_noise_multiplier: float

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be charged, and bins whose number the rows would decide."""
        _ = self.events
        if not (2 <= self.score_bins <= 100 and 2 <= self.feature_bins <= 100):
            raise ValueError("score_bins and feature_bins must lie between 2 and 100")

    @property
    def events(self) -> tuple[SampledGaussian, ...]:
        """What answering costs: one event for the score, one for all features together.

        The counts are whole numbers and the noise a discrete Gaussian, whose Renyi divergence never exceeds the
        continuous one's: alpha / (2 sigma^2) at every order (Canonne, Kamath & Steinke, 2020, "The Discrete
        Gaussian for Differential Privacy", theorem 4). Charging it as a Gaussian is thus an upper bound.
        """
        score = SampledGaussian(noise_multiplier=self.score_noise_multiplier, sample_rate=1.0, steps=1)
        features = SampledGaussian(noise_multiplier=self.feature_noise_multiplier, sample_rate=1.0, steps=1)
        return (score, features) if self.features else (score,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Where one histogram counts: bin i is `[edges[i], edges[i + 1])`, the outer two take what lies beyond.

    With `other`, one more bin at the end takes what is missing or not declared. `noise` is the standard
    deviation that each count gets.
    """

    name: str
    edges: tuple[float, ...]
    other: bool
    noise: float

    @property
    def size(self) -> int:
        """How many counts there are."""
        return len(self.edges) - 1 + self.other


def edges_of(task: Task, plan: SurveyPlan) -> tuple[Bins, ...]:
    """The survey's histograms: the score, then each raw column of the task once, if the plan asks for features."""
    score = Bins(name=SCORE, edges=_equal(0.0, 1.0, plan.score_bins), other=False, noise=plan.score_noise_multiplier)
    columns = columns_of(task) if plan.features else ()
    noise = plan.feature_noise_multiplier * math.sqrt(len(columns))
    edges = ((column.name, _edges(column, plan.feature_bins)) for column in columns)
    return (score, *(Bins(name=name, edges=found, other=True, noise=noise) for name, found in edges))


def columns_of(task: Task) -> tuple[Feature, ...]:
    """One feature a raw column, in the task's order: the first that reads the column decides how it is counted."""
    first = {feature.name: feature for feature in reversed(task.features)}
    return tuple(feature for feature in task.features if first[feature.name] is feature)


def _edges(feature: Feature, bins: int) -> tuple[float, ...]:
    match feature:
        case Number():
            return _equal(feature.low, feature.high, bins)
        case Cycle():
            return _equal(0.0, feature.period, bins)
        case Category():
            return tuple(float(index) for index in range(len(feature.values) + 1))
        case Bucket():
            return _closed(feature.edges)


def _equal(low: float, high: float, bins: int) -> tuple[float, ...]:
    return (*(low + (high - low) * index / bins for index in range(bins)), high)


def _closed(inner: tuple[float, ...]) -> tuple[float, ...]:
    """Close the two open ends one neighbouring interval further out; a lone edge gets a width of 1 each side."""
    widths = [high - low for low, high in pairwise(inner)] or [1.0]
    return (inner[0] - widths[0], *inner, inner[-1] + widths[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Noisy counts between public edges; `noise` is the standard deviation added to each count."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """One device's answer to a survey."""

    run_id: int
    release: int
    histograms: tuple[Histogram, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far one distribution moved: the debiased PSI, and the PSI that noise alone reaches 1 time in 100."""

    name: str
    psi: float
    noise: float
    devices: int

    @property
    def evident(self) -> bool:
        """Whether the shift stands out of the noise that privacy added."""
        return self.psi > self.noise
