"""The comparison as a person reads it: a line a mode, fleet by fleet, then each target and whether it was met."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from simulations.modes.aircraft import NOISES
from simulations.modes.settings import KINDS

Row = dict[str, Any]
Rows = dict[str, Row]

WHO = {
    "none": "no noise",
    "local": "local: each device, all of it",
    "sampled": "local, on samples of the rows",
    "distributed": "distributed: each, a share",
    "central": "central: the coordinator",
    "independent": "central, anew each round",
    "adaptive": "the same, its bound adapts",
    "correlated": "central, correlated (DP-FTRL)",
}
HEAD = f"{'who adds the noise':<31}{'AUC':>6}{'of no noise':>23}{'ε row':>8}{'device':>8}{'alone':>7}{'bits':>6}"
RUNS = f"{'whole runs':<31}{'AUC':>6}{'s a round':>23}{'bytes up a device and round':>29}"


def table(rows: Sequence[Row], epsilons: Iterable[float]) -> str:
    """All that was measured; what no mode promises is a dash."""
    named: Rows = {str(row["name"]).removeprefix("modes."): row for row in rows}
    lines: list[str] = []
    for fleet in [name.removesuffix(".devices") for name in named if name.endswith(".devices")]:
        for epsilon in epsilons:
            lines += [*_fleet(fleet, epsilon, named), ""]
    return "\n".join([*lines, "targets", *(f"  {_verdict(row)}" for row in rows if "meets" in row)]) + "\n"


def _fleet(fleet: str, epsilon: float, named: Rows) -> Iterator[str]:
    """One fleet at one epsilon: the bands, against whom each holds, and the whole runs."""
    at = f"{fleet}.eps-{epsilon:g}"
    present = [kind for kind in dict.fromkeys((*KINDS, *NOISES)) if f"{at}.{kind}.auc" in named]
    whom = "a whole device" if fleet == "aircraft" else "a row"
    yield f"{fleet}: {named[f'{fleet}.devices']['value']} devices, ε {epsilon:g} for {whom}, at δ 1e-05"
    yield HEAD
    for kind in present:
        yield _line(f"{at}.{kind}", WHO[kind], named)
    for kind in present:
        if kind not in ("none", "sampled"):
            yield f"  {WHO[kind]}: holds {named[f'{at}.{kind}.epsilon.record']['trust']}"
    runs = [kind for kind in present if f"{at}.{kind}.run.auc" in named]
    if runs:
        yield RUNS
    for kind in runs:
        place = f"{at}.{kind}.run"
        cells = (
            _cell(named, f"{place}.auc", ".4f"),
            _cell(named, f"{place}.seconds", ".2f"),
            _cell(named, f"{place}.bytes", ".0f"),
        )
        yield f"{WHO[kind]:<31}{cells[0]:>6}{cells[1]:>23}{cells[2]:>29}"


def _line(place: str, who: str, named: Rows) -> str:
    low, high = _cell(named, f"{place}.lift.low", ".3f"), _cell(named, f"{place}.lift.high", ".3f")
    share = f"{_cell(named, f'{place}.lift', '.3f')} ({low} to {high})"
    levels = [_promise(named, f"{place}.epsilon.{level}") for level in ("record", "device", "alone")]
    cells = f"{levels[0]:>8}{levels[1]:>8}{levels[2]:>7}{_cell(named, f'{place}.bits', 'd'):>6}"
    return f"{who:<31}{_cell(named, f'{place}.auc', '.4f'):>6}{share:>23}{cells}".rstrip()


def _promise(named: Rows, name: str) -> str:
    """An epsilon; beyond a hundred it protects nothing."""
    value = named[name]["value"]
    return ">100" if value is not None and value > 100 else _cell(named, name, ".2f")


def _cell(named: Rows, name: str, form: str) -> str:
    """A figure; a dash for one that is no promise, nothing for one that was not measured."""
    if name not in named:
        return ""
    value = named[name]["value"]
    return "-" if value is None else format(value, form)


def _verdict(row: Row) -> str:
    name, value = str(row["name"]).removeprefix("modes."), row["value"]
    said = "-" if value is None else f"{value:.4f}" if value < 1e5 else f"{value:.1e}"
    return f"{name:<58}{said:>10}  {row['target']}: {'met' if row['meets'] else 'MISSED'}"
