"""Versions, releases and predictions."""

from dataclasses import dataclass, field
from typing import Literal

from shared.tasks import Window

Stage = Literal["candidate", "released", "withdrawn"]
Precision = Literal["fp32", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One committed set of weights and where it came from."""

    number: int
    task: str
    revision: int
    run_id: int
    round_number: int
    parent: int
    weights_sha256: str
    stage: Stage
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One model file of a release: its TUF target path and what it must weigh."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One signed offer of a version: the `custom` of a TUF target, so it holds no floats.

    The highest `number` of a task is in force; withdrawing publishes older weights as a newer release.
    `ceiling_bp` is the largest share of the fleet that may run it, in basis points.
    """

    number: int
    task: str
    revision: int
    version: int
    trained_on: Window
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    ceiling_bp: int = 10_000
    published_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer for one record: the likeliest class, each class's probability, and which model said so."""

    label: str
    scores: dict[str, float]
    release: int
    model_version: int
    latency_us: float
