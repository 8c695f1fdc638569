"""Versions, releases and predictions."""

from dataclasses import dataclass, field
from typing import Literal

from shared.tasks import Window
from shared.wire import LEFT_OUT_WHEN_EMPTY

Stage = Literal["candidate", "canary", "released", "halted", "withdrawn"]
Precision = Literal["fp32", "int8"]
Recipe = Literal["", "qdq-1"]


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
class Reference:
    """What a release answered where it was made: integers, because signed metadata holds no floats.

    `scores` are millionths, record by record, for the made-up records that `seed` draws from the task's declared
    bounds; a device's answers may differ by `tolerance` millionths.
    """

    seed: int
    scores: tuple[int, ...]
    tolerance: int = 1000

    def __post_init__(self) -> None:
        """Refuse what no device could repeat."""
        if self.seed < 0 or not self.scores or self.tolerance < 0:
            raise ValueError("seed and tolerance must not be negative, and scores must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One signed offer of a version: the `custom` of a TUF target, so it holds no floats.

    The highest `number` of a task is in force; withdrawing publishes older weights as a newer release.
    `ceiling_bp` is the largest share of the fleet that may run it, in basis points. `recipe` says how a device makes
    int8 of fp32, empty where int8 travels; `delta_base` is the SHA-256 of the fp32 file that the artifact `delta`
    changes into this one's. A `staged` release reaches as many devices as the rollout role says (`shared.rollout`), and
    the others run the release `fallback`, 0 for none.
    """

    number: int
    task: str
    revision: int
    version: int
    trained_on: Window
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    ceiling_bp: int = 10_000
    published_at: int = 0
    recipe: Recipe = ""
    reference: Reference | None = None
    delta_base: str = ""
    staged: bool = field(default=False, metadata=LEFT_OUT_WHEN_EMPTY)
    fallback: int = field(default=0, metadata=LEFT_OUT_WHEN_EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer for one record: the likeliest class, each class's probability, and which model said so.

    `id` is what its outcome may be told by, much later.
    """

    id: str
    label: str
    scores: dict[str, float]
    release: int
    model_version: int
    latency_us: float
