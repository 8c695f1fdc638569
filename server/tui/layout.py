"""How a row's cells become one line: which columns fit, how wide they are, and where the order is marked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.strip import Strip

from server.tui.listing import Cell, Column, Order

GAP = 2
MOST_KEPT = 500
"""So many drawn lines are kept for when they come into sight again."""
Fitted = list[tuple[int, int]]
"""Columns by their index, each with its width in cells."""


def fit(columns: Sequence[Column], room: int) -> Fitted:
    """The columns that fit into `room` cells: those of the highest rank go first, growing ones share what is left."""
    chosen = list(range(len(columns)))
    while len(chosen) > 1 and _needs(columns, chosen) > room:
        chosen.remove(max(chosen, key=lambda index: (columns[index].rank, index)))
    growing = [index for index in chosen if columns[index].grow]
    spare = max(0, room - _needs(columns, chosen))
    extra = {index: spare // len(growing) for index in growing}
    return [(index, columns[index].width + extra.get(index, 0)) for index in chosen]


def _needs(columns: Sequence[Column], chosen: Sequence[int]) -> int:
    return sum(columns[index].width + GAP for index in chosen) - GAP


def drawn(cells: Sequence[Cell], columns: Sequence[Column], fitted: Fitted, lead: str) -> Content:
    """One line of cells behind its `lead`, one cell wide."""
    parts = [_cell(cells[index], columns[index], width) for index, width in fitted]
    return Content.assemble(lead, Content(" " * GAP).join(parts))


def _cell(cell: Cell, column: Column, width: int) -> Content:
    short = _content(cell, width).truncate(width, ellipsis=True)
    return short.pad_left(width - short.cell_length) if column.right else short.pad_right(width - short.cell_length)


def _content(cell: Cell, width: int) -> Content:
    content = Content(cell) if isinstance(cell, str) else cell
    return content if isinstance(content, Content) else content(width)


def titles(columns: Sequence[Column], order: Order) -> list[Cell]:
    """The heading, with the way of the order at the column that rows are ordered by."""
    way = "▼" if order.falling else "▲"
    return [_Ordered(each.title, way) if order.name and each.word == order.name else each.title for each in columns]


@dataclass(frozen=True, slots=True)
class _Ordered:
    """A title that leaves a cell for the way of the order."""

    title: Cell
    way: str

    def __call__(self, width: int) -> Content:
        title = _content(self.title, width - 1).truncate(width - 1, ellipsis=True)
        return Content.assemble(title, Content.styled(self.way, "bold $text-primary"))


class Kept:
    """The lines of rows, drawn once as long as each looks the same, wherever it is scrolled to."""

    def __init__(self) -> None:
        """Nothing was drawn yet."""
        self._lines: dict[str, tuple[object, Strip]] = {}

    def line(self, key: str, look: object, draw: Callable[[], Strip]) -> Strip:
        """The line of the row called `key`, drawn anew if it looks otherwise than before."""
        before = self._lines.get(key)
        if before is None or before[0] != look:
            if len(self._lines) > MOST_KEPT:
                self._lines.clear()
            before = self._lines[key] = (look, draw())
        return before[1]


def word_at(columns: Sequence[Column], fitted: Fitted, x: int) -> str:
    """The name of the column under the cell `x` of a line; empty where there is none, or it has no name."""
    edge = 1
    for index, width in fitted:
        edge += width + GAP
        if x < edge:
            return columns[index].word
    return ""
