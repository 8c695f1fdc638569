"""Where the noise of a round is added, and what a task lets each of those modes do.

`local`: each device adds all of it, and nobody is trusted. `distributed`: each adds a share, and only sums are seen
(secure aggregation). `central`: the coordinator adds it, and is trusted to.
"""

from dataclasses import dataclass
from typing import Literal

from shared.training import Training

Mode = Literal["local", "distributed", "central"]
Unit = Literal["record", "device"]
CentralNoise = Literal["independent", "correlated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributed:
    """What a task demands of rounds under secure aggregation; a device refuses less.

    `min_cohort` is how many devices a sum is of at least. `threshold` is the share of a cohort that must stay to the end, and `colluders` the share of it that may work
    together with the coordinator; noise is shared out over the devices that are left then. `min_noise_multiplier` is
    of the whole sum, over what one row may move. `bits` bounds what each value of the noisy sum takes.
    """

    training: Training
    min_cohort: int
    threshold: float
    colluders: float
    min_noise_multiplier: float
    bits: int = 20

    def __post_init__(self) -> None:
        """Refuse terms under which the coordinator could see one device, or both secrets of one."""
        if self.min_cohort < 3:
            raise ValueError(f"min_cohort must be at least 3, got {self.min_cohort}")
        if not 2 / 3 < self.threshold <= 1:
            raise ValueError(f"threshold must lie above two thirds and at most at 1, got {self.threshold}")
        if not 0 <= self.colluders < 1 / 3:
            raise ValueError(f"colluders must lie in [0, one third), got {self.colluders}")
        if not 8 <= self.bits <= 32:
            raise ValueError(f"bits must lie between 8 and 32, got {self.bits}")
        if self.training.sample_rate != 1.0 or self.training.steps != 1:
            raise ValueError("a round under secure aggregation is one step over all rows: sample_rate 1.0, steps 1")
        if not 0 < self.min_noise_multiplier <= self.training.noise_multiplier:
            raise ValueError("min_noise_multiplier must be positive and at most the training's noise_multiplier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Central:
    """What a task demands of rounds whose noise the coordinator adds; a device refuses less.

    `unit` is what `noise_multiplier` is measured in: what one row may move, which needs one step a round over all
    rows, or what one device may. `noise` is drawn anew each round (`independent`) or correlated over the rounds
    (`correlated`: DP-FTRL), which counts on a device taking part in at most `participations` of a campaign's rounds,
    `separation` or more of them apart. `quantile` adapts the devices' bound to where that share of the updates lies
    below it.
    """

    training: Training
    min_noise_multiplier: float
    unit: Unit = "device"
    noise: CentralNoise = "independent"
    participations: int = 1
    separation: int = 1
    quantile: float | None = None

    def __post_init__(self) -> None:
        """Refuse terms that nobody can account for."""
        training = self.training
        if self.unit == "record" and (training.sample_rate, training.steps) != (1.0, 1):
            raise ValueError("central noise for single rows is one step over all rows: sample_rate 1.0, steps 1")
        if not 0 < self.min_noise_multiplier <= training.noise_multiplier:
            raise ValueError("min_noise_multiplier must be positive and at most the training's noise_multiplier")
        if self.participations < 1 or self.separation < 1:
            raise ValueError("participations and separation must be at least 1")
        if self.quantile is not None and not (0 < self.quantile < 1 and self.unit == "device"):
            raise ValueError("quantile must lie between 0 and 1, and only a device's bound adapts")
        if self.noise == "correlated" and (self.unit != "device" or self.quantile is not None):
            raise ValueError("correlated noise is for whole devices under a fixed bound")
