"""What the story showed, as one object: `reports/demo.json`. `tables.py` shows the same to people.

Who knows what: `releases[].auc`, `releases[].auc_central` and `devices[].epsilon` are the demo's own look, at its copy of
the rows and at devices' ledgers. What the coordinator knows is in

- `releases[].counted`: the AUC by the fleet's charged, noisy counts of the same months, with its bounds;
- `gates`: for each release that passed them, every gate with what was expected and found;
- `fairness`: by the same counts, how far carriers lie apart, and who of them had too few rows to tell;
- `rollouts`: for each release its stages (percent, devices, seconds), what devices last said of it on made-up records,
  and why the coordinator took the last step; `state` is `complete` or `halted`;
- `policy`: what the retraining policy made of each survey, and the campaign that came of it;
- `alarm_to_release_seconds`: from April's survey until 95 % of the devices ran the release that was learned on it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from server.evaluated import Evaluated
from server.fairness import Gap
from server.records import Decision, GateVerdict, SurveyResult
from shared import wire
from shared.files import write_whole
from shared.rounds import RoundResult
from simulations.demo.rolling import RolloutLine


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """One agent: its process, its directory, and what its own ledger says (read by the demo, reported by nobody)."""

    name: str
    pid: int
    directory: str
    epsilon: float
    budget_epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLine:
    """One round: how many were asked, what came of it, and refusals counted by reason."""

    run: int
    number: int
    cohort: int
    outcome: str
    refused: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedLine:
    """An AUC read off noisy counts of so many devices: its value, and the bounds that hold with 95 %."""

    auc: float
    low: float
    high: float
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLine:
    """One release on one stretch of months, beside the same rows learned without privacy.

    `auc` is exact, by the demo's copy of the rows; `counted` is what the coordinator knows.
    """

    release: int
    version: int
    trained_on: str
    tested_on: str
    auc: float
    counted: CountedLine
    auc_central: float
    central: str

    @property
    def share(self) -> float:
        """How much of central's lift over chance the private model reaches."""
        return (self.auc - 0.5) / (self.auc_central - 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyLine:
    """The largest spend of any device, at `delta`, and what most owners granted."""

    epsilon_max: float
    delta: float
    budget_epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxLine:
    """The released files: bytes, and the largest difference from PyTorch (fp32) and from fp32 (int8)."""

    fp32_bytes: int
    int8_bytes: int
    max_abs_diff: float
    int8_max_abs_diff: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLine:
    """One survey: the shift of each histogram, with the PSI that privacy noise alone reaches one time in a hundred."""

    window: str
    alarm: bool
    devices: int
    score: dict[str, float]
    features: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatesLine:
    """Every gate of a release's version, as it came out when it was signed."""

    release: int
    version: int
    verdicts: tuple[GateVerdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessLine:
    """How far carriers lie apart by one evaluation, where rows are alerted on from the score `threshold` on.

    `auc_gap` is the AUC of all less that of the worst carrier, `alert_gap` the largest difference of alert rates.
    """

    version: int
    tested_on: str
    threshold: float
    auc_gap: Gap
    alert_gap: Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """Everything that `make demo` shows."""

    devices: tuple[DeviceLine, ...]
    rounds: tuple[RoundLine, ...]
    releases: tuple[ReleaseLine, ...]
    gates: tuple[GatesLine, ...]
    fairness: FairnessLine
    rollouts: tuple[RolloutLine, ...]
    policy: tuple[Decision, ...]
    privacy: PrivacyLine
    onnx: OnnxLine
    latency_us: dict[str, float]
    drift: tuple[DriftLine, ...]
    bytes_per_device_round: dict[str, int]
    seconds: dict[str, float]
    alarm_to_release_seconds: float | None = None


def round_line(result: RoundResult) -> RoundLine:
    """Shorten a round's record."""
    reasons = list(result.refusals.values())
    return RoundLine(
        run=result.plan.run_id,
        number=result.plan.number,
        cohort=len(result.cohort),
        outcome=result.outcome,
        refused={reason: reasons.count(reason) for reason in sorted(set(reasons))},
    )


def counted_line(found: Evaluated) -> CountedLine:
    """Shorten what an evaluation says of the AUC."""
    return CountedLine(auc=found.auc.value, low=found.auc.low, high=found.auc.high, devices=found.devices)


def fairness_line(found: Evaluated) -> FairnessLine:
    """Shorten what an evaluation says of groups."""
    groups = found.fairness
    return FairnessLine(
        version=found.version, tested_on=str(found.window), threshold=groups.threshold, auc_gap=groups.auc_gap,
        alert_gap=groups.parity_difference,
    )  # fmt: skip


def drift_line(survey: SurveyResult) -> DriftLine:
    """Shorten a survey's result."""
    shifts = {shift.name: {"psi": round(shift.psi, 4), "noise": round(shift.noise, 4)} for shift in survey.shifts}
    score = shifts.pop("score")
    return DriftLine(
        window=str(survey.window), alarm=survey.alarm, devices=survey.devices, score=score, features=shifts
    )


def write(report: DemoReport, path: Path) -> None:
    """Write the report as JSON, whole."""
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(wire.encode(report), indent=2).encode() + b"\n")
