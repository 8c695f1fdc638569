"""What the campaigns with hostile members came to: two tables for people, and rows for a report."""

import math
from collections.abc import Sequence
from typing import Any

from simulations.attacks.lineup import DEFENCES, FORGERIES, HONEST, HOSTILE, LIES, SHIPPED, STATIONS, SYBILS
from simulations.attacks.ring import Attack, Defence, Found

FORGED_ROUNDS = 3
"""A malformed reply is met by the same checks in every round: one honest round, then two."""

FOOTER = f"""
A cell of the first table: AUC on March, then the attack's success. For the backdoor that is the share of late flights
with the trigger that are called on time, above the shipped defence with nobody lying; for all others the share of
(AUC - 0.5) lost against it. What a rule loses with nobody lying is its own price: stations differ, and a rule cannot
tell the unusual from the hostile. One campaign a cell unless --seeds says more: less than 0.01 of AUC says nothing.
"Shipped" is a mean behind every check on arrival, the plan's bound on the norm among them. The rules assume {HOSTILE}
hostile votes of {STATIONS}; {SYBILS} sybils are more, and only one vote an owner takes them back to one. A label holds
as far as the operator knows whose a device is. That a free rider rides cannot be told from noise.

A cell of the second: "held" means that every honest update counted and nothing forged did; "in" that something forged
did; "broke" that the campaign ended. The checks stand before every rule, and cost their sender only.

Under secure aggregation the coordinator sees sums alone, and none of this is possible: no check of one update, no
norm bound, no trimmed mean, median or Krum, and one vote an owner neither. What is left is the bound that each
device's own honest software keeps; a hostile one keeps none and may add anything at all to the sum. Proofs that a
masked update is short (range proofs) are not built. Choose by whom you fear more: a coordinator that reads updates,
or members that forge them.
"""

Cells = dict[tuple[str, str, int], list[Found]]
"""By attack, defence and number of rounds; one for each seed."""

Row = dict[str, Any]
Verdict = tuple[float, float]
"""AUC on March and the attack's success, means over seeds; NaN where the model is no numbers."""


def report(cells: Cells) -> list[Row]:
    """Every figure as a row; only a forgery's has a target, which is that nothing gets in."""
    return [*_lie_rows(cells), *_forgery_rows(cells)]


def _lie_rows(cells: Cells) -> list[Row]:
    rows: list[Row] = []
    for attack in (HONEST, *LIES):
        for defence in DEFENCES:
            auc, success = verdict(cells, attack, defence)
            name = f"{attack.name} / {defence.name}"
            rows.append(_row(f"{name}: AUC", auc, "AUC"))
            rows.append(_row(f"{name}: success", success, "share"))
    return rows


def _forgery_rows(cells: Cells) -> list[Row]:
    rows: list[Row] = []
    for attack in FORGERIES:
        for defence in DEFENCES:
            row = _row(f"{attack.name} / {defence.name}: gets in", float(fate(cells, attack, defence) != "held"), "")
            if defence.checked:
                row |= {"target": 0, "meets": row["value"] == 0}
            rows.append(row)
    return rows


def _row(name: str, value: float, unit: str) -> Row:
    return {
        "name": name,
        "value": None if math.isnan(value) else round(value, 4),
        "unit": unit,
        "target": None,
        "meets": None,
    }


def verdict(cells: Cells, attack: Attack, defence: Defence) -> Verdict:
    """How good the model still is, and how far the attack came from what an honest fleet has under the shipped mean."""
    honest, played = _long(cells, HONEST, SHIPPED), _long(cells, attack, defence)
    auc, usual = _mean([found.auc for found in played]), _mean([found.auc for found in honest])
    if attack.aim == "backdoor":
        return auc, _mean([found.on_time for found in played]) - _mean([found.on_time for found in honest])
    return auc, 1 - (auc - 0.5) / (usual - 0.5)


def fate(cells: Cells, attack: Attack, defence: Defence) -> str:
    """What became of a round in which somebody sent a malformed reply: `held`, `in` or `broke`."""
    (found,), honest = cells[attack.name, defence.name, FORGED_ROUNDS], cells[HONEST.name, defence.name, FORGED_ROUNDS]
    if found.ended != "finished" or found.lost:
        return "broke"
    if attack.echo:
        return "held" if found.weights == honest[0].weights else "in"
    return "in" if found.counted else "held"


def tables(cells: Cells) -> str:
    """Both tables and what they leave out."""
    names = [defence.name for defence in DEFENCES]
    shown = {each.name: [_shown(*verdict(cells, each, defence)) for defence in DEFENCES] for each in (HONEST, *LIES)}
    lines = [_line("", names), *(_line(name, cells_of_it) for name, cells_of_it in shown.items())]
    lines += ["", _line("", [*names, "recorded against its sender"])]
    for attack in FORGERIES:
        said = cells[attack.name, SHIPPED.name, FORGED_ROUNDS][0].said or "-"
        lines.append(_line(attack.name, [*(fate(cells, attack, defence) for defence in DEFENCES), said]))
    return "\n".join(lines) + "\n" + FOOTER


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<30}" + "".join(f"{cell:<13}" for cell in cells).rstrip()


def _shown(auc: float, success: float) -> str:
    return "no model" if math.isnan(auc) else f"{auc:.3f} {success:5.0%}"


def _long(cells: Cells, attack: Attack, defence: Defence) -> list[Found]:
    """The longest campaigns of a cell."""
    return cells[max(key for key in cells if key[:2] == (attack.name, defence.name))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
