"""The rows of the coordinator's store, as words."""

from dataclasses import dataclass, field
from typing import Literal

from shared import wire
from shared.drift import Histogram, RuleCount, Shift
from shared.enrolment import Bucket
from shared.health import Health
from shared.modes import Mode
from shared.rollout import Rollout
from shared.tasks import Window
from shared.training import Training

DeviceState = Literal["pending", "approved", "revoked"]
RunKind = Literal["train", "survey", "evaluate"]
RunState = Literal["queued", "running", "stopping", "finished", "stopped", "failed"]

SurveyKind = Literal["reference", "current", "canary"]
"""What a release was trained on, what is seen now, or that on both sides of a rollout's share."""

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
    """What an operator asks for when surveying drift; requests of 0.1.0 asked for neither rules nor outcomes.

    `shadow` is a release that is compared with the survey's, on devices that try it beside that. `noise` are the noise
    multipliers of all that it charges, as the task was signed when it was asked for: a later revision changes no past price.
    """

    task: str
    release: int
    window: Window
    role: SurveyKind
    features: bool
    quorum: int
    deadline_seconds: float
    contract: bool = False
    outcomes: bool = False
    shadow: int | None = None
    noise: tuple[float, ...] = field(default=(), metadata=wire.LEFT_OUT_WHEN_EMPTY)


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
class Comparison:
    """One figure of the devices that run a new release, beside the others' under the one before.

    `chance` is how often devices placed at random lie so far apart where the release makes no difference; `alarm` says
    that it stands against the release, and `says` what was found, in words. It is `untold` where rows are too few.
    """

    name: Literal["AUC", "group gap", "score drift"]
    canary: float
    control: float
    chance: float
    alarm: bool
    says: str
    untold: bool = field(default=False, metadata=wire.LEFT_OUT_WHEN_EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyResult:
    """The merged answer to one survey: noisy counts summed over devices, and the shifts against the reference.

    `rules` names the counts of the contract as the task was signed when they were made. A canary's survey keeps the
    counts of the devices that do not run its release as `control`, and how both compare as `evidence`. `shadow` is the
    release whose answers were compared with the survey's, if one was.
    """

    run_id: int
    task: str
    release: int
    role: SurveyKind
    window: Window
    devices: int
    histograms: tuple[Histogram, ...]
    shifts: tuple[Shift, ...] = ()
    rules: tuple[RuleCount, ...] = ()
    alarm: bool = False
    at: float
    control: tuple[Histogram, ...] = field(default=(), metadata=wire.LEFT_OUT_WHEN_EMPTY)
    evidence: tuple[Comparison, ...] = field(default=(), metadata=wire.LEFT_OUT_WHEN_EMPTY)
    shadow: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What an operator asks for when having a version evaluated on rows that it did not learn.

    `noise_multiplier` is the signed task's, kept so that what it cost is known under later revisions too.
    """

    task: str
    version: int
    window: Window
    noise_multiplier: float
    quorum: int
    deadline_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The merged answer: noisy cells of (group, label, score bin) summed over `devices`."""

    run_id: int
    task: str
    revision: int
    version: int
    window: Window
    devices: int
    score_bins: int
    cells: Histogram
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """One test of a candidate: what was expected, what was found, and whether that passes.

    `undecided` is one that failed because nothing was measured, or because the interval holds the limit.
    """

    name: str
    expected: str
    found: str
    passed: bool
    undecided: bool = field(default=False, metadata=wire.LEFT_OUT_WHEN_EMPTY)

    def __post_init__(self) -> None:
        """Refuse to pass what is not decided."""
        if self.passed and self.undecided:
            raise ValueError("what is undecided is not passed")

    @property
    def state(self) -> Literal["passed", "failed", "undecided"]:
        """The verdict in one word."""
        return "passed" if self.passed else "undecided" if self.undecided else "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gating:
    """All tests of a version, as they came out at one time."""

    version: int
    at: float
    verdicts: tuple[GateVerdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What the rounds' own records do not say of a version: the code that made it, and how it came to be released.

    `contract` is the SHA-256 of the data contract that its rows kept. `promoted_by` and `command` are empty until it is released.
    """

    version: int
    code: str
    contract: str = ""
    promoted_by: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """One signed document of a rollout, when it was signed, and why."""

    at: float
    why: str
    rollout: Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """What a device last said of a release on made-up records, and since when it says so (0 where that is not known)."""

    device: str
    at: float
    health: Health
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the retraining policy made of what it saw: `act` is what it did, `why` in words, `run_id` the campaign it started."""

    task: str
    at: float
    act: Literal["wait", "ask", "start", "decline"]
    why: str
    alarms: tuple[str, ...] = ()
    informed: tuple[str, ...] = ()
    run_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act of an operator or of the coordinator itself, and the command line that did it, if one did."""

    at: float
    actor: str
    act: str
    detail: str
    command: str = ""
