"""Figures as a person reads them."""

import math
from itertools import pairwise

NONE, MINUS, JOIN = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
UNITS = ("B", "kB", "MB", "GB", "TB")
"""Each a thousand times the one before."""


def number(value: float | None, digits: int = 3) -> str:
    """A figure to so many significant digits, whole thousands kept and parted by commas; a dash for none."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{places}f}" if places < 8 else f"{value:.{digits - 1}e}"
    return (text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text).replace("-", MINUS)


def whole(value: float) -> str:
    """A count, its thousands parted by commas."""
    return f"{round(value):,}"


def fixed(value: float | None, places: int = 3) -> str:
    """A figure to so many places, as they stand below each other in a table; a dash for none."""
    return NONE if value is None or not math.isfinite(value) else f"{value:,.{places}f}".replace("-", MINUS)


def signed(value: float | None, places: int = 3) -> str:
    """The same, a gain with its plus."""
    text = fixed(value, places)
    return f"+{text}" if value is not None and text[0] not in NONE + MINUS and value > 0 else text


def percent(share: float | None, places: int = 0) -> str:
    """A share in percent; a dash for none."""
    return NONE if share is None or not math.isfinite(share) else f"{100 * share:.{places}f}{JOIN}%".replace("-", MINUS)


def size(amount: float) -> str:
    """An amount of bytes in a unit in which it is short."""
    power = min(int(math.log10(amount) // 3), len(UNITS) - 1) if amount >= 1 else 0
    return f"{number(amount / 1000**power)}{JOIN}{UNITS[power]}"


def duration(seconds: float) -> str:
    """A time in the unit in which it is short."""
    units = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86_400.0), ("", math.inf))
    for (unit, length), (_, longer) in pairwise(units):
        if abs(seconds) < 2 * longer:
            return f"{number(seconds / length)}{JOIN}{unit}"
    raise AssertionError  # the last unit has no end


def count(amount: int, one: str, several: str = "") -> str:
    """`1 round`, `2 rounds`."""
    return f"{amount:,} {one if amount == 1 else several or one + 's'}"


def at_delta(delta: float | None) -> str:
    """What an epsilon holds at; nothing where that is not known."""
    return "" if delta is None else f" at δ = {delta:g}".replace("e-0", "e-")
