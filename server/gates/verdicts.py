"""How a figure and a limit become a verdict: exact figures are held against it, measured ones with their bounds."""

from typing import Literal

from server.estimates import Estimate, decide
from server.records import GateVerdict

Side = Literal["at most", "at least"]


def exact(name: str, side: Side, limit: float, found: float, *, unit: str = "", note: str = "") -> GateVerdict:
    """A figure without error; one that is no number does not pass."""
    passed = found <= limit if side == "at most" else found >= limit
    return GateVerdict(
        name=name, expected=f"{side} {limit:,.7g}{unit}", found=_said(f"{found:.4g}{unit}", note), passed=bool(passed)
    )


def measured(name: str, side: Side, limit: float, found: Estimate, *, note: str) -> GateVerdict:
    """A figure with bounds: passed or failed where all that they allow is, undecided in between."""
    answer = decide(found, at_least=limit) if side == "at least" else decide(found, at_most=limit)
    return GateVerdict(
        name=name,
        expected=f"{side} {limit:,.4g}",
        found=_said(f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})", note),
        passed=answer == "passed",
        undecided=answer == "undecided",
    )


def unmeasured(name: str, side: Side, limit: float, why: str) -> GateVerdict:
    """Nothing was measured: undecided."""
    return GateVerdict(name=name, expected=f"{side} {limit:,.4g}", found=why, passed=False, undecided=True)


def _said(figure: str, note: str) -> str:
    return f"{figure}, {note}" if note else figure
