"""The report as tables for people."""

from datetime import date, timedelta

from rich.console import Console
from rich.table import Table

from server.fairness import Gap
from simulations.demo.report import DemoReport
from simulations.demo.rolling import StageLine


def show(report: DemoReport, console: Console) -> None:
    """Print the report as tables."""
    console.print()
    for table in (_releases, _gates, _rollouts, _drift, _devices, _figures):
        console.print(table(report))
    console.print(
        "Exact AUC and each device's spend were read by this demo from its own copy of the data and from the devices' "
        "ledgers; no device reports them. Counted AUC is what the coordinator knows: noisy counts, charged to the "
        "ledgers, in bins of the score, where rows in one bin are tied.",
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
        "release", "learned", "tested on", "exact AUC", "counted AUC", "central", "of its lift", title="Releases"
    )
    for line in report.releases:
        counted = line.counted
        table.add_row(
            f"{line.release} (v{line.version})", _months(line.trained_on), _months(line.tested_on), f"{line.auc:.3f}",
            f"{counted.auc:.2f} ({counted.low:.2f} to {counted.high:.2f})",
            f"{line.auc_central:.3f} ({line.central})", f"{line.share:.1%}",
        )  # fmt: skip
    return table


def _gates(report: DemoReport) -> Table:
    line = report.gates[-1]
    table = Table("gate", "expected", "found", "verdict", title=f"Gates of release {line.release} (v{line.version})")
    for verdict in line.verdicts:
        table.add_row(verdict.name, verdict.expected, verdict.found, verdict.state)
    return table


def _rollouts(report: DemoReport) -> Table:
    table = Table("release", "stages", "devices say", "one record", "became", "because", title="Rollouts")
    for line in report.rollouts:
        said = ", ".join(f"{verdict} {count}" for verdict, count in line.health.items())
        took = "-" if line.p95_us is None else f"p95 {line.p95_us:.0f} µs"
        state = f"[bold red]{line.state}[/]" if line.state == "halted" else line.state
        stages = "\n".join(_stage(each, line.fleet) for each in line.stages)
        table.add_row(f"{line.release} (v{line.version})", stages, said, took, state, line.why)
    return table


def _stage(stage: StageLine, fleet: int) -> str:
    return f"{stage.percent:g} %: {stage.devices} of {fleet}, {stage.seconds:.0f} s"


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
        f"{arrival:.0f} s: campaign, evaluation, gates, canary, everyone" if arrival is not None else "no alarm",
    )
    table.add_row("what the policy made of it", report.policy[-1].why if report.policy else "nothing")
    fair = report.fairness
    table.add_row("fairness: AUC of all above the worst carrier's", _gap(fair.auc_gap))
    table.add_row("fairness: carriers' alert rates differ by", _gap(fair.alert_gap))
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


def _gap(gap: Gap) -> str:
    """A gap with its bar, whose is the lowest figure, and how many groups are too small to tell."""
    worst = f" (lowest: {gap.worst})" if gap.worst and gap.estimate.tells else ""
    few = len(gap.untold)
    return f"{gap.estimate}{worst}; {few} {'carrier is' if few == 1 else 'carriers are'} too small to tell"
