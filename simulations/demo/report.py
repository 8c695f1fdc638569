"""What the story showed: one object for `reports/demo.json`, and the same as tables for people."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from server.records import SurveyResult
from shared import wire
from shared.files import write_whole
from shared.rounds import RoundResult


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
class ReleaseLine:
    """One release on one stretch of months, beside the same rows learned without privacy."""

    release: int
    version: int
    trained_on: str
    tested_on: str
    auc: float
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
class DemoReport:
    """Everything that `make demo` shows."""

    devices: tuple[DeviceLine, ...]
    rounds: tuple[RoundLine, ...]
    releases: tuple[ReleaseLine, ...]
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


def show(report: DemoReport, console: Console) -> None:
    """Print the report as tables."""
    console.print()
    console.print(_releases(report))
    console.print(_drift(report))
    console.print(_devices(report))
    console.print(_figures(report))
    console.print(
        "AUC and each device's spend were read by this demo from its own copy of the data and from the devices' "
        "ledgers; no device reports them.",
        style="dim",
    )


def _months(window: str) -> str:
    """`2013-01-01 to 2013-03-01` as a person says it: `Jan-Feb 2013`."""
    start, end = (date.fromisoformat(text) for text in window.split(" to "))
    last = end - timedelta(days=1)
    first = f"{start:%b}-" if start.month != last.month else ""
    return f"{first}{last:%b %Y}"


def _releases(report: DemoReport) -> Table:
    table = Table(
        "release", "version", "learned from", "tested on", "AUC", "central", "of central's lift", title="Releases"
    )
    for line in report.releases:
        table.add_row(
            str(line.release), str(line.version), _months(line.trained_on), _months(line.tested_on),
            f"{line.auc:.3f}", f"{line.auc_central:.3f} ({line.central})", f"{line.share:.1%}",
        )  # fmt: skip
    return table


def _drift(report: DemoReport) -> Table:
    table = Table(
        "window",
        "score PSI",
        "noise",
        "alarm",
        "features that moved by 0.1 or more",
        title="Drift since the release's own months",
    )
    for line in report.drift:
        shifts = line.features.items()
        moved = [(name, shift["psi"]) for name, shift in shifts if shift["psi"] > max(0.1, shift["noise"])]
        moved.sort(key=lambda item: -item[1])
        words = ", ".join(f"{name} {psi:.2f}" for name, psi in moved[:5]) or "none stands out"
        alarm = "[bold red]ALARM[/]" if line.alarm else "no"
        table.add_row(_months(line.window), f"{line.score['psi']:.3f}", f"{line.score['noise']:.3f}", alarm, words)
    return table


def _devices(report: DemoReport) -> Table:
    table = Table("device", "pid", "directory", "spent ε", "granted ε", title="Agents: one process and directory each")
    for line in report.devices:
        full = line.epsilon > 0.9 * line.budget_epsilon
        table.add_row(
            line.name, str(line.pid), line.directory, f"{line.epsilon:.2f}{' (budget reached)' if full else ''}",
            f"{line.budget_epsilon:g}",
        )  # fmt: skip
    return table


def _figures(report: DemoReport) -> Table:
    committed = sum(line.outcome == "committed" for line in report.rounds)
    refused: dict[str, int] = {}
    for line in report.rounds:
        for reason, count in line.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    table = Table("figure", "value", title="Figures")
    summer = [line.auc for line in report.releases if line.tested_on == report.releases[-1].tested_on]
    table.add_row(
        "the second release over the first",
        f"AUC {summer[-1] - summer[0]:+.3f} on {_months(report.releases[-1].tested_on)}",
    )
    lowest = min(line.share for line in report.releases)
    table.add_row(
        "lowest share of central's lift", f"{lowest:.1%}, at least 88 % is {'met' if lowest >= 0.88 else 'MISSED'}"
    )
    arrival = report.alarm_to_release_seconds
    table.add_row(
        "drift alarm → 95 % of devices on the new release",
        f"{arrival:.0f} s: campaign, gates, signature, fetch, self-test" if arrival is not None else "no alarm",
    )
    table.add_row("rounds committed", f"{committed} of {len(report.rounds)}")
    table.add_row("answers refused, by reason", ", ".join(f"{k}: {v}" for k, v in refused.items()) or "none")
    privacy = report.privacy
    table.add_row(
        "largest spend of a device",
        f"ε = {privacy.epsilon_max:.2f} of {privacy.budget_epsilon:g}, δ = {privacy.delta:g}",
    )
    onnx = report.onnx
    table.add_row("model file", f"fp32 {onnx.fp32_bytes:,} bytes, int8 {onnx.int8_bytes:,} bytes")
    table.add_row(
        "largest difference", f"fp32 to PyTorch {onnx.max_abs_diff:.1e}, int8 to fp32 {onnx.int8_max_abs_diff:.1e}"
    )
    table.add_row(
        "one raw record, offline", f"p50 {report.latency_us['p50']:.0f} µs, p99 {report.latency_us['p99']:.0f} µs"
    )
    sent = report.bytes_per_device_round
    table.add_row(
        "bytes a device and round", f"{sent['up']:,} up, {sent['down']:,} down (whole HTTP bodies, polls included)"
    )
    table.add_row("seconds", ", ".join(f"{name} {seconds:.0f}" for name, seconds in report.seconds.items()))
    return table
