"""Federated evaluation of a version: what is counted, and what comes of it (privacy rule 13)."""

from dataclasses import dataclass

from shared.drift import Histogram, groups_of
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
