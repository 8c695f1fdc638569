"""What a signed task says of a version's life after training: how it is tested, evaluated, rolled out, replaced and revised."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Detector = Literal["psi", "cusum", "adwin"]
"""What may raise an alarm: the score's stability index, or a change in the daily loss of outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What a release must pass before it is signed, and again on each device; 512 MiB of memory unless said.

    Raise `ValueError` for a limit that nothing or everything would meet.

    The others hold for a charged evaluation (`Evaluation`), each at `confidence`: what the bound
    leaves undecided is not passed. `min_recall` and `max_parity_gap` are at the threshold that alerts on `alert_rate` of
    the rows, 0.1 unless said;
    `max_group_gap` bounds the AUC of all less that of the worst group, `max_parity_gap` the largest difference of groups' alert rates,
    `max_calibration_error` the mean distance of score and outcome, `max_score_drift` the PSI of scores against the
    parent's, `max_epsilon` the most that the version's plans can have cost a device.
    """

    max_parity_error: float = 1e-5
    max_int8_loss: float = 0.05
    max_bytes: int = 1_000_000
    max_latency_us: float = 1000.0
    max_memory_mb: int | None = None
    min_auc: float | None = None
    min_pr_auc: float | None = None
    min_recall: float | None = None
    alert_rate: float | None = None
    max_calibration_error: float | None = None
    max_group_gap: float | None = None
    max_parity_gap: float | None = None
    max_score_drift: float | None = None
    max_epsilon: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits outside what their figures can be."""
        for name in ("min_auc", "min_pr_auc", "min_recall", "alert_rate", "confidence"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {value}")
        for name in ("max_parity_error", "max_calibration_error", "max_group_gap", "max_parity_gap"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        for name in ("max_int8_loss", "max_bytes", "max_latency_us", "max_memory_mb", "max_score_drift", "max_epsilon"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Federated evaluation: one histogram of (group, label, score bin) a version and device, over held-out rows.

    Its L2 sensitivity is 1, so `noise_multiplier` is each count's standard deviation (privacy rule 13).
    """

    noise_multiplier: float
    score_bins: int = 20

    def __post_init__(self) -> None:
        """Refuse counts without noise, and bins that cannot rank."""
        if not self.noise_multiplier > 0:
            raise ValueError(f"noise_multiplier must be positive, got {self.noise_multiplier}")
        if not 2 <= self.score_bins <= 100:
            raise ValueError(f"score_bins must lie between 2 and 100, got {self.score_bins}")


LEAST_PERCENT, MOST_PERCENT = 0.01, 99.99
"""Of a fleet, as the share of a stage before the last: shares are signed in hundredths, and one of nobody or of all is no canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutTerms:
    """How a release reaches the fleet: `stages` are percent of its devices, rising, the first one the canary.

    A stage lasts at least `periods` reports of `period_hours` each. It opens the next one once `min_reporting` of its
    devices (a share) said how they fare; it halts once more than `max_failing` of those that said so fail: crash,
    refuse to load, or are slow on made-up records. With `shadow`, devices of the next stage first run the release beside the
    one that answers. With `charged`, a stage opens only after charged counts of outcomes that came since the last one,
    on devices that run the release beside the others, show no harm.
    """

    stages: tuple[float, ...] = (10.0, 50.0, 100.0)
    period_hours: float = 24.0
    periods: int = 1
    min_reporting: float = 0.5
    max_failing: float = 0.05
    shadow: bool = False
    charged: bool = False

    def __post_init__(self) -> None:
        """Refuse stages that do not rise to the whole fleet, and shares that are none."""
        rising = all(low < high for low, high in zip((0.0, *self.stages), self.stages, strict=False))
        if not self.stages or not rising or self.stages[-1] != 100.0:
            raise ValueError(f"stages must rise from above 0 to 100 percent, got {list(self.stages)}")
        if any(not LEAST_PERCENT <= stage <= MOST_PERCENT for stage in self.stages[:-1]):
            raise ValueError(f"a stage before the last holds {LEAST_PERCENT} to {MOST_PERCENT} percent of the fleet")
        if not self.period_hours > 0 or self.periods < 1:
            raise ValueError("period_hours must be positive and periods at least 1")
        if not (0 < self.min_reporting <= 1 and 0 <= self.max_failing < 1):
            raise ValueError("min_reporting must lie in (0, 1] and max_failing in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """When a campaign may start by itself, on which rows, and how much of the task's epsilon it may use.

    `alarms` are the detectors of which any one decides; shifts of features inform and never decide. The campaign learns
    the last `window_days`, is not started within `pause_days` of the one before, and never takes the spend of the
    task's plans above `max_epsilon`, by default the task's ceiling. With `ask_first` it waits for the operator's word.

    With `survey_days` the coordinator surveys each so many days by itself, within the same limit; 0 leaves that to the
    operator. Outcomes come `label_days` late: what is surveyed and learned by itself ends so many days ago.
    """

    alarms: tuple[Detector, ...] = ("psi",)
    window_days: int = 60
    pause_days: int = 14
    max_epsilon: float | None = None
    ask_first: bool = True
    survey_days: int = 0
    label_days: int = 0

    def __post_init__(self) -> None:
        """Refuse a policy that never starts, or has no rows to learn."""
        if not self.alarms or len(set(self.alarms)) != len(self.alarms):
            raise ValueError("alarms must name one detector or more, each once")
        if self.window_days < 1 or self.pause_days < 0:
            raise ValueError("window_days must be at least 1 and pause_days not negative")
        if self.survey_days < 0 or self.label_days < 0:
            raise ValueError("survey_days and label_days must not be negative")
        if self.max_epsilon is not None and not self.max_epsilon > 0:
            raise ValueError(f"max_epsilon must be positive, got {self.max_epsilon}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """How rows and weights of the earlier revision `revision` read under this one.

    `classes` says what an old class became: one new class (several old ones may share it), or several that split it.
    `columns` says where a new column's value stands in an old row: in the first of these old columns that holds one, or
    nowhere where the list is empty. What is not named stays as it was. Rows dated before `since` (ISO 8601) speak in the old
    words; without it, only a word that is no class any more is taken for an old one.
    """

    revision: int
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    since: str = ""

    def __post_init__(self) -> None:
        """Refuse a class that became nothing, and a date that is none."""
        if self.revision < 1:
            raise ValueError(f"revision must be at least 1, got {self.revision}")
        if empty := [name for name, became in self.classes.items() if not became or len(set(became)) != len(became)]:
            raise ValueError(f"each old class became one class or several different ones, which {empty} did not")
        if self.since:
            datetime.fromisoformat(self.since)
