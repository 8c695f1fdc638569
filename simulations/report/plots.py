"""The plots of a report: lines with a band, histograms, stacked bars, and before and after in rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulations.report import scales, svg
from simulations.report.scales import Scale
from simulations.report.words import number

WIDTH, HEIGHT = 720.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 150.0, 34.0, 44.0
"""Room around the plot's field: figures of the y axis, names of lines, its label, and the x axis."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a plot is called, what it shows for those who do not see it, and what its axes count."""

    name: str
    title: str
    description: str
    x: str
    y: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line by its `(x, y)`, with a band of `(x, low, high)` around it; `style` is `a` to `d`."""

    name: str
    style: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A figure that the lines are held against."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One bar of a histogram."""

    low: float
    high: float
    count: int
    style: str = "a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of before and after; a `strong` one is set apart. Figures may be missing."""

    name: str
    before: float | None
    after: float | None
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where figures lie in a plot, and its axes."""

    x: Scale
    y: Scale
    words: Words
    parts: list[str] = field(default_factory=list)

    def drawn(self, *parts: str, height: float = HEIGHT) -> str:
        """The whole plot."""
        words = self.words
        return svg.picture(words.name, words.title, words.description, WIDTH, height, *self._axes(), *parts)

    def _axes(self) -> list[str]:
        x, y = self.x, self.y
        ticks = y.ticks(5)
        found = [svg.text(LEFT - 44, TOP - 16, self.words.y, class_="axis")]
        for tick in ticks:
            found += [
                svg.line(x.start, y(tick), x.end, y(tick), "grid"),
                svg.text(x.start - 8, y(tick) + 4, number(tick), anchor="end", class_="tick"),
            ]
        for tick in x.ticks(8):
            found.append(svg.text(x(tick), y.start + 18, number(tick), anchor="middle", class_="tick"))
        found += [
            svg.line(x.start, y.start, x.end, y.start, "base"),
            svg.text((x.start + x.end) / 2, y.start + 37, self.words.x, anchor="middle", class_="axis"),
        ]
        return found


def lines(words: Words, found: Sequence[Line], levels: Sequence[Level] = (), *, zero: bool = False) -> str:
    """Lines over rounds, each named at its end; levels go right across."""
    xs = [x for line in found for x, _ in line.points]
    ys = [y for line in found for _, y in line.points] + [level.value for level in levels]
    ys += [end for line in found for _, *ends in line.band for end in ends]
    x = Scale(low=min(xs, default=0.0), high=max(xs, default=1.0), start=LEFT, end=WIDTH - RIGHT, whole=True)
    y = scales.around(ys, HEIGHT - BOTTOM, TOP, zero=zero)
    parts = [svg.line(x.start, y(level.value), x.end, y(level.value), "level") for level in levels]
    for line in found:
        parts += _line(line, x, y)
    names = [(y(line.points[-1][1]), line.name, f"name {line.style}") for line in found if line.points]
    names += [(y(level.value), level.name, "name quiet") for level in levels]
    return Field(x=x, y=y, words=words).drawn(*parts, *_names(names, x.end + 10))


def _line(line: Line, x: Scale, y: Scale) -> list[str]:
    places = [(x(a), y(b)) for a, b in line.points]
    around = [(x(a), y(low)) for a, low, _ in line.band] + [(x(a), y(high)) for a, _, high in reversed(line.band)]
    dots = [
        svg.dot(*place, 2.4 if len(places) < 40 else 1.2, f"point {line.style}", hint=f"{line.name}, {number(a)}: {number(b, 4)}")
        for place, (a, b) in zip(places, line.points, strict=True)
    ]  # fmt: skip
    return [svg.path(around, f"band {line.style}", closed=True), svg.path(places, f"line {line.style}"), *dots]


def _names(names: Sequence[tuple[float, str, str]], x: float) -> list[str]:
    """Words at the ends of lines, moved apart where they would overlap; all of a name's lines below each other."""
    found, floor = list[str](), TOP - 10
    for y, name, style in sorted(names):
        place = max(y + 4, floor + 15)
        found.append(svg.text(x, place, name, class_=style))
        floor = place
    return found


def histogram(words: Words, bins: Sequence[Bin], marks: Sequence[Level] = ()) -> str:
    """How many devices lie in each bin; marks stand at figures of the x axis."""
    x = Scale(
        low=min((each.low for each in bins), default=0.0), high=max((each.high for each in bins), default=1.0),
        start=LEFT, end=WIDTH - RIGHT + 110,
    )  # fmt: skip
    y = scales.around([0.0, *(each.count for each in bins)], HEIGHT - BOTTOM, TOP + 10, zero=True, whole=True)
    parts = [
        svg.box(
            x(each.low) + 0.5, y(each.count), x(each.high) - x(each.low) - 1, y.start - y(each.count),
            f"bar {each.style}", hint=f"{number(each.low)} to {number(each.high)}: {each.count:,}",
        )
        for each in bins
    ]  # fmt: skip
    for mark in marks:
        place, right = x(mark.value), x(mark.value) > (x.start + x.end) / 2
        parts += [
            svg.line(place, y.start, place, TOP, "mark"),
            svg.text(
                place + (-6 if right else 6), TOP + 4, mark.name, anchor="end" if right else "start", class_="name"
            ),
        ]
    return Field(x=x, y=y, words=words).drawn(*parts)


def stacked(words: Words, columns: Sequence[float], layers: Sequence[tuple[str, str, Sequence[float]]]) -> str:
    """Columns of layers on top of each other, each a name, a style and a height per column."""
    x = Scale(low=min(columns, default=0.0) - 0.5, high=max(columns, default=1.0) + 0.5, start=LEFT, end=WIDTH - RIGHT)
    tops = [sum(layer[2][index] for layer in layers) for index in range(len(columns))]
    y = scales.around([0.0, *tops], HEIGHT - BOTTOM, TOP, zero=True)
    wide = (x.end - x.start) / max(x.high - x.low, 1)
    gap = min(wide * 0.15, 4.0)
    parts, below = list[str](), [0.0] * len(columns)
    names = list[tuple[float, str, str]]()
    for name, style, heights in layers:
        for index, height in enumerate(heights):
            top, foot = y(below[index] + height), y(below[index])
            place = x(columns[index]) - wide / 2 + gap / 2
            parts.append(
                svg.box(place, top, wide - gap, foot - top, f"bar {style}", hint=f"{number(columns[index])}, {name}: {number(height)}")
            )  # fmt: skip
            below[index] += height
        if any(heights):
            names.append((y(below[-1] - heights[-1] / 2), name, f"name {style}"))
    return Field(x=x, y=y, words=words).drawn(*parts, *_names(names, x.end + 10))


def changes(words: Words, rows: Sequence[Change], levels: Sequence[Level] = ()) -> str:
    """Each row a name, an open ring for before, a full point for after, and the way between them."""
    height = TOP + BOTTOM + 22.0 * max(len(rows), 1)
    left = LEFT + 74
    known = [value for row in rows for value in (row.before, row.after) if value is not None]
    x = scales.around([*known, *(level.value for level in levels)], left, WIDTH - 40)
    foot = height - BOTTOM
    parts = [svg.text(left, TOP - 14, words.y, class_="axis")]
    for tick in x.ticks(7):
        parts += [
            svg.line(x(tick), TOP, x(tick), foot, "grid"),
            svg.text(x(tick), foot + 18, number(tick), anchor="middle", class_="tick"),
        ]
    for level in levels:
        parts += [
            svg.line(x(level.value), TOP, x(level.value), foot, "level"),
            svg.text(x(level.value), TOP - 4, level.name, anchor="middle", class_="name quiet"),
        ]
    parts.append(svg.text((left + WIDTH - 40) / 2, foot + 37, words.x, anchor="middle", class_="axis"))
    for index, row in enumerate(rows):
        parts += _change(row, TOP + 11 + 22 * index, x, left)
    return svg.picture(words.name, words.title, words.description, WIDTH, height, *parts)


def _change(row: Change, y: float, x: Scale, left: float) -> list[str]:
    strong = " strong" if row.strong else ""
    found = [svg.text(left - 10, y + 4, row.name, anchor="end", class_=f"label{strong}")]
    if row.before is not None and row.after is not None:
        better = "a" if row.after <= row.before else "b"
        found.append(svg.line(x(row.before), y, x(row.after), y, f"way {better}"))
    if row.before is not None:
        found.append(svg.dot(x(row.before), y, 4, "ring", hint=f"{row.name}, before: {number(row.before, 4)}"))
    if row.after is not None:
        worse = row.before is not None and row.after > row.before
        found.append(
            svg.dot(x(row.after), y, 5, f"point {'b' if worse else 'a'}", hint=f"{row.name}, after: {number(row.after, 4)}")
        )  # fmt: skip
    return found
