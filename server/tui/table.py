"""A table that draws only the rows in sight, and drops its least important columns where there is no room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

GAP = 2

Cell = Content | str | Callable[[int], Content]
"""What a cell holds: text, or something that draws itself into a width. Equal cells are not drawn again."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: columns of the highest `rank` are dropped first; `grow` takes what width is left."""

    title: Cell
    width: int
    rank: int = 0
    right: bool = False
    grow: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a stable key, and a cell for each column."""

    key: str
    cells: tuple[Cell, ...]


class Table(ScrollView, can_focus=True):
    """Rows under a fixed heading, with a cursor; drawing costs as much as the rows in sight."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--heading", "table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
    ]

    @dataclass
    class Highlighted(Message):
        """The cursor rests on another row."""

        table: "Table"
        key: str

        @property
        def control(self) -> "Table":
            """The table that speaks."""
            return self.table

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take the columns from the most to the least left."""
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._rows: tuple[Row, ...] = ()
        self.cursor = 0

    @property
    def key(self) -> str | None:
        """The key of the row under the cursor, if there is one."""
        return self._rows[self.cursor].key if self._rows else None

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the rows; the cursor stays with its key."""
        if tuple(rows) == self._rows:
            return
        before = self.key
        self._rows = tuple(rows)
        found = next((index for index, row in enumerate(rows) if row.key == before), None)
        self.cursor = found if found is not None else min(self.cursor, max(0, len(rows) - 1))
        self.virtual_size = Size(0, len(rows) + 1)
        self.refresh()
        if self.key != before and self.key is not None:
            self.post_message(self.Highlighted(self, self.key))

    def select(self, key: str) -> None:
        """Put the cursor on the row called `key`, if there is one."""
        for index, row in enumerate(self._rows):
            if row.key == key:
                self._move_to(index)

    def action_move(self, step: int) -> None:
        """Move the cursor by rows."""
        self._move_to(self.cursor + step)

    def action_page(self, step: int) -> None:
        """Move the cursor by a screenful."""
        self._move_to(self.cursor + step * max(1, self.size.height - 2))

    def action_edge(self, step: int) -> None:
        """Move the cursor to the first or the last row."""
        self._move_to(0 if step < 0 else len(self._rows) - 1)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        if event.y >= 1:
            self._move_to(event.y - 1 + self.scroll_offset.y)

    def _move_to(self, index: int) -> None:
        index = min(max(index, 0), len(self._rows) - 1)
        if not self._rows or index == self.cursor:
            return
        self.cursor = index
        self.scroll_to_region(Region(0, index, 1, 2), animate=False, force=True)
        self.refresh()
        self.post_message(self.Highlighted(self, self._rows[index].key))

    def fitting(self) -> list[tuple[int, int]]:
        """The columns that fit the present width, as `(index, width)`."""
        room = self.size.width - 2
        chosen = list(range(len(self._columns)))
        while len(chosen) > 1 and self._needs(chosen) > room:
            chosen.remove(max(chosen, key=lambda index: (self._columns[index].rank, index)))
        growing = [index for index in chosen if self._columns[index].grow]
        spare = max(0, room - self._needs(chosen))
        extra = {index: spare // len(growing) for index in growing}
        return [(index, self._columns[index].width + extra.get(index, 0)) for index in chosen]

    def _needs(self, chosen: Sequence[int]) -> int:
        return sum(self._columns[index].width + GAP for index in chosen) - GAP

    def render_line(self, y: int) -> Strip:
        """The heading on the first line, then the rows from the scroll position on."""
        if y == 0:
            titles = [column.title for column in self._columns]
            return self._strip(titles, self.get_visual_style("table--heading"))
        index = y - 1 + self.scroll_offset.y
        if index >= len(self._rows):
            return Strip([Segment(" " * self.size.width, self.rich_style)])
        at_cursor = index == self.cursor
        style = self.get_visual_style("table--cursor") if at_cursor else self.visual_style
        return self._strip(self._rows[index].cells, style)

    def _strip(self, cells: Sequence[Cell], style: Style) -> Strip:
        parts = [self._cell(cells[index], self._columns[index], width) for index, width in self.fitting()]
        content = Content.assemble(" ", Content(" " * GAP).join(parts))
        return Visual.to_strips(self, content, self.size.width, 1, style, pad=True, apply_selection=False)[0]

    @staticmethod
    def _cell(cell: Cell, column: Column, width: int) -> Content:
        drawn = Content(cell) if isinstance(cell, str) else cell
        content = drawn if isinstance(drawn, Content) else drawn(width)
        short = content.truncate(width, ellipsis=True)
        return short.pad_left(width - short.cell_length) if column.right else short.pad_right(width - short.cell_length)
