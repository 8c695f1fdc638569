"""One round of federated learning, in words: the plan, what a device says back, what came of it."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal

from shared import central, secure, wire
from shared.central import CentralRound
from shared.compression import Compression
from shared.distributed import DistributedNoise, record_event
from shared.modes import Mode
from shared.privacy import Cost, SampledGaussian
from shared.secure import SecureRound
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
    compression: Compression | None = None
    secure: SecureRound | None = None
    central: CentralRound | None = None
    reserved: int | None = None

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be charged or trained."""
        _ = self.event
        for name in ("normalizer", "learning_rate", "max_grad_norm", "max_update_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.row_share > 0:
            raise ValueError("learning_rate over normalizer is too small: no row's part of an update can be told")
        self._check_mode()
        _ = self.cost

    def _check_mode(self) -> None:
        """Refuse a mode whose terms are missing, or contradict what the round trains."""
        if (self.secure is not None) != (self.mode == "distributed") or (self.central is not None) != (
            self.mode == "central"
        ):
            raise ValueError("a distributed plan has `secure`, a central one `central`, and no other has either")
        if self.compression and self.mode != "local":
            raise ValueError("only an update that carries its whole noise may be compressed")
        if self.reserved is not None and self.reserved < 1:
            raise ValueError(f"reserved must be at least 1, got {self.reserved}")
        if self.central and self.central.noise == "correlated" and self.reserved != self.central.participations:
            raise ValueError("correlated noise reserves all of a device's participations")
        if self.reserved and self.central and self.central.count_noise is not None:
            raise ValueError("what adapts from round to round cannot be reserved whole")
        if self.secure and (self.sample_rate, self.steps) != (1.0, 1):
            raise ValueError("a distributed round is one step over all rows: sample_rate 1.0, steps 1")
        if self.secure and not self._is_measured(self.secure.noise):
            raise ValueError("a distributed round's noise is measured by other clips than its own")

    def _is_measured(self, noise: DistributedNoise) -> bool:
        """Whether noise in shares speaks of this plan's bounds, and is no less than it says."""
        return (
            (noise.encoding.bound, noise.record_clip) == (self.max_update_norm, self.row_move)
            and record_event(noise).noise_multiplier >= self.noise_multiplier * (1 - 1e-9)
        )  # fmt: skip

    @property
    def event(self) -> SampledGaussian:
        """What this round costs a device at record level."""
        return SampledGaussian(noise_multiplier=self.noise_multiplier, sample_rate=self.sample_rate, steps=self.steps)

    @property
    def cost(self) -> Cost:
        """What this round costs a device at each level; all of a reserved campaign, if it is one."""
        if self.central:
            one = central.cost(self.central, noise_multiplier=self.noise_multiplier, row_share=self.row_share)
            return one if self.central.noise == "correlated" else one.times(self.reserved or 1)
        if self.secure:
            return secure.cost(self.secure).times(self.reserved or 1)
        return Cost(record=(self.event,)).times(self.reserved or 1)

    @property
    def campaign(self) -> str | None:
        """What a reserved campaign is known by: all that its rounds have in common; None if each pays for itself."""
        if self.reserved is None:
            return None
        central = replace(self.central, step=1) if self.central else None
        secure = self.secure.in_common() if self.secure else None
        same = replace(self, number=0, base_version=0, central=central, secure=secure)
        return hashlib.sha256(wire.to_json(same)).hexdigest()

    @property
    def row_share(self) -> float:
        """What one row may move of an update over what a whole device may, as L2 norms.

        In one step over all rows that is the row's own clip; else a row may turn a whole clipped update around.
        """
        if (self.steps, self.sample_rate) != (1, 1.0) or (self.central and self.central.count_noise is not None):
            return 2.0
        return min(2.0, self.row_move / self.max_update_norm)

    @property
    def row_move(self) -> float:
        """What one row may move an update in one step over all rows: an L2 norm."""
        return self.max_grad_norm * self.learning_rate / self.normalizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a device says of its own work: nothing computed from examples (no loss, no count, no epsilon).

    But where the coordinator is trusted to add the noise, and adapts its bound: `within` says whether the update was
    within it. That is part of what was charged.
    """

    run_id: int
    round_number: int
    base_version: int
    within: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalReport:
    """Why a device declined: a category that depends on public things only."""

    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What a round was at from `at` seconds after its start on."""

    name: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What came of one round. Devices go by name; `refusals` and `failures` map a device to its reason.

    `within` is the noisy share of updates below the plan's bound, where a central round counts them. `phases` and
    `answered` say when what happened, and when devices answered, in seconds after the start; earlier records have neither.
    """

    plan: RoundPlan
    cohort: tuple[str, ...]
    returned: tuple[str, ...]
    refusals: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    started_at: float
    finished_at: float
    outcome: Outcome
    within: float | None = None
    phases: tuple[Phase, ...] = field(default=(), metadata=wire.LEFT_OUT_WHEN_EMPTY)
    answered: dict[str, float] = field(default_factory=dict[str, float], metadata=wire.LEFT_OUT_WHEN_EMPTY)
