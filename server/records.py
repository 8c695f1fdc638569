"""The rows of the coordinator's store, as words."""

from dataclasses import dataclass, field
from typing import Literal

from shared import wire
from shared.drift import Histogram, RuleCount, Shift, SurveyRole
from shared.enrolment import Bucket
from shared.modes import Mode
from shared.tasks import Window
from shared.training import Training

DeviceState = Literal["pending", "approved", "revoked"]
RunKind = Literal["train", "survey"]
RunState = Literal["queued", "running", "stopping", "finished", "stopped", "failed"]

ACTIVE: tuple[RunState, ...] = ("queued", "running", "stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as the coordinator knows it. `release` is the one it last said it runs (0: none).

    `owner` is whose it is, where its invitation said so; `affords` how many more campaigns of each task
    (`shared.enrolment.Bucket`), where its owner tells.
    """

    name: str
    public_key: bytes
    state: DeviceState
    node_id: int | None = None
    enrolled_at: float
    last_seen: float | None = None
    release: int = 0
    detail: str = ""
    bytes_up: int = 0
    bytes_down: int = 0
    owner: str = ""
    affords: dict[str, Bucket] = field(default_factory=dict[str, Bucket])


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRequest:
    """What an operator asks for when starting rounds; kept with the run, so that it can resume.

    With `reserve`, each device pays for all rounds before the first. `plan` is the hash of the plan file that it follows,
    if it does, and the word `changed` where the operator put another cohort or quorum in place of the file's.
    """

    task: str
    window: Window
    training: Training
    base_version: int
    quorum: int
    cohort: int
    deadline_seconds: float
    mode: Mode = field(default="local", metadata=wire.LEFT_OUT_WHEN_EMPTY)
    reserve: bool = field(default=False, metadata=wire.LEFT_OUT_WHEN_EMPTY)
    plan: str = field(default="", metadata=wire.LEFT_OUT_WHEN_EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyRequest:
    """What an operator asks for when surveying drift; requests of 0.1.0 asked for neither rules nor outcomes."""

    task: str
    release: int
    window: Window
    role: SurveyRole
    features: bool
    quorum: int
    deadline_seconds: float
    contract: bool = False
    outcomes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A campaign of rounds or a survey, from queued to its end."""

    id: int
    task: str
    kind: RunKind
    state: RunState
    request: str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is right now: for people who watch."""

    run_id: int
    round_number: int
    rounds: int
    phase: str
    cohort: int
    returned: int
    refused: int
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyResult:
    """The merged answer to one survey: noisy counts summed over devices, and the shifts against the reference.

    `rules` names the counts of the contract as the task was signed when they were made.
    """

    run_id: int
    task: str
    release: int
    role: SurveyRole
    window: Window
    devices: int
    histograms: tuple[Histogram, ...]
    shifts: tuple[Shift, ...] = ()
    rules: tuple[RuleCount, ...] = ()
    alarm: bool = False
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """One test of a candidate: what was expected, what was found, and whether that passes."""

    name: str
    expected: str
    found: str
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act of an operator or of the coordinator itself."""

    at: float
    actor: str
    act: str
    detail: str
