"""What the views show beyond the rows themselves; pure functions, run off the screen's thread."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from server.records import Device, Run, RunState, SurveyResult
from shared.drift import Histogram, Shift
from shared.rounds import RoundResult

Verdict = Literal["large", "small", "steady", "unknown"]
Part = Literal["returned", "refused", "failed", "idle"]

ONLINE_SECONDS = 60.0
"""A device that spoke within this time counts as online; it asks for work every ten seconds or so."""
ENDED: tuple[RunState, ...] = ("finished", "stopped", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Participation:
    """What came of asking one device: its answers, its last refusal, and its part in each recent round."""

    asked: int = 0
    returned: int = 0
    last_refusal: str = ""
    refusals: dict[str, int] = field(default_factory=dict[str, int])
    recent: tuple[Part, ...] = ()


def device_state(device: Device, now: float) -> str:
    """`pending`, `revoked`, or whether an approved device spoke within the last minute."""
    if device.state != "approved":
        return device.state
    return "online" if device.last_seen is not None and now - device.last_seen <= ONLINE_SECONDS else "away"


def part_in(result: RoundResult, device: str) -> Part:
    """What a device did in a round."""
    if device in result.refusals:
        return "refused"
    if device in result.failures:
        return "failed"
    return "returned" if device in result.returned else "idle"


def participation(devices: Sequence[Device], rounds: Sequence[RoundResult]) -> dict[str, Participation]:
    """What came of asking each device, over all rounds in their order."""
    return {device.name: _part_of(device.name, rounds) for device in devices}


def _part_of(name: str, rounds: Sequence[RoundResult]) -> Participation:
    parts: tuple[Part, ...] = tuple(part_in(result, name) for result in rounds)
    refusals = [result.refusals[name] for result in rounds if name in result.refusals]
    return Participation(
        asked=sum(part != "idle" for part in parts),
        returned=parts.count("returned"),
        last_refusal=refusals[-1] if refusals else "",
        refusals=dict(Counter(refusals)),
        recent=parts[-200:],
    )


def current_run(runs: Sequence[Run]) -> Run | None:
    """The run under way, or else the newest."""
    active = [run for run in runs if run.state not in ENDED]
    return (active or list(runs) or [None])[-1]


def verdict(shift: Shift, alarm_psi: float) -> Verdict:
    """How far a shift that is seen goes; or whether one of the alarm's size is ruled out, or hidden by the noise."""
    if shift.evident:
        return "large" if shift.psi >= alarm_psi else "small"
    return "steady" if shift.noise <= alarm_psi else "unknown"


def reference_for(survey: SurveyResult, surveys: Sequence[SurveyResult]) -> SurveyResult | None:
    """The newest reference survey of the same release that precedes this one."""
    earlier = [
        s
        for s in surveys
        if s.role == "reference" and (s.task, s.release) == (survey.task, survey.release) and s.at <= survey.at
    ]
    return earlier[-1] if earlier else None


def histogram(survey: SurveyResult | None, name: str) -> Histogram | None:
    """The histogram called `name`, if the survey counted it."""
    return next((h for h in survey.histograms if h.name == name), None) if survey else None
