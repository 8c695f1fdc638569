"""How one distribution moved over many surveys: a cell a survey in a table, or a chart with its noise band.

What stands out of the noise is a column. Inside the noise it is a flat line where a move of the alarm's size would
have shown, and fog where it would not: no drift and no evidence never look alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from server.tui.charts import LEVELS, joined
from server.tui.figures import Verdict, verdict
from server.tui.words import line, lines, muted, plain
from shared.drift import Shift

FLAT, FOG, NOTHING = "─", "░", " "
TONES: dict[Verdict, str] = {
    "large": "$warning", "small": "$primary", "steady": "$success", "unknown": "$foreground 45%",
}  # fmt: skip
ALARMING = "$error"
HIGHEST = 7
"""Eighths of a cell; a full one would run into the line above."""

TOP = 20.0
"""The sparkline's top, in alarms; the scale is logarithmic, so that one alarm is two eighths high."""

AXIS = 7
"""Cells left of a chart, for its scale."""

Cells = list[list[tuple[str, str]]]
"""Rows of `(glyph, tone)` from the foot up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one survey found of one distribution, and the date up to which it counted.

    There is no shift where the distribution was not counted or there was no reference.
    """

    survey: int
    until: str
    shift: Shift | None


@dataclass(frozen=True, slots=True)
class Sparkline:
    """One cell a survey, the newest on the right; draws itself as wide as its cell."""

    points: tuple[Point, ...]
    alarm: float
    alarming: bool = False

    def __call__(self, width: int) -> Content:
        """The last `width` surveys."""
        return joined(spot(point.shift, self.alarm, alarming=self.alarming) for point in self.points[-width:])


def spot(shift: Shift | None, alarm: float, *, alarming: bool = False) -> tuple[str, str]:
    """One survey as a glyph and its tone."""
    if shift is None:
        return NOTHING, TONES["unknown"]
    kind = verdict(shift, alarm)
    if not shift.evident:
        return (FLAT if kind == "steady" else FOG), TONES[kind]
    height = max(1, min(HIGHEST, round(8 * rise(shift.psi, alarm, TOP * alarm))))
    return LEVELS[height], tone_of(kind, alarming=alarming)


def tone_of(kind: Verdict, *, alarming: bool) -> str:
    """A verdict's colour; what may raise the alarm is louder once it is large."""
    return ALARMING if alarming and kind == "large" else TONES[kind]


def rise(psi: float, alarm: float, top: float) -> float:
    """How far up a logarithmic scale from 0 to `top` a PSI lies, as a share."""
    return min(1.0, math.log1p(max(0.0, psi) / alarm) / math.log1p(top / alarm))


def history(points: Sequence[Point], alarm: float, width: int, height: int, *, alarming: bool = False) -> Content:
    """A column a survey: the noise band as fog, what stands out of it as a solid column, the alarm as a line.

    `width` and `height` are the most that it takes, the days below included.
    """
    known = [point for point in points if point.shift is not None]
    rows, room = height - 1, width - AXIS
    if not known:
        return muted("no survey has compared this with a reference yet")
    if rows < 2 or room < 3:
        return Content("")
    each = max(2, min(8, room // len(known)))
    shown = known[-max(1, room // each) :]
    top = max(2 * alarm, *(max(point.shift.psi, point.shift.noise) for point in shown if point.shift)) * 1.05
    cells = _plot([point.shift for point in shown if point.shift], alarm, top, rows, each, alarming=alarming)
    level = min(rows - 1, int(rise(alarm, alarm, top) * rows))
    axis = [""] * rows
    axis[0], axis[-1], axis[level] = "0", plain(top, 2), f"{alarm:g}"
    drawn = [line(muted(f"{mark:>{AXIS - 1}} "), joined(row)) for mark, row in zip(axis, cells, strict=True)]
    return lines(*reversed(drawn), muted(" " * AXIS + days([point.until for point in shown], each, room)))


def _plot(shifts: Sequence[Shift], alarm: float, top: float, rows: int, each: int, *, alarming: bool) -> Cells:
    cells: Cells = [[] for _ in range(rows)]
    level = min(rows - 1, int(rise(alarm, alarm, top) * rows))
    for shift in shifts:
        kind = verdict(shift, alarm)
        band, value = (round(rise(figure, alarm, top) * rows) for figure in (shift.noise, shift.psi))
        for row in range(rows):
            ground = ("─", "$text-error") if row == level else (" ", "$foreground")
            fog = (FOG, "$foreground 45%") if row < max(1, band) and row != level else ground
            inside = ("○", TONES[kind]) if row == min(max(value - 1, 0), max(band - 1, 0)) else fog
            full = ("█", tone_of(kind, alarming=alarming)) if row < max(1, value) else ground
            body = [full] * (each - 1) if shift.evident else [inside, *[fog] * (each - 2)]
            cells[row] += [*body, ground]
    return cells


def days(dates: Sequence[str], each: int, room: int) -> str:
    """The day of a column below it, leaving out those that would touch the one before or leave the chart."""
    text = ""
    for place, date in enumerate(dates):
        day = date[5:10]
        if (not text or place * each > len(text)) and place * each + len(day) <= room:
            text = text.ljust(place * each) + day
    return text
