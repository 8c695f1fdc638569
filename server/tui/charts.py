"""Charts drawn with block characters; all are pure functions from numbers to text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from textual.content import Content

from server.tui.words import line, toned

LEVELS = " ▁▂▃▄▅▆▇█"
BLOCK = "█"
KEY = "■"
"""A block in a legend: a whole one would grow into the column below it."""
Part = tuple[float, str, str]
"""A value of a stacked column, its glyph and its tone."""


def filled(share: float, width: int) -> str:
    """A bar of at most `width` cells, to half a cell; a share above zero always shows."""
    cells = min(max(share, 0.0), 1.0) * width
    halves = max(round(cells * 2), 1) if cells > 0 else 0
    return "━" * (halves // 2) + "╸" * (halves % 2)


def bar(share: float, width: int, tone: str) -> Content:
    """A bar on a quiet track, exactly `width` cells wide."""
    body = filled(share, width)
    return line(toned(body, tone), toned("─" * (width - len(body)), "$foreground 22%"))


def segments(parts: Sequence[tuple[float, str, str]], width: int, *, limit: float = 1.0) -> Content:
    """Stacked shares `(share, glyph, tone)` on a track, with `│` where the share reaches `limit`."""
    cells = [("─", "$foreground 22%")] * width
    start = 0.0
    for share, glyph, tone in parts:
        first, last = round(start * width), round(min(1.0, start + share) * width)
        if share > 0 and first == last:
            last = min(first + 1, width)
        cells[first:last] = [(glyph, tone)] * (last - first)
        start += share
    if limit < 1:
        cells[min(width - 1, round(limit * width))] = ("│", "$text-error")
    return joined(cells)


def joined(cells: Iterable[tuple[str, str]]) -> Content:
    """Cells of `(glyph, tone)` as text, with one span for each stretch of a tone."""
    stretches = groupby(cells, key=itemgetter(1))
    return line(*(toned("".join(glyph for glyph, _ in stretch), tone) for tone, stretch in stretches))


def spark(values: Sequence[float], width: int, tone: str = "$primary") -> Content:
    """The last `width` values as one line of columns, from zero to the largest."""
    shown = values[-width:]
    top = max(shown, default=0.0) or 1.0
    return toned("".join(LEVELS[_level(value / top, 8)] for value in shown), tone)


def columns(
    values: Sequence[float], *, height: int, top: float, tone: str, cell: int = 1, gap: int = 0
) -> list[Content]:
    """Vertical columns from zero to `top`, as `height` lines from the top down."""
    levels = [_level(value / top if top else 0.0, 8 * height) for value in values]
    rows = range(height - 1, -1, -1)
    return [toned("".join(_slice(level, row) * cell + " " * gap for level in levels), tone) for row in rows]


def stacks(values: Sequence[Sequence[Part]], *, height: int, top: float, cell: int = 1, gap: int = 0) -> list[Content]:
    """Stacked columns from the foot up; a value above zero always shows.

    A column of blocks alone is drawn to half a line. One with other glyphs is drawn to a whole line, so that its parts
    stay apart without colours.
    """
    drawn = [_halves(parts, height, top) for parts in values]
    rows = range(height - 1, -1, -1)
    return [line(*(_pair(each[2 * row : 2 * row + 2], cell, gap) for each in drawn)) for row in rows]


def _halves(parts: Sequence[Part], height: int, top: float) -> list[tuple[str, str]]:
    """The glyph and tone of each half line of one column, from the foot up; a blank where there is none."""
    fine = 2 if all(glyph == BLOCK for value, glyph, _ in parts if value > 0) else 1
    steps = fine * height
    found: list[tuple[str, str]] = []
    reached = 0.0
    for value, glyph, tone in parts:
        reached += value
        most = round(reached / top * steps) if top else 0
        found += [(glyph, tone)] * max(most - len(found), 1 if value > 0 else 0)
    shown = [*found[-steps:], *[(" ", "")] * (steps - len(found))]
    return [each for each in shown for _ in range(2 // fine)]


def _pair(halves: Sequence[tuple[str, str]], cell: int, gap: int) -> Content:
    """Two half lines, the lower first, as one line of a column; they differ only where both are blocks, or blank."""
    (glyph, lower), (_, upper) = halves
    if lower == upper:
        return line(toned(glyph * cell, lower), " " * gap)
    return line(toned("▄" * cell, f"{lower} on {upper}" if upper else lower), " " * gap)


def _level(share: float, steps: int) -> int:
    """A share as a number of eighths; anything above zero is at least one."""
    if share <= 0:
        return 0
    return min(steps, max(1, round(share * steps)))


def _slice(level: int, row: int) -> str:
    return LEVELS[min(8, max(0, level - 8 * row))]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar that draws itself as wide as its cell."""

    share: float
    tone: str

    def __call__(self, width: int) -> Content:
        """Draw the bar."""
        return bar(self.share, width, self.tone)


@dataclass(frozen=True, slots=True)
class Stack:
    """Stacked shares that draw themselves as wide as their cell."""

    parts: tuple[tuple[float, str, str], ...]
    limit: float = 1.0

    def __call__(self, width: int) -> Content:
        """Draw the stack."""
        return segments(self.parts, width, limit=self.limit)
