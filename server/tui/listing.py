"""What a table lists: rows that are made only as they come into sight."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textual.content import Content

from server.tui.query import Value

Cell = Content | str | Callable[[int], Content]
"""What a cell holds: text, or something that draws itself into a width. Equal cells are not drawn again."""


Made = tuple[tuple[Cell, ...], tuple[object, ...]]
"""A row's cells, and what each looks like."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: columns of the highest `rank` are dropped first; `grow` takes what width is left.

    `name` is its word in queries, orders and exports, by default its title in small letters.
    """

    title: Cell
    width: int
    rank: int = 0
    right: bool = False
    grow: bool = False
    name: str = ""

    @property
    def word(self) -> str:
        """The column's name, if it has one."""
        return self.name or (self.title.lower().replace(" ", "-") if isinstance(self.title, str) else "")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a stable key, a cell for each column, and what it says to queries where that is not the cells' text."""

    key: str
    cells: tuple[Cell, ...]
    fields: Mapping[str, Value] = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Things of any kind as rows: `cells` is asked for those in sight, `fields` for all once they are searched or ordered."""

    items: Sequence[Any]
    key: Callable[[Any], str]
    cells: Callable[[Any], tuple[Cell, ...]]
    fields: Callable[[Any], Mapping[str, Value]]
    _made: dict[str, Made] = field(default_factory=dict[str, Made], init=False, repr=False, compare=False)

    def row(self, item: Any) -> Made:
        """An item's cells with their looks, worked out once however often the row is scrolled."""
        key = self.key(item)
        if key not in self._made:
            cells = self.cells(item)
            self._made[key] = cells, tuple(look(cell) for cell in cells)
        return self._made[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """By which field rows are ordered; the list's own order where `name` is empty."""

    name: str = ""
    falling: bool = False


def look(cell: Cell) -> object:
    """What makes two cells look alike: Textual compares contents by their text alone."""
    return (cell.plain, tuple(cell.spans)) if isinstance(cell, Content) else cell


def listing_of(rows: Sequence[Row], columns: Sequence[Column]) -> Listing:
    """Rows that are made already; what a row does not say of its fields is read off its cells."""
    return Listing(
        items=rows,
        key=lambda row: row.key,
        cells=lambda row: row.cells,
        fields=lambda row: {**texts(row.cells, columns), **row.fields},
    )


def texts(cells: Sequence[Cell], columns: Sequence[Column], width: int = 40) -> dict[str, Value]:
    """What cells say, by their columns' names; columns without a name say nothing."""
    named = ((column.word, cell) for column, cell in zip(columns, cells, strict=True) if column.word)
    return {name: plain(cell, width) for name, cell in named}


def plain(cell: Cell, width: int = 40) -> str:
    """A cell's text."""
    if isinstance(cell, str):
        return cell
    return (cell if isinstance(cell, Content) else cell(width)).plain
