"""The rides as rows for programs and as a table for people, each figure with its target."""

import math
from collections.abc import Sequence

from server.power import POWER
from simulations.rollouts.ride import Ride
from simulations.rollouts.strength import Strength, epsilon

Row = dict[str, str | float | bool]

AT_ONCE = 2
"""Reporting periods within which what plain telemetry shows must be halted, and charged counts too at their power."""


def rows(
    rides: Sequence[Ride], strengths: Sequence[Strength], *, devices: int, fleets: int, seconds: float
) -> list[Row]:
    """Everything that was measured, by name."""
    bad = [ride for ride in rides if not ride.candidate.good]
    good = next((ride for ride in rides if ride.candidate.good), None)
    surveys = max((ride.surveys for ride in rides), default=0)
    return [
        *(row for ride in bad for row in _bad(ride)),
        *(_good(good) if good else ()),
        *(row for each in strengths for row in _strength(each, fleets)),
        _row("epsilon.survey", epsilon(1), "epsilon of a row for one canary survey"),
        _row("epsilon.rollout", epsilon(surveys), f"epsilon of a row that were in all {surveys} surveys of a rollout"),
        _row("devices", devices, "devices"),
        _row("seconds", seconds, "s"),
    ]


def _bad(ride: Ride) -> list[Row]:
    name = ride.candidate.name.replace(" ", "-")
    reach, served = (
        {"target": f"at most {ride.canary:g}", "meets": ride.told <= ride.canary},
        ride.served <= ride.canary,
    )
    halted = {"target": f"at most {AT_ONCE}", "meets": ride.state == "halted" and ride.periods <= AT_ONCE}
    return [
        _row(f"{name}.reach", ride.told, "share of the fleet ever told to run it") | reach,
        _row(f"{name}.served", ride.served, "share of the fleet it ever answered on") | reach | {"meets": served},
        _row(f"{name}.periods", ride.periods, "reporting periods until halted") | halted | {"why": ride.why},
    ]


def _good(ride: Ride) -> list[Row]:
    arrived = {"target": 1.0, "meets": ride.state == "complete" and ride.served == 1.0, "why": ride.why}
    return [
        _row("good.reach", ride.served, "share of the fleet it answers on") | arrived,
        _row("good.periods", ride.periods, "reporting periods until complete"),
    ]


def _strength(each: Strength, fleets: int) -> list[Row]:
    if each.name == "good":
        most = each.promised + 3 * math.sqrt(each.promised * (1 - each.promised) / fleets)
        bound = {"target": f"at most {each.promised:g}, within three deviations", "meets": each.found <= most}
        return [_row("false-alarms", each.found, f"share of {fleets} fleets whose release is no worse") | bound]
    least = POWER - 3 * math.sqrt(POWER * (1 - POWER) / fleets)
    bound = {"target": f"at least {POWER:g}, within three deviations", "meets": each.found >= least}
    what = "AUC" if each.name == "inverted" else "a group's gap"
    return [
        _row(f"{each.name}.effect", each.effect, f"change of {what}"),
        _row(f"{each.name}.canary", each.canary, "devices")
        | {
            "target": f"at least {each.smallest}, for a power of {POWER:g}",
            "meets": each.canary >= (each.smallest or math.inf),
        },
        _row(f"{each.name}.power.promised", each.promised, "share of fleets, by the formula"),
        _row(f"{each.name}.power", each.found, f"share of {fleets} drawn fleets") | bound,
    ]


def _row(name: str, value: float, unit: str) -> Row:
    return {"name": f"rollout.{name}", "value": value, "unit": unit}


def text(rides: Sequence[Ride], strengths: Sequence[Strength], *, devices: int, fleets: int) -> str:
    """The table as a person reads it."""
    lines = [
        f"Rollouts on {devices} devices, canary {rides[0].canary:.0%}. Each candidate is signed past the gates, most of which",
        "would stop it: the table is about what comes after. The crash is a kill of the child that tries it: no graph that a",
        "release may hold takes ONNX Runtime down.",
        "",
        f"{'candidate':<12}{'told to run':>12}{'answered on':>13}{'periods':>9}  {'ended':<10}why",
    ]
    lines += [
        f"{ride.candidate.name:<12}{ride.told:>12.1%}{ride.served:>13.1%}{ride.periods:>9}  {ride.state:<10}{ride.why}"
        for ride in rides
    ]
    lines += [
        "",
        f"Charged counts, a canary of {strengths[0].canary} of {devices} devices, over {fleets} drawn fleets each:",
    ]
    for each in strengths:
        smallest = f"; {each.smallest} devices would do" if each.smallest else ""
        found = "false alarms" if each.name == "good" else f"an effect of {each.effect:.2f} is found"
        lines.append(f"  {each.name:<10}{found}: {each.found:.0%}, promised {each.promised:.0%}{smallest}")
    lines.append(f"  One survey costs a row epsilon {epsilon(1):.2f}; two in one rollout {epsilon(2):.2f}.")
    return "\n".join([*lines, ""])
