"""Surveys of drift: noisy histograms, merged, and the population stability index with its noise band."""

from dataclasses import dataclass
from typing import Literal

from shared.privacy import SampledGaussian
from shared.tasks import Window

SurveyRole = Literal["reference", "current"]

SCORE = "score"
"""The name of the histogram over the model's score of the second class."""


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

    @property
    def events(self) -> tuple[SampledGaussian, ...]:
        """What answering costs: one event for the score, one for all features together."""
        score = SampledGaussian(noise_multiplier=self.score_noise_multiplier, sample_rate=1.0, steps=1)
        features = SampledGaussian(noise_multiplier=self.feature_noise_multiplier, sample_rate=1.0, steps=1)
        return (score, features) if self.features else (score,)


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
