"""What an evaluation must show: ranking, calibration, and how the worst group fares, each with its bounds."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from server import fairness, metrics
from server.estimates import CONFIDENCE, Estimate
from server.fairness import Gap
from server.gates.verdicts import Side, measured, unmeasured
from server.metrics import Cells
from server.records import GateVerdict
from shared.lifecycle import Gates

ALERT_RATE = 0.1
"""The share of rows that alert where a task does not say."""

Read = Callable[[Cells], Estimate | Gap]
Demand = tuple[str, Side, float | None, Read]


def hold(gates: Gates, cells: Cells | None, *, note: str, suffix: str = "") -> Iterator[GateVerdict]:
    """Each declared limit against the cells, or undecided without any; `note` says whose they are, or why there are none."""
    for name, side, limit, read in _demands(gates):
        if limit is None:
            continue
        if cells is None:
            yield unmeasured(f"{name}{suffix}", side, limit, note)
        else:
            yield _verdict(f"{name}{suffix}", side, limit, read(cells), note)


def _demands(gates: Gates) -> tuple[Demand, ...]:
    """What a task may demand of an evaluation: a name, a side, a limit, and how the figure is read off."""
    sure, rate = gates.confidence or CONFIDENCE, gates.alert_rate or ALERT_RATE

    def parity(cells: Cells) -> Gap:
        return fairness.parity_difference(cells, metrics.threshold_at(cells, rate), sure)

    return (
        ("AUC", "at least", gates.min_auc, lambda cells: metrics.auc(cells, sure)),
        ("PR-AUC", "at least", gates.min_pr_auc, lambda cells: metrics.pr_auc(cells, sure)),
        (f"recall at {rate:.0%} alerts", "at least", gates.min_recall, lambda cells: metrics.recall(cells, rate, sure)),
        ("calibration error", "at most", gates.max_calibration_error, lambda cells: metrics.calibration_error(cells, sure)),
        ("worst group's AUC gap", "at most", gates.max_group_gap, lambda cells: fairness.auc_gap(cells, sure)),
        ("alert rate gap", "at most", gates.max_parity_gap, parity),
    )  # fmt: skip


def _verdict(name: str, side: Side, limit: float, found: Estimate | Gap, note: str) -> GateVerdict:
    """A gap also says which group is worst, and which are too small to tell: it may be one of those, so none is passed."""
    if isinstance(found, Estimate):
        return measured(name, side, limit, found, note=note)
    worst = f"worst {found.worst}; " if found.worst else ""
    verdict = measured(name, side, limit, found.estimate, note=f"{worst}{note}{_left_out(found)}")
    return replace(verdict, passed=False, undecided=True) if verdict.passed and found.missing else verdict


def _left_out(found: Gap) -> str:
    if found.missing:
        return f"; too small to tell: {', '.join(found.missing)}"
    if found.untold:
        return f"; groups of surely less than {fairness.NEGLIGIBLE:.0%} of the rows are not judged: {', '.join(found.untold)}"
    return ""
