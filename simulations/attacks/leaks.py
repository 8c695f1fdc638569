"""What the attacks on data came to: two tables and a picture for people, and rows for a report."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from simulations.attacks.digits import SIDE
from simulations.attacks.inversion import CANDIDATES, Leak, Pictures
from simulations.attacks.odds import CONFIDENCE, Count
from simulations.attacks.shadows import FALSE_RATES, Membership
from simulations.attacks.views import DEVICES, STEPS

CLEAR, FAINT = 10.0, 1.0
"""Decibels above the blind answer: at least so many show a picture, and fewer than so many show none."""

TELLING = 10
"""How many times oftener than others an attack that works calls members members, at the smallest false rate."""

SURE = f"Intervals in brackets hold {CONFIDENCE:.0%} of the time."

HOW = f"""\
An update is of {STEPS} steps over one row, a sum of {DEVICES} devices with one row each, in one step; the row's device is attacked.
Above blind, in dB: than the mean picture of its digit, which the picture's attacker is told. At most: what the charge
allows anybody. Without noise a sum hides no row from who studies it. {SURE}"""

_WIDE, _LONG = (19, 9, 9, 14, 9, 16, 9, 20, 8), (9, 20, 7, 20, 22, 19, 9)
_INK = " .:-=+*#%@"

Row = dict[str, Any]


def rows(leaks: Sequence[Leak], members: Sequence[Membership]) -> list[Row]:
    """Every figure as a row; a private one's target is the most that its charge allows."""
    found = [row for leak in leaks for row in _inversion(leak)]
    return found + [row for one in members for row in _membership(one)]


def _inversion(leak: Leak) -> list[Row]:
    name = f"device.inversion.{leak.view.replace(' ', '-')}.{_epsilon(leak.epsilon)}"
    return [
        {"name": f"{name}.psnr", "value": leak.psnr, "unit": "dB", "target": None, "meets": None},
        {"name": f"{name}.correlation", "value": leak.correlation, "unit": "", "target": None, "meets": None},
        {"name": f"{name}.gain", "value": leak.gain, "unit": "dB", "error": leak.gain_error} | _clear(leak),
        _share(f"{name}.label", leak.labels) | _right(leak, leak.labels, leak.most_labels),
        _share(f"{name}.chosen", leak.chosen) | _right(leak, leak.chosen, leak.most_chosen),
    ]


def _clear(leak: Leak) -> Row:
    """Without noise an attack on one device must work, or the table shows nothing; a sum alone promises nothing."""
    if leak.epsilon is not None and math.isinf(leak.epsilon):
        return {"target": None, "meets": None} if leak.others else {"target": CLEAR, "meets": leak.gain >= CLEAR}
    return {"target": FAINT, "meets": leak.gain < FAINT}


def _right(leak: Leak, count: Count, most: float) -> Row:
    if leak.epsilon is not None and math.isinf(leak.epsilon):
        return {"target": None, "meets": None} if leak.others else {"target": 0.95, "meets": count.share >= 0.95}
    return {"target": most, "meets": count.interval[0] <= most}


def _membership(one: Membership) -> list[Row]:
    name = f"device.membership.{_epsilon(one.epsilon)}"
    found: list[Row] = [
        {"name": f"{name}.{figure}", "value": value, "unit": unit, "target": None, "meets": None}
        for figure, value, unit in (
            ("right-on-own", one.inside, "share"), ("right-on-others", one.outside, "share"), ("auc", one.auc, "AUC"),
        )
    ]  # fmt: skip
    for index, (rate, pair) in enumerate(zip(FALSE_RATES, one.rates, strict=True)):
        row = _share(f"{name}.tpr-at-{rate}", pair.found) | {"false": pair.false.share, "others": pair.false.tries}
        found.append(row | _told(one, index))
    return found


def _told(one: Membership, index: int) -> Row:
    low, smallest = one.rates[index].found.interval[0], FALSE_RATES[index]
    if math.isinf(one.epsilon):
        target = TELLING * smallest if index == 0 else None
        return {"target": target, "meets": None if target is None else low >= target}
    by_epsilon, by_renyi = one.by_epsilon[index], one.by_renyi[index]
    target = min(by_epsilon, by_renyi)
    return {"target": target, "meets": low <= target, "by_epsilon": by_epsilon, "by_renyi": by_renyi}


def _share(name: str, count: Count) -> Row:
    low, high = count.interval
    return {"name": name, "value": count.share, "unit": "share", "low": low, "high": high, "tries": count.tries}


def tables(leaks: Sequence[Leak], members: Sequence[Membership]) -> str:
    """Both tables, one picture, and how to read them."""
    first = "Gradient inversion: what a coordinator makes of one row"
    second = "Membership inference (LiRA): was this row learned from?"
    tries = members[0].rates[0]
    how = f"{tries.found.tries:,} members and {tries.false.tries:,} others at each epsilon. {SURE}"
    parts = (
        first,
        *_inversion_lines(leaks),
        "",
        HOW,
        "",
        *_gallery(leaks),
        second,
        *_membership_lines(members),
        "",
        how,
    )
    return "\n".join(parts) + "\n"


def _inversion_lines(leaks: Sequence[Leak]) -> list[str]:
    names = ("it holds", "epsilon", "picture", "above blind", "correl.", "label right %")
    head = (*names, "at most", f"1 of {CANDIDATES} right %", "at most")
    return [_line(_WIDE, cells) for cells in (head, *map(_cells, leaks))]


def _cells(leak: Leak) -> tuple[str, ...]:
    return (
        leak.view, _epsilon(leak.epsilon), f"{leak.psnr:.1f} dB", f"{leak.gain:+.2f} ±{leak.gain_error:.2f}",
        f"{leak.correlation:.2f}", _percent(leak.labels, 0), f"{leak.most_labels:.1%}", _percent(leak.chosen, 1),
        f"{leak.most_chosen:.1%}",
    )  # fmt: skip


def _membership_lines(members: Sequence[Membership]) -> list[str]:
    names = ("epsilon", "right: own, others", "AUC", "false %", "found %", "e^eps FPR + delta", "by Renyi")
    lines = [_line(_LONG, names)]
    for one in members:
        head = (_epsilon(one.epsilon), f"{one.inside:.0%}, {one.outside:.0%}", f"{one.auc:.3f}")
        for pair, by_epsilon, by_renyi in zip(one.rates, one.by_epsilon, one.by_renyi, strict=True):
            told = (_percent(pair.false, 2), _percent(pair.found, 2), f"{by_epsilon:.2%}", f"{by_renyi:.2%}")
            lines.append(_line(_LONG, (*head, *told)))
    return lines


def _gallery(leaks: Sequence[Leak]) -> list[str]:
    """One row's picture, the blind answer, and what was found of it where one device is seen."""
    shown = {"the row": leaks[0].example[0], "blind": leaks[0].example[1]}
    shown |= {
        f"at {_epsilon(one.epsilon)}" if one.epsilon else "masked": one.example[2] for one in leaks if not one.others
    }
    drawn = [_drawn(pixels) for pixels in shown.values()]
    return ["".join(f"{name:<{SIDE + 4}}" for name in shown), *map("    ".join, zip(*drawn, strict=True)), ""]


def _drawn(pixels: Pictures) -> list[str]:
    shades = np.clip((pixels.reshape(SIDE, SIDE) + 1) / 2 * len(_INK), 0, len(_INK) - 1).astype(int)
    return ["".join(_INK[shade] for shade in line) for line in shades.tolist()]


def _line(widths: Sequence[int], cells: Sequence[str]) -> str:
    return "  " + "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _percent(count: Count, digits: int) -> str:
    low, high = (100 * end for end in count.interval)
    return f"{100 * count.share:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _epsilon(epsilon: float | None) -> str:
    return "-" if epsilon is None else f"{epsilon:g}"
