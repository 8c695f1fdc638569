"""Surveys of drift: what is counted between which public edges, and what comes of it.

Adding or removing one row changes one count by one in each histogram. The L2 sensitivity is therefore 1
for the score, for the contract's rules, for the outcomes and for the agreement of two releases, and the square root of
their number for all columns together.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

from shared.contract import KEEPS
from shared.features import Bucket, Category, Cycle, Feature, Number
from shared.privacy import SampledGaussian
from shared.tasks import Task, Window

SurveyRole = Literal["reference", "current"]

SCORE = "score"
"""The name of the histogram over the model's score of the last class; it always stands first."""

CONTRACT = "@contract"
"""The histogram of which rule of the task's contract each row breaks first, then of those that keep it."""

OUTCOMES = "@outcomes"
"""The histogram over group, true label and score of the predictions whose outcome is known (privacy rule 13)."""

AGREEMENT = "@agreement"
"""The histogram over group, the answer of the survey's release and the answer of the one that is tried beside it."""

CELLS = (CONTRACT, OUTCOMES, AGREEMENT)
"""The histograms whose bins are cells, which are figures by themselves; all others are distributions, which may move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyPlan:
    """What a device is asked to count; all public. `features` off leaves the columns out.

    The contract's rules and the outcomes are counted where they have a noise multiplier. With `shadow`, the answers of
    `release` are compared with those of that release, which is tried beside it, at the score's noise multiplier.
    """

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
    contract_noise_multiplier: float | None = None
    outcome_noise_multiplier: float | None = None
    shadow: int | None = None

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be charged, and bins whose number the rows would decide."""
        _ = self.events
        if not (2 <= self.score_bins <= 100 and 2 <= self.feature_bins <= 100):
            raise ValueError("score_bins and feature_bins must lie between 2 and 100")
        if self.shadow is not None and (self.shadow < 1 or self.shadow == self.release):
            raise ValueError("shadow must be another release than the survey's")

    @property
    def events(self) -> tuple[SampledGaussian, ...]:
        """What answering costs: one event each for the score, all features together, and whatever has cells.

        The counts are whole numbers and the noise a discrete Gaussian, whose Renyi divergence never exceeds the
        continuous one's: alpha / (2 sigma^2) at every order (Canonne, Kamath & Steinke, 2020, "The Discrete
        Gaussian for Differential Privacy", theorem 4). Charging it as a Gaussian is thus an upper bound.
        """
        features = self.feature_noise_multiplier if self.features else None
        cells = (self.contract_noise_multiplier, self.outcome_noise_multiplier, self.agreement_noise_multiplier)
        return counted(self.score_noise_multiplier, features, *cells)

    @property
    def agreement_noise_multiplier(self) -> float | None:
        """The noise of the agreement's counts; None where no release is compared."""
        return None if self.shadow is None else self.score_noise_multiplier


def counted(*noise_multipliers: float | None) -> tuple[SampledGaussian, ...]:
    """One noisy count over all rows for each noise multiplier that is not `None`."""
    return tuple(
        SampledGaussian(noise_multiplier=n, sample_rate=1.0, steps=1) for n in noise_multipliers if n is not None
    )


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
    """The survey's histograms: the score; as far as the plan asks each raw column once, the contract, the outcomes."""
    score = Bins(name=SCORE, edges=_equal(0.0, 1.0, plan.score_bins), other=False, noise=plan.score_noise_multiplier)
    columns = columns_of(task) if plan.features else ()
    noise = plan.feature_noise_multiplier * math.sqrt(len(columns))
    edges = ((column.name, _edges(column, plan.feature_bins)) for column in columns)
    return (
        score,
        *(Bins(name=name, edges=found, other=True, noise=noise) for name, found in edges),
        *_cells(task, plan),
    )


def _cells(task: Task, plan: SurveyPlan) -> tuple[Bins, ...]:
    """The histograms whose bins are cells: each row lies in exactly one, so the L2 sensitivity of each is 1."""
    asked = (
        (CONTRACT, len(task.contract.rules) + 1, plan.contract_noise_multiplier),
        (OUTCOMES, len(groups_of(task)) * len(task.label.classes) * plan.score_bins, plan.outcome_noise_multiplier),
        (AGREEMENT, len(groups_of(task)) * len(task.label.classes) ** 2, plan.agreement_noise_multiplier),
    )
    return tuple(
        Bins(name=name, edges=tuple(map(float, range(cells + 1))), other=False, noise=noise)
        for name, cells, noise in asked
        if noise is not None
    )


def groups_of(task: Task) -> tuple[str, ...]:
    """The groups that outcomes are told apart by: each combination of the declared values of the columns `task.groups`.

    A value that is missing or not declared is `other`. Outcomes stand group by group, then by label, then by score.
    """
    return tuple(" ".join(combined) for combined in product(*(group_values(task, name) for name in task.groups)))


def group_values(task: Task, column: str) -> tuple[str, ...]:
    """What a group column declares, and `other`; a column that declares nothing is one group."""
    for feature in task.features:
        if feature.name == column and isinstance(feature, Category):
            return (*feature.values, "other")
        if feature.name == column and isinstance(feature, Bucket):
            bounds = ("", *(f"{edge:g}" for edge in feature.edges), "")
            return (*(f"{low}..{high}" for low, high in pairwise(bounds)), "other")
    return ("other",)


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
class RuleCount:
    """How many rows broke a rule of the contract first, summed over devices; `noise` is the sum's standard deviation."""

    rule: str
    rows: float
    noise: float

    @property
    def band(self) -> float:
        """How far the noise reaches 19 times in 20."""
        return 1.96 * self.noise

    def __str__(self) -> str:
        """The count as a person reads it."""
        return f"{self.rule}: {max(0.0, self.rows):,.0f} ± {self.band:,.0f}"


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


def rule_counts(task: Task, histograms: Iterable[Histogram]) -> tuple[RuleCount, ...]:
    """What a survey found of each rule of the contract, in declared order, and at last of the rows that keep it."""
    found = next((histogram for histogram in histograms if histogram.name == CONTRACT), None)
    if found is None:
        return ()
    names = (*(rule.name for rule in task.contract.rules), KEEPS)
    return tuple(
        RuleCount(rule=name, rows=rows, noise=found.noise) for name, rows in zip(names, found.counts, strict=True)
    )
