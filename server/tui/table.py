"""A table with a cursor: its rows are moved through, searched, ordered and marked."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.worker import Worker

from server.tui.arranging import Work, arranging, at_once, in_turns
from server.tui.layout import word_at
from server.tui.listing import Cell, Column, Listing, Order, Row, listing_of
from server.tui.query import Query, Value
from server.tui.rowlines import RowLines
from server.tui.titles import SteadyTitle

__all__ = ["Cell", "Column", "Listing", "Order", "Row", "Table"]

AT_ONCE = 1000
"""More items than these are searched and ordered in turns, beside the keys."""
REARRANGE_SECONDS = 1.0
"""A searched or ordered list is arranged anew this often at most; its rows in sight follow at once."""


class Table(RowLines, can_focus=True, inherit_bindings=False):
    """Rows under a fixed heading, with a cursor; they can be searched, ordered and marked."""

    border_title = SteadyTitle()
    border_subtitle = SteadyTitle()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "open", "All of the row", show=False),
        Binding("space", "mark", "Mark the row", show=False),
        Binding("asterisk", "mark_all", "Mark all rows, or none", show=False, key_display="*"),
        Binding("o", "order", "Order by the next column", show=False),
        Binding("O", "turn", "Turn the order round", show=False, key_display="O"),
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

    @dataclass
    class Opened(Message):
        """A person wants to see more of a row."""

        table: "Table"
        key: str

    @dataclass
    class Arranged(Message):
        """Rows were marked, ordered or searched."""

        table: "Table"

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take the columns from the most to the least left."""
        super().__init__(columns, id=id)
        self.found = Query()
        self._places: dict[str, int] | None = None
        self._arranged_at = 0.0
        self._arranger: Worker[None] | None = None

    @property
    def key(self) -> str | None:
        """The key of the row under the cursor, if there is one."""
        return self.listing.key(self._items[self.cursor]) if self._items else None

    @property
    def keys(self) -> list[str]:
        """The keys of the rows that are shown, in order."""
        return [self.listing.key(item) for item in self._items]

    @property
    def targets(self) -> list[str]:
        """The rows that an act is about: those marked and shown, or else the one under the cursor."""
        marked = [key for key in self.keys if key in self.marked] if self.marked else []
        return marked or ([self.key] if self.key is not None else [])

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that queries and orders may name: the columns', then those that have no column."""
        own = tuple(self.listing.fields(self.listing.items[0])) if self.listing.items else ()
        words = tuple(column.word for column in self.columns if column.word)
        return (*words, *(name for name in own if name not in words))

    def values(self) -> list[Mapping[str, Value]]:
        """What each row shown says, in order."""
        return [self.listing.fields(item) for item in self._items]

    def values_of(self, key: str) -> Mapping[str, Value]:
        """What the row called `key` says; nothing if it is not shown."""
        place = self._place_of(key)
        return {} if place is None else self.listing.fields(self._items[place])

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the rows; the cursor stays with its key."""
        self.list(listing_of(tuple(rows), self.columns))

    def list(self, listing: Listing) -> None:
        """Replace what is listed; its rows are made as they come into sight."""
        before, moved = self.key, listing.items is not self.listing.items
        self.listing = listing
        if self._asked and (self._arranges or time.monotonic() - self._arranged_at < REARRANGE_SECONDS):
            self._renew()
        elif moved or self._asked:
            self._arrange(before)
        self.redraw()

    def search(self, query: Query) -> None:
        """Show only what the query finds."""
        if query != self.found:
            self.found = query
            self._rearranged()

    def sort(self, order: Order) -> None:
        """Order the rows."""
        if order != self.order:
            self.order = order
            self._rearranged()

    def mark(self, keys: set[str]) -> None:
        """Mark these rows and no others."""
        self.marked = keys
        self.redraw()
        self.post_message(self.Arranged(self))

    def _rearranged(self) -> None:
        self._arrange(self.key)
        self.redraw()
        self.post_message(self.Arranged(self))

    def _renew(self) -> None:
        """Keep the rows and their order for now, as they are in the new list."""
        newer = {self.listing.key(item): item for item in self.listing.items}
        self._items = [newer.get(self.listing.key(item), item) for item in self._items]

    @property
    def _asked(self) -> bool:
        """Whether rows are searched for or ordered."""
        return bool(self.found.terms or self.order.name)

    @property
    def _arranges(self) -> bool:
        return self._arranger is not None and not self._arranger.is_finished

    def _arrange(self, before: str | None) -> None:
        """Arrange the rows; of thousands, those before are shown until it is done."""
        self._arranged_at = time.monotonic()
        work = arranging(self.listing, self.found, self.order)
        if self._arranger is not None:
            self._arranger.cancel()
        if self._asked and len(self.listing.items) > AT_ONCE:
            self._renew()
            self._arranger = self.run_worker(partial(self._arrange_beside, work))
        else:
            self._settle(at_once(work), before)

    async def _arrange_beside(self, work: Work) -> None:
        found = await in_turns(work)
        before = self.key
        self._items = found
        self._renew()  # the fleet may have moved meanwhile
        self._settle(self._items, before)
        self.redraw()
        self.post_message(self.Arranged(self))

    def _settle(self, items: Sequence[Any], before: str | None) -> None:
        """Show these; the cursor stays with its row, if it is among them."""
        self._items, self._places = items, None
        self.cursor = min(self.cursor, max(0, len(self._items) - 1))
        if before is not None and self.key != before and (place := self._place_of(before)) is not None:
            self.cursor = place
        size = Size(0, len(self._items) + 1)
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh()
        if self.key != before and self.key is not None:
            self.post_message(self.Highlighted(self, self.key))

    def _place_of(self, key: str) -> int | None:
        if self._places is None:
            self._places = {self.listing.key(item): place for place, item in enumerate(self._items)}
        return self._places.get(key)

    def select(self, key: str) -> None:
        """Put the cursor on the row called `key`, if there is one."""
        place = self._place_of(key)
        if place is not None:
            self._move_to(place)

    def action_move(self, step: int) -> None:
        """Move the cursor by rows."""
        self._move_to(self.cursor + step)

    def action_page(self, step: int) -> None:
        """Move the cursor by a screenful."""
        self._move_to(self.cursor + step * max(1, self.size.height - 2))

    def action_edge(self, step: int) -> None:
        """Move the cursor to the first or the last row."""
        self._move_to(0 if step < 0 else len(self._items) - 1)

    def action_open(self) -> None:
        """Ask for more of the row under the cursor."""
        if self.key is not None:
            self.post_message(self.Opened(self, self.key))

    def action_mark(self) -> None:
        """Mark the row under the cursor, or no longer; and go on to the next."""
        if self.key is not None:
            self.mark(self.marked ^ {self.key})
            self._move_to(self.cursor + 1)

    def action_mark_all(self) -> None:
        """Mark every row shown; or none, if all of them are."""
        shown = set(self.keys)
        self.mark(set() if shown <= self.marked else self.marked | shown)

    def action_order(self) -> None:
        """Order by the next column in sight, or by the list's own order after the last."""
        words = ["", *(self.columns[index].word for index, _ in self.fitting() if self.columns[index].word)]
        place = words.index(self.order.name) if self.order.name in words else 0
        self.sort(Order(name=words[(place + 1) % len(words)]))

    def action_turn(self) -> None:
        """Turn the order round."""
        if self.order.name:
            self.sort(Order(name=self.order.name, falling=not self.order.falling))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is; on the heading, order by that column, then turn it round."""
        at = event.get_content_offset(self)
        if at is None:
            return
        if at.y >= 1:
            self._move_to(at.y - 1 + self.scroll_offset.y)
        elif word := word_at(self.columns, self.fitting(), at.x):
            self.sort(Order(name=word, falling=self.order == Order(name=word)))

    def _move_to(self, place: int) -> None:
        place = min(max(place, 0), len(self._items) - 1)
        if not self._items or place == self.cursor:
            return
        left, self.cursor = self.cursor, place
        self.scroll_to_region(Region(0, place, 1, 2), animate=False, force=True)
        for each in (left, place):
            self.refresh(Region(0, each + 1 - self.scroll_offset.y, self.size.width, 1))
        self.post_message(self.Highlighted(self, self.listing.key(self._items[place])))
