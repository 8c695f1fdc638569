"""The owner's policy: what `agent.toml` may say, in words that a person edits."""

from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Literal

from shared import wire
from shared.errors import InputError, WireError
from shared.privacy import PrivacyBudget, Trust

Trainer = Literal["auto", "opacus", "light"]

MOST_DAYS = 36_500
"""A hundred years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """At most `epsilon` in any `days` days, within the budget that it belongs to."""

    days: float
    epsilon: float

    def __post_init__(self) -> None:
        """Refuse a period that never ends or grants nothing."""
        if not (self.days > 0 and self.epsilon > 0):
            raise ValueError(f"days and epsilon must be positive, got {self.days} and {self.epsilon}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGrant:
    """What one task gets: rows, and at most a share of the budget.

    `data` is a Parquet or CSV file or a directory of them; empty, the device learns from outcomes alone.
    """

    data: str
    enabled: bool = True
    epsilon: float | None = None
    period: Period | None = None

    def __post_init__(self) -> None:
        """Refuse a share that protects nothing."""
        if self.epsilon is not None and not self.epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {self.epsilon}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The weakest plan that the owner accepts, beside the signed task's own limits.

    `trust` says whom the owner trusts most: `everyone` asks for protection against everyone, `sums` takes part in secure
    aggregation too, in cohorts of `min_cohort` or more, and `coordinator` sends updates that only it adds noise to.
    """

    min_noise_multiplier: float = 0.0
    max_sample_rate: float = 1.0
    max_steps: int = 1_000_000
    max_grad_norm: float = 1_000_000.0
    min_normalizer: float = 1.0
    trust: Trust = "sums"
    min_cohort: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """When this device takes part; `hours` is `HH:MM-HH:MM` in local time and may pass midnight."""

    idle_only: bool = False
    mains_only: bool = False
    unmetered_only: bool = False
    hours: str = ""

    def __post_init__(self) -> None:
        """Refuse hours that no clock shows."""
        _ = self.open_hours

    @property
    def open_hours(self) -> tuple[time, time] | None:
        """From when until when, or None for always."""
        if not self.hours:
            return None
        start, dash, end = self.hours.partition("-")
        try:
            bounds = time.fromisoformat(start.strip()), time.fromisoformat(end.strip())
        except ValueError:
            dash = ""
            bounds = time(), time()
        if not dash or bounds[0] == bounds[1] or bounds[0].tzinfo or bounds[1].tzinfo:
            raise ValueError(f"hours must be two times such as 22:00-06:00, got {self.hours!r}")
        return bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What one training may use; one that reaches a ceiling is stopped, stays charged, and answers with noise alone."""

    cpu_seconds: float = 600.0
    memory_mb: int = 2048
    disk_mb: int = 4096

    def __post_init__(self) -> None:
        """Refuse a ceiling under which nothing starts."""
        if not (self.cpu_seconds >= 1 and self.memory_mb >= 64 and self.disk_mb >= 1):
            raise ValueError("cpu_seconds and disk_mb must be at least 1 and memory_mb at least 64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long predictions wait for their outcome and may teach, which share of them, and how much disk they take."""

    days: float = 90.0
    share: float = 1.0
    megabytes: int = 1024

    def __post_init__(self) -> None:
        """Refuse what keeps nothing by mistake."""
        if not (self.days >= 0 and 0 < self.share <= 1 and self.megabytes >= 1):
            raise ValueError("days must not be negative, share must lie in (0, 1] and megabytes be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What `agent.toml` holds; the owner may edit it, and it is read again for every request.

    `coordinator` is `host:port`; `health` allows plain self-test reports, and `tell_affordability` lets them say how many
    more campaigns of each task fit the budgets: none, 1, 2 to 4, or more; `trainer` is `auto` for Opacus where
    PyTorch is installed. `budget` bounds all tasks together, for ever, for each row; `device_budget` does for all of
    this device's rows at once, and then only modes that protect whole devices are taken part in. With
    `row_lifetime_days` a row takes part for so long from its own timestamp on, so that a budget for rows renews.
    """

    name: str
    coordinator: str
    federation: str
    budget: PrivacyBudget
    tasks: dict[str, TaskGrant] = field(default_factory=dict)
    device_budget: PrivacyBudget | None = None
    period: Period | None = None
    row_lifetime_days: float | None = None
    floor: Floor = Floor()
    conditions: Conditions = Conditions()
    ceilings: Ceilings = Ceilings()
    keep: Keep = Keep()
    trainer: Trainer = "auto"
    paused: bool = False
    health: bool = True
    tell_affordability: bool = False

    def __post_init__(self) -> None:
        """Refuse a lifetime in which no row could take part, or that no calendar counts back."""
        if self.row_lifetime_days is not None and not 1 <= self.row_lifetime_days <= MOST_DAYS:
            raise ValueError(f"row_lifetime_days must lie between 1 and {MOST_DAYS}, got {self.row_lifetime_days:g}")


def read_settings(file: Path) -> AgentSettings:
    """Read `agent.toml`, or raise `InputError` naming the file and the field."""
    try:
        return wire.from_toml(AgentSettings, file.read_bytes(), what="agent.toml")
    except FileNotFoundError:
        left = file.with_name("agent.db").exists()
        kept = " (what one that left has spent is kept in agent.db, and counts when it joins again)" if left else ""
        raise InputError(f"{file.parent} holds no agent; make one with `covey-agent join`{kept}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except WireError as error:
        raise InputError(f"{file} cannot be used: {error}") from None
