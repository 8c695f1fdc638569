"""The rows of a table that are in sight, drawn line by line; a line that looks as before is not drawn again."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual.geometry import Region
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from server.tui.layout import Fitted, Kept, drawn, fit, titles
from server.tui.listing import Cell, Column, Listing, Order, listing_of

MARK, PLAIN = "◆", " "
"""What stands left of a marked row, and of any other."""


class RowLines(ScrollView, inherit_bindings=False):
    """A heading and rows under it; drawing costs as much as the rows in sight."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--heading", "table--cursor"}

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take the columns from the most to the least left."""
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.listing: Listing = listing_of((), self.columns)
        self.order = Order()
        self.marked: set[str] = set()
        self.cursor = 0
        self._items: Sequence[Any] = ()
        self._looks: dict[int, object] = {}
        self._kept = Kept()

    def fitting(self) -> Fitted:
        """The columns that fit the present width, as `(index, width)`."""
        return fit(self.columns, self.size.width - 2)

    def redraw(self) -> None:
        """Draw the lines in sight that would look different now, and no others."""
        for y, before in self._looks.items():
            if y < self.size.height and self._look(y) != before:
                self.refresh(Region(0, y, self.size.width, 1))

    def _look(self, y: int) -> object:
        """All that a line is drawn from, comparable."""
        if y == 0:
            return self.order
        place = y - 1 + self.scroll_offset.y
        if place >= len(self._items):
            return None
        item = self._items[place]
        return place == self.cursor, self.listing.key(item) in self.marked, self.listing.row(item)[1]

    def render_line(self, y: int) -> Strip:
        """The heading on the first line, then the rows from the scroll position on."""
        self._looks[y] = self._look(y)
        if y == 0:
            return self._strip(titles(self.columns, self.order), self.get_visual_style("table--heading"))
        place = y - 1 + self.scroll_offset.y
        if place >= len(self._items):
            return Strip([Segment(" " * self.size.width, self.rich_style)])
        item = self._items[place]
        style = self.get_visual_style("table--cursor") if place == self.cursor else self.visual_style
        key, look = self.listing.key(item), (self._looks[y], style, self.size.width)
        lead = MARK if key in self.marked else PLAIN
        return self._kept.line(key, look, lambda: self._strip(self.listing.row(item)[0], style, lead))

    def _strip(self, cells: Sequence[Cell], style: Style, lead: str = PLAIN) -> Strip:
        if not self.size.width:
            return Strip.blank(0)
        content = drawn(cells, self.columns, self.fitting(), lead)
        return Visual.to_strips(self, content, self.size.width, 1, style, pad=True, apply_selection=False)[0]
