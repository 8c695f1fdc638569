"""One distribution then and now, bin by bin: as rows where there is height for them, else as pairs of columns."""

from dataclasses import dataclass

from textual.content import Content

from server.tui.charts import BLOCK, columns, filled
from server.tui.words import line, lines, muted, strong, toned
from shared.drift import Histogram
from shared.tasks import Task

THEN, NOW = "$foreground 45%", "$primary"
Marks = tuple[str, str]
"""How the reference and the current window are told apart, also without colours."""
LINES: Marks = ("╍╍", "━━")
HALVES: Marks = ("▀▀", "▄▄")
SIDES: Marks = ("left:", "right:")
DASHED = str.maketrans("━╸", "╍╍")
"""Makes the reference's bar of the current one's."""
FIGURE = 13
"""Cells for two shares, ` 69 →  84 %`, with their gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same histogram in the reference and in the current window, each as shares of its own total."""

    labels: tuple[str, ...]
    then: tuple[float, ...]
    now: tuple[float, ...]

    @property
    def top(self) -> float:
        """The largest share of both."""
        return max(*self.then, *self.now, 1e-9)


def compare(reference: Histogram | None, current: Histogram | None, task: Task, width: int, height: int) -> Content:
    """Both windows on one scale, as large as fits."""
    known = reference or current
    if known is None:
        return muted("this survey did not count it")
    pair = Pair(labels=labels_of(task, known), then=shares(reference), now=shares(current))
    rows = height >= 9
    body = as_rows(pair, width, height - 2) if rows else as_columns(pair, width, height - 2)
    marks = (LINES if apart(pair, height - 2) else HALVES) if rows else SIDES if reference and current else LINES
    return lines(legend(reference, current, marks).truncate(width), *body)


def legend(reference: Histogram | None, current: Histogram | None, marks: Marks) -> Content:
    """Which window is which, and how many rows were counted, to the noise's precision."""
    then, now = marks
    words = [
        line(toned(f"{mark} ", tone), muted(f"{name} {max(0, sum(found.counts)):,.0f}"))
        for name, mark, tone, found in (("reference", then, THEN, reference), ("current", now, NOW, current))
        if found is not None
    ]
    return line(*words, gap="  ") + muted(" rows")


def shares(counts: Histogram | None) -> tuple[float, ...]:
    """Noisy counts as shares of their total; noise below zero counts as zero; nothing where nothing was counted."""
    if counts is None:
        return ()
    positive = [max(0.0, count) for count in counts.counts]
    total = sum(positive) or 1.0
    return tuple(count / total for count in positive)


def labels_of(task: Task, counts: Histogram) -> tuple[str, ...]:
    """The words of a category, or the lower edges of numeric bins; `none` for what is missing or not declared."""
    words = next((f.values for f in task.features if f.name == counts.name and f.kind == "category"), None)
    names = words or tuple(f"{edge:g}" for edge in counts.edges[:-1])
    return (*names, "none") if len(counts.counts) > len(names) else names


def as_rows(pair: Pair, width: int, height: int) -> list[Content]:
    """A row a bin, two where there is height; where there are too many bins, those that moved most."""
    order = shown(pair, height)
    wide = min(14, max(len(pair.labels[index]) for index in order))
    room = max(4, width - wide - 2 - FIGURE)
    rows: list[Content] = []
    for index in order:
        label = f"{pair.labels[index][:wide]:>{wide}}  "
        bars = [bar_of(values[index] / pair.top, tone, room) for values, tone in drawn(pair)]
        figure = figures(pair, index)
        if apart(pair, height):
            rows.append(line(muted(label), bars[0], figure))
            rows += [line(" " * (wide + 2), bar) for bar in bars[1:]]
        else:
            rows.append(line(muted(label), halves(pair, index, room), figure))
    left = len(pair.labels) - len(order)
    return [Content(""), *rows, *([muted(f"{left} more bins moved less")] if left else [])]


def apart(pair: Pair, height: int) -> bool:
    """Whether each window has a row of its own in each bin."""
    return 2 * len(shown(pair, height)) <= height


def bar_of(share: float, tone: str, room: int) -> Content:
    """One window's bar; the reference's is dashed."""
    body = filled(share, room).ljust(room)
    return toned(body.translate(DASHED) if tone == THEN else body, tone)


def shown(pair: Pair, height: int) -> list[int]:
    """The bins to show, in their order."""
    bins = range(len(pair.labels))
    if len(bins) <= height:
        return list(bins)
    moved = {index: abs(pair.now[index] - pair.then[index]) if pair.now and pair.then else 0.0 for index in bins}
    return sorted(sorted(bins, key=lambda index: -moved[index])[: max(1, height - 1)])


def drawn(pair: Pair) -> list[tuple[tuple[float, ...], str]]:
    """The windows that were counted, with their colours."""
    return [(values, tone) for values, tone in ((pair.then, THEN), (pair.now, NOW)) if values]


def halves(pair: Pair, index: int, room: int) -> Content:
    """Both windows in one row: whole as far as both reach, then the longer one alone, the reference as an upper half."""
    spans = [round(values[index] / pair.top * room) if values else 0 for values in (pair.then, pair.now)]
    both, longer = min(spans), max(spans)
    rest = ("▀", THEN) if spans[0] > spans[1] else ("▄", NOW)
    return line(toned(BLOCK * both, NOW), toned(rest[0] * (longer - both), rest[1]), " " * (room - longer))


def figures(pair: Pair, index: int) -> Content:
    """The shares in percent, then and now."""
    parts = [f"{values[index]:.0%}".removesuffix("%") for values, _ in drawn(pair)]
    return line("  ", muted(f"{parts[0]:>3} → ") if len(parts) > 1 else "", strong(f"{parts[-1]:>3}"), muted(" %"))


def as_columns(pair: Pair, width: int, height: int) -> list[Content]:
    """Two columns a bin beside each other, with the bins' labels below."""
    step = min(9, max(2, width // len(pair.labels)))
    cell = max(1, (step - 1) // 2)
    heights = [
        columns(values, height=max(1, height), top=pair.top, tone=tone, cell=cell, gap=step - cell)
        for values, tone in drawn(pair)
    ]
    if len(heights) == 1:
        return [*heights[0], muted(ruler(pair.labels, step))]
    rows = [interleave(then, now, step, cell) for then, now in zip(*heights, strict=True)]
    return [*rows, muted(ruler(pair.labels, step))]


def interleave(then: Content, now: Content, step: int, cell: int) -> Content:
    """Put the columns of two windows beside each other."""
    starts = range(0, len(then.plain), step)
    pieces = (line(then[start : start + cell], now[start : start + cell], " " * (step - 2 * cell)) for start in starts)
    return line(*pieces)


def ruler(labels: tuple[str, ...], step: int) -> str:
    """Labels under their columns, leaving out those that would touch the one before."""
    text = ""
    for index, label in enumerate(labels):
        start = index * step
        if not text or start > len(text):
            text = text.ljust(start) + label
    return text
