"""Federated evaluation of a version: what is counted, and what comes of it (privacy rule 13)."""

from dataclasses import dataclass

from shared.drift import Bins, Histogram, groups_of
from shared.privacy import SampledGaussian
from shared.tasks import Task, Window

CELLS = "@evaluation"
"""The name of the one histogram: group by group, then label, then score bin of the last class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What a device is asked to count under weights that come with it; every field is public."""

    run_id: int
    task: str
    revision: int
    version: int
    window: Window
    score_bins: int
    noise_multiplier: float

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be charged, and bins whose number the rows would decide."""
        _ = self.event
        if not 2 <= self.score_bins <= 100:
            raise ValueError(f"score_bins must lie between 2 and 100, got {self.score_bins}")

    @property
    def event(self) -> SampledGaussian:
        """What it costs: one noisy count over all rows, each of which lies in exactly one cell."""
        return SampledGaussian(noise_multiplier=self.noise_multiplier, sample_rate=1.0, steps=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """One device's noisy cells, and nothing else."""

    run_id: int
    version: int
    cells: Histogram


def cells_of(task: Task, plan: EvaluationPlan) -> int:
    """How many cells there are."""
    return len(groups_of(task)) * len(task.label.classes) * plan.score_bins


def bins_of(task: Task, plan: EvaluationPlan) -> Bins:
    """Where the cells are counted, and with which noise."""
    edges = tuple(map(float, range(cells_of(task, plan) + 1)))
    return Bins(name=CELLS, edges=edges, other=False, noise=plan.noise_multiplier)
