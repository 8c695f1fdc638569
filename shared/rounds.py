"""One round of federated learning, in words: the plan, what a device says back, what came of it."""

from dataclasses import dataclass, field
from typing import Literal

from shared import wire
from shared.modes import Mode
from shared.privacy import Cost, SampledGaussian
from shared.tasks import Window

Outcome = Literal["committed", "abandoned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """What a device is asked to compute; every field is public and none is derived from a device's data."""

    run_id: int
    number: int
    task: str
    revision: int
    base_version: int
    window: Window
    sample_rate: float
    steps: int
    normalizer: float
    learning_rate: float
    max_grad_norm: float
    noise_multiplier: float
    max_update_norm: float
    mode: Mode = field(default="local", metadata=wire.LEFT_OUT_WHEN_EMPTY)

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be charged or trained."""
        _ = self.event
        for name in ("normalizer", "learning_rate", "max_grad_norm", "max_update_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def event(self) -> SampledGaussian:
        """What this round costs a device at record level."""
        return SampledGaussian(noise_multiplier=self.noise_multiplier, sample_rate=self.sample_rate, steps=self.steps)

    @property
    def cost(self) -> Cost:
        """What this round costs a device at each level."""
        return Cost(record=(self.event,))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a device says of its own work: nothing computed from examples (no loss, no count, no epsilon)."""

    run_id: int
    round_number: int
    base_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalReport:
    """Why a device declined: a category that depends on public things only."""

    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What came of one round. Devices go by name; `refusals` and `failures` map a device to its reason."""

    plan: RoundPlan
    cohort: tuple[str, ...]
    returned: tuple[str, ...]
    refusals: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    started_at: float
    finished_at: float
    outcome: Outcome
