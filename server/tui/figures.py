"""What the views show beyond the rows themselves; pure functions, run off the screen's thread."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from server.records import Device, Run, RunState, SurveyResult
from shared.drift import Histogram, Shift
from shared.rounds import RoundResult

Verdict = Literal["large", "small", "steady", "unknown"]
Part = Literal["returned", "refused", "failed", "idle"]

ONLINE_SECONDS = 60.0
"""A device that spoke within this time counts as online; it asks for work every ten seconds or so."""
RECENT = 200
"""So many of the last rounds are told of each device."""
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
    return _part_of(device, result, set(result.returned))


def participation(devices: Sequence[Device], rounds: Sequence[RoundResult]) -> dict[str, Participation]:
    """What came of asking each device, over all rounds in their order."""
    parts: dict[str, dict[int, Part]] = {device.name: {} for device in devices}
    refusals: dict[str, list[str]] = {}
    for number, result in enumerate(rounds):
        returned = set(result.returned)
        for name in {*result.cohort, *result.refusals, *result.failures, *returned} & parts.keys():
            parts[name][number] = _part_of(name, result, returned)
        for name, reason in result.refusals.items():
            refusals.setdefault(name, []).append(reason)
    return {name: _participation(found, refusals.get(name, []), len(rounds)) for name, found in parts.items()}


def _part_of(name: str, result: RoundResult, returned: Container[str]) -> Part:
    if name in result.refusals:
        return "refused"
    return "failed" if name in result.failures else "returned" if name in returned else "idle"


def _participation(parts: Mapping[int, Part], refusals: Sequence[str], rounds: int) -> Participation:
    return Participation(
        asked=sum(part != "idle" for part in parts.values()),
        returned=sum(part == "returned" for part in parts.values()),
        last_refusal=refusals[-1] if refusals else "",
        refusals=dict(Counter(refusals)),
        recent=tuple(parts.get(number, "idle") for number in range(max(0, rounds - RECENT), rounds)),
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
