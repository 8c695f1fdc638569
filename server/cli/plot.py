"""Curves in Braille dots: two by four to a letter, so that a plot fits where a table does."""

import math
from collections.abc import Sequence

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot, by row and column of a letter."""

Curve = Sequence[tuple[float, float]]
"""Points (x, y) in the order of x."""


def plot(
    curves: Sequence[Curve],
    *,
    level: float | None = None,
    width: int = 60,
    height: int = 12,
    x_title: str,
    y_title: str,
) -> list[str]:
    """Lines of text: curves from zero up, a dotted line at `level`, and a scale; `width` and `height` in letters.

    There must be two different x among the points. Axes are linear.
    """
    points = [point for curve in curves for point in curve]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top = ceiling(max([y for _, y in points] + ([level] if level else [])))
    canvas = [[0] * width for _ in range(height)]
    for column in range(2 * width):
        x = left + (right - left) * column / (2 * width - 1)
        for curve in curves:
            if curve[0][0] <= x <= curve[-1][0]:
                _dot(canvas, column, between(curve, x) / top)
        if level is not None and column % 4 == 0:
            _dot(canvas, column, level / top)
    labels = [f"{top * (height - row) / height:.3g}" if row % 4 == 0 else "" for row in range(height)]
    margin = max(len(label) for label in labels)
    body = [
        f"{label:>{margin}} ┤{''.join(chr(BLANK + bits) if bits else ' ' for bits in line)}".rstrip()
        for label, line in zip(labels, canvas, strict=True)
    ]
    foot = f"{left:g}".ljust(width - len(f"{right:g}")) + f"{right:g}"
    return [
        f"{y_title}", *body, f"{'0':>{margin}} └{'─' * width}", f"{'':{margin}}  {foot}", f"{'':{margin}}  {x_title:^{width}}".rstrip()
    ]  # fmt: skip


def ceiling(value: float) -> float:
    """The scale's end: no less than `value`, and a third of it is a round number."""
    if value <= 0:
        return 3.0
    unit = 10.0 ** math.floor(math.log10(value / 3))
    return 3 * unit * next(factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15) if 3 * unit * factor >= value)


def between(curve: Curve, x: float) -> float:
    """The height of a curve at `x`, along straight lines from point to point."""
    after = next(index for index, (place, _) in enumerate(curve) if place >= x)
    (x1, y1), (x0, y0) = curve[after], curve[max(0, after - 1)]
    return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _dot(canvas: list[list[int]], column: int, share: float) -> None:
    """Set the dot at a share of the height."""
    rows = 4 * len(canvas)
    row = min(rows - 1, max(0, rows - 1 - round(share * (rows - 1))))
    canvas[row // 4][column // 2] |= DOTS[row % 4][column % 2]
