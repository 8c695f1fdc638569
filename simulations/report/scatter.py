"""Accuracy against epsilon: a point a plan, larger for more bytes, and a line along those that no other beats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simulations.report import scales, svg
from simulations.report.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Field, Words
from simulations.report.scales import Scale
from simulations.report.words import number, size

TALL = HEIGHT + 80
SMALL, LARGE = 3.5, 12.0
WIDE = 8.0
"""From how many times the lowest figure on an axis is logarithmic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One plan: where it lies, from `low` to `high` over seeds, what `weight` it has, and whether none `beats` it."""

    name: str
    label: str
    x: float
    y: float
    low: float
    high: float
    weight: float
    front: bool


def scatter(words: Words, dots: Sequence[Dot], edge: Sequence[tuple[float, float]]) -> str:
    """Points, those of the front ringed and numbered; `edge` is the line of the best, as steps."""
    xs = [dot.x for dot in dots]
    x, foot = _horizontal(xs), TALL - BOTTOM
    y = scales.around([end for dot in dots for end in (dot.low, dot.high)], foot, TOP)
    heaviest = max((dot.weight for dot in dots), default=0.0)
    parts = [svg.path([(x(a), y(b)) for a, b in _steps(edge)], "front")]
    for dot in sorted(dots, key=lambda each: (each.front, -each.weight)):
        parts += _dot(dot, x, y, heaviest)
    parts += _key(heaviest, x.end + 16)
    return Field(x=x, y=y, words=words).drawn(*parts, height=TALL)


def _horizontal(xs: Sequence[float]) -> Scale:
    """An axis of epsilon: by its logarithm where the figures lie far apart."""
    start, end = LEFT, WIDTH - RIGHT
    low, high = min(xs, default=0.0), max(xs, default=1.0)
    if low > 0 and high > WIDE * low:
        return Scale(low=low / 1.15, high=high * 1.15, start=start, end=end, log=True)
    return scales.around(xs, start, end)


def _dot(dot: Dot, x: Scale, y: Scale, heaviest: float) -> list[str]:
    place, radius = (x(dot.x), y(dot.y)), _radius(dot.weight, heaviest)
    hint = f"{dot.name}: {number(dot.y, 4)} at ε {number(dot.x)}, {size(dot.weight)} up"
    found = [svg.line(place[0], y(dot.low), place[0], y(dot.high), "whisker")] if dot.high > dot.low else []
    found.append(svg.dot(*place, radius, f"dot point a {'on' if dot.front else 'off'}", hint=hint))
    if dot.front:
        found.append(svg.text(place[0], place[1] - radius - 4, dot.label, anchor="middle", class_="name"))
    return found


def _radius(weight: float, heaviest: float) -> float:
    """The area goes with the weight."""
    return SMALL + (LARGE - SMALL) * math.sqrt(weight / heaviest) if heaviest > 0 else SMALL


def _key(heaviest: float, x: float) -> list[str]:
    """What the sizes mean."""
    if heaviest <= 0:
        return []
    found = [svg.text(x, TOP, "sent in a run", class_="axis")]
    for index, share in enumerate((1.0, 0.25, 0.05)):
        y = TOP + 22 + 28 * index
        found += [
            svg.dot(x + LARGE, y, _radius(share * heaviest, heaviest), "dot point a off"),
            svg.text(x + 2 * LARGE + 8, y + 4, size(share * heaviest), class_="tick"),
        ]
    return found


def _steps(edge: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Until a dearer plan does better, the one before it is the best there is."""
    found = list(edge[:1])
    for x, y in edge[1:]:
        found += [(x, found[-1][1]), (x, y)]
    return found
