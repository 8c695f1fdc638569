"""The figures of a round of fuzzing, as rows."""

from collections.abc import Sequence
from typing import Any

from simulations.fuzz.engine import Tally
from simulations.fuzz.target import Kind, Target

Row = dict[str, str | float | bool]

LEAST_INPUTS, MOST_SECONDS = 1_000_000, 900.0
_NAMES: dict[Kind, str] = {
    "crash": "crashes", "hang": "hangs", "memory": "memory", "charge": "charges without event"
}  # fmt: skip


def rows(tallies: dict[str, Tally], chosen: Sequence[Target], *, seconds: float) -> list[Row]:
    """How many inputs each target got and how many broke which promise; then the same in all, and how long it took."""
    found: list[Row] = []
    for target in chosen:
        tally = tallies[target.name]
        found.append({"name": f"fuzz.{target.name}.inputs", "value": tally.inputs, "unit": "inputs"})
        found += [_none(f"fuzz.{target.name}.{_NAMES[kind]}", tally.broken[kind], "inputs") for kind in _kinds(target)]
    total = sum(tally.inputs for tally in tallies.values())
    broken = {kind: sum(tally.broken[kind] for tally in tallies.values()) for kind in _NAMES}
    found += [_none(f"fuzz.{name}", broken[kind], "inputs") for kind, name in _NAMES.items()]
    found.append(_row("fuzz.inputs", total, "inputs", LEAST_INPUTS, meets=total >= LEAST_INPUTS))
    found.append(_row("fuzz.seconds", round(seconds, 1), "s", MOST_SECONDS, meets=seconds <= MOST_SECONDS))
    return found


def _kinds(target: Target) -> list[Kind]:
    return [kind for kind in _NAMES if kind != "charge" or target.pays]


def _none(name: str, count: int, unit: str) -> Row:
    return _row(name, count, unit, 0, meets=not count)


def _row(name: str, value: float, unit: str, target: Any, *, meets: bool) -> Row:
    return {"name": name, "value": value, "unit": unit, "target": target, "meets": meets}
