"""How words, figures and bars read on screen; pure functions from values to text."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from textual.content import Content

MUTED = "$foreground 60%"
FAINT = "$foreground 22%"
GOOD, WARN, BAD, LEAD = "$text-success", "$text-warning", "$text-error", "$text-primary"

Part = Content | str | tuple[str, str]
"""Text, or text with its style."""


def text(*parts: Part) -> Content:
    """Parts, one after the other."""
    return Content.assemble(*parts)


def stack(*rows: Content | str) -> Content:
    """Rows, one below the other."""
    return Content("\n").join(rows)


def plain(words: object) -> str:
    """What a stranger wrote, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(words))


def fit(part: Part, width: int, *, right: bool = False) -> Content:
    """A cell of exactly `width` columns."""
    short = text(part).truncate(max(0, width), ellipsis=True)
    room = max(0, width - short.cell_length)
    return short.pad_left(room) if right else short.pad_right(room)


def meter(share: float, width: int, tone: str) -> Content:
    """A bar on a quiet track, exactly `width` columns wide; a share above zero always shows."""
    cells = min(max(share, 0.0), 1.0) * width
    halves = max(1, round(cells * 2)) if cells > 0 else 0
    body = "━" * (halves // 2) + "╸" * (halves % 2)
    return text((body, tone), ("─" * (width - len(body)), FAINT))


def swing(share: float, width: int) -> Content:
    """A bar to the right of the middle for what adds, to the left for what takes away; `share` lies in [-1, 1]."""
    side = (width - 1) // 2
    cells = math.ceil(min(abs(share), 1.0) * side - 0.5) or int(abs(share) > 0)
    left, right = ("━" * cells if share < 0 else ""), ("━" * cells if share > 0 else "")
    return text((left.rjust(side), BAD), ("│", FAINT), (right.ljust(width - 1 - side), GOOD))


def age(seconds: float) -> str:
    """How long, in one unit: `4 s`, `12 min`, `3 h`, `5 d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def ago(then: float, now: float) -> str:
    """When something happened."""
    return f"{age(now - then)} ago"


def stamp(then: float) -> str:
    """A moment as UTC date and minute."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M")


def count(number: int, noun: str) -> str:
    """A count with its noun: `1 round`, `8 rounds`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(amount: float) -> str:
    """A number of bytes, in a decimal unit."""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def value(cell: object) -> str:
    """One field of a record."""
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return "missing"
    return f"{cell:.6g}" if isinstance(cell, (int, float)) else plain(cell)


def advice(what: str, commands: Mapping[str, str]) -> Content:
    """An empty state: what is so, and each command or key with what it does."""
    steps = [stack(text((command, "bold")), text((f"  {effect}", MUTED))) for command, effect in commands.items()]
    return stack(what, *([""] if steps else []), *steps)
