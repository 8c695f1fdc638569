"""How a campaign trains, and the least that any campaign of a task must protect."""

from dataclasses import dataclass, field
from typing import Literal

from shared.aggregation import Aggregation
from shared.compression import Compression
from shared.wire import LEFT_OUT_WHEN_EMPTY

StrategyKind = Literal["momentum"]
"""What a coordinator makes of a round's mean (`server.strategy`); the one that ships."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a campaign trains: all public constants, none derived from any device's data.

    `normalizer` stands where a mini-batch's size would: the noisy sum of clipped gradients is divided by it.
    `compression` is of what travels, after the noise. `aggregation` is how updates that are seen one by one become
    one; the mean if it is left out. `strategy` is what the coordinator does with that one.
    """

    rounds: int
    sample_rate: float
    steps: int
    normalizer: float
    learning_rate: float
    max_grad_norm: float
    noise_multiplier: float
    max_update_norm: float
    server_learning_rate: float = 1.0
    server_momentum: float = 0.0
    compression: Compression | None = None
    aggregation: Aggregation | None = None
    strategy: StrategyKind = field(default="momentum", metadata=LEFT_OUT_WHEN_EMPTY)

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        if self.rounds < 1 or self.steps < 1:
            raise ValueError(f"rounds and steps must be at least 1, got {self.rounds} and {self.steps}")
        if not 0 < self.sample_rate <= 1:
            raise ValueError(f"sample_rate must lie in (0, 1], got {self.sample_rate}")
        positive = ("normalizer", "learning_rate", "max_grad_norm", "noise_multiplier", "max_update_norm")
        for name in (*positive, "server_learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.server_momentum < 1:
            raise ValueError(f"server_momentum must lie in [0, 1), got {self.server_momentum}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyCeiling:
    """The least protection any plan of this task may offer; a device refuses a weaker plan."""

    epsilon: float
    delta: float
    min_noise_multiplier: float
    max_sample_rate: float
    max_steps: int
    max_grad_norm: float

    def __post_init__(self) -> None:
        """Refuse a ceiling that protects nothing."""
        if not (self.epsilon > 0 and 0 < self.delta < 1 and self.min_noise_multiplier > 0):
            raise ValueError("epsilon and min_noise_multiplier must be positive and delta between 0 and 1")
        if not (0 < self.max_sample_rate <= 1 and self.max_steps >= 1 and self.max_grad_norm > 0):
            raise ValueError("max_sample_rate must lie in (0, 1], max_steps be at least 1 and max_grad_norm positive")

    def weakened_by(self, training: Training) -> str | None:
        """The first setting of `training` that protects less than this ceiling, if any."""
        weaker = {
            "noise_multiplier": training.noise_multiplier < self.min_noise_multiplier,
            "sample_rate": training.sample_rate > self.max_sample_rate,
            "steps": training.steps > self.max_steps,
            "max_grad_norm": training.max_grad_norm > self.max_grad_norm,
        }
        return next((name for name, is_weaker in weaker.items() if is_weaker), None)
