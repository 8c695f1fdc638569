"""What the views have in common: panels, an empty state that says what to do next, search, marks, and pages of rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import DescendantFocus
from textual.message import Message
from textual.visual import VisualType
from textual.widgets import Input, Static

from server.tui.commandline import CommandLine
from server.tui.commands import Act
from server.tui.header import Line
from server.tui.page import Page, definitions
from server.tui.status import StatusLine
from server.tui.table import Table
from server.tui.titles import SteadyTitle
from server.tui.watcher import Snapshot
from server.tui.words import lines, muted, strong


class Panel(Static):
    """A framed text with its title in the frame; the same text again is not drawn again."""

    border_title = SteadyTitle()
    border_subtitle = SteadyTitle()
    shown: VisualType = ""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take the title; the text comes with `update`."""
        super().__init__(id=id, classes="panel")
        self.border_title = title

    def update(self, content: VisualType = "", *, layout: bool = False) -> None:
        """Show a text, if it is another; a panel's size comes from its view, so nothing is laid out anew."""
        before, self.shown = self.shown, content
        if isinstance(before, Content) and isinstance(content, Content) and before.is_same(content):
            return
        super().update(content, layout=layout)


class View(Container):
    """One of the views: it shows a snapshot and keeps nothing but what the person selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy the row's name", show=False),
        Binding("Y", "copy_row", "Copy the whole row", show=False, key_display="Y"),
        Binding("escape", "back", "Back", key_display="esc"),
    ]
    WORDS: ClassVar[dict[str, str]] = {}
    """What this view's own words and marks mean, for its help."""

    @dataclass
    class Go(Message):
        """A person wants to see a row of another view; `esc` there leads back here."""

        view: str
        table: str = ""
        key: str = ""

    @dataclass
    class Moved(Message):
        """A page was opened or closed."""

    @dataclass
    class Undoable(Message):
        """Something was done that `u` undoes."""

        words: str
        undo: Callable[[], object]

    snapshot: Snapshot | None = None
    now: float = 0.0
    opened: tuple[Table, str] | None = None

    def compose(self) -> ComposeResult:
        """The empty state, then what the view itself composes, a page over it, and a line below."""
        yield Line(classes="empty")
        with Container(classes="body"):
            yield from self.panels()
        yield Page(classes="page panel")
        yield StatusLine(classes="status")

    def panels(self) -> ComposeResult:
        """The view's widgets."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot, now: float) -> None:
        """Take a new snapshot, or a new time for the old one."""
        self.snapshot, self.now = snapshot, now
        hint = self.hint(snapshot)
        if self.can_focus != (hint is not None):
            self.can_focus = hint is not None
            self.set_class(self.can_focus, "-empty")
            self.focus_first()
        if hint is not None:
            self.query_one(".empty", Line).say(hint)
        else:
            self.fill(snapshot)
            self._fill_page()

    def hint(self, snapshot: Snapshot) -> Content | None:
        """What to do next where there is nothing to show yet."""
        raise NotImplementedError

    def fill(self, snapshot: Snapshot) -> None:
        """Put the snapshot's values into the widgets."""
        raise NotImplementedError

    def offer(self, action: str) -> Act | None:  # noqa: ARG002 - most views offer nothing
        """What a key of this view would do to the marked rows, or the row under the cursor, if anything."""
        return None

    def page(self, table: Table, key: str, width: int) -> tuple[str, Content] | None:  # noqa: ARG002 - for those that draw
        """All of one row, `width` cells wide, behind its title; None where the row is gone."""
        values = table.values_of(key)
        return (key, definitions(values)) if values else None

    def refill(self) -> None:
        """Show the same snapshot again, because the selection moved."""
        if self.snapshot is not None and not self.has_class("-empty"):
            self.fill(self.snapshot)

    def on_table_highlighted(self) -> None:
        """Details and the footer's offers follow the cursor."""
        self.follow()
        self.app.refresh_bindings()

    def follow(self) -> None:
        """Show what depends on the cursor; all of the view, where a view does not know better."""
        self.refill()

    def focus_first(self) -> None:
        """Give the keyboard to the view's first table, or to the view while it is empty; a command being typed keeps it."""
        if self.screen.query_one(CommandLine).typing:
            return
        if self.can_focus:
            self.screen.set_focus(self)
            return
        for table in self.query(Table):
            self.screen.set_focus(table)
            return

    def land(self, table: str, key: str) -> None:
        """Put the cursor on a row that a person came for from another view."""
        wanted = self.query_one(f"#{table}", Table)
        wanted.select(key)
        wanted.focus()

    # -- search and marks -------------------------------------------------------------------------

    @property
    def table(self) -> Table | None:
        """The table that has the keyboard, or had it last, or else the first."""
        focused = self.app.focused
        known = self.query_one(StatusLine).table if self.is_mounted else None
        return focused if isinstance(focused, Table) and self in focused.ancestors else known or self._first()

    def _first(self) -> Table | None:
        return next(iter(self.query(Table)), None)

    def action_search(self) -> None:
        """Ask for what to look for in the table in focus."""
        status = self.query_one(StatusLine)
        status.about(self.table)
        status.open()

    def search_for(self, query: str) -> None:
        """Show what a query finds in the table in focus; raise `InputError` if it is none."""
        status = self.query_one(StatusLine)
        status.about(self.table)
        status.search(query)
        self.refill()

    @on(Input.Changed, "#search")
    def narrow(self, message: Input.Changed) -> None:
        """Show what is found while it is typed."""
        message.stop()
        status = self.query_one(StatusLine)
        if message.value == status.field.value:  # an older text was typed over meanwhile
            status.take()
            self.refill()

    @on(Input.Submitted, "#search")
    def keep(self, message: Input.Submitted) -> None:
        """Go back to the rows that were found."""
        message.stop()
        self._refocus()

    def on_table_arranged(self, message: Table.Arranged) -> None:
        """Say what the list is searched for, ordered by, and how many rows are marked."""
        self.query_one(StatusLine).about(message.table)
        self.app.refresh_bindings()

    @on(DescendantFocus)
    def speak_of(self, event: DescendantFocus) -> None:
        """The line at the foot follows the keyboard."""
        if isinstance(event.widget, Table):
            self.query_one(StatusLine).about(event.widget)

    def action_copy(self) -> None:
        """Copy the names of the marked rows, or of the row under the cursor."""
        if self.table and (keys := self.table.targets):
            self.app.copy_to_clipboard("\n".join(keys))
            self.notify(f"Copied {', '.join(keys) if len(keys) < 4 else f'{len(keys)} names'}")

    def action_copy_row(self) -> None:
        """Copy all that the marked rows say, separated by tabs."""
        from server.tui.export import as_lines

        if self.table and (keys := self.table.targets):
            self.app.copy_to_clipboard(as_lines([self.table.values_of(key) for key in keys]))
            self.notify("Copied the row" if len(keys) == 1 else f"Copied {len(keys)} rows")

    # -- pages, and the way back ------------------------------------------------------------------

    def on_table_opened(self, message: Table.Opened) -> None:
        """Open a page about the row."""
        self.opened = (message.table, message.key)
        self._fill_page()
        if self.opened:
            self.add_class("-paged")
            self.screen.set_focus(self.query_one(Page))
            self.post_message(self.Moved())

    @property
    def page_title(self) -> str:
        """The title of the page that is open; empty while none is."""
        return str(self.query_one(Page).border_title or "") if self.opened else ""

    def _fill_page(self) -> None:
        if self.opened is None:
            return
        page = self.query_one(Page)
        found = self.page(*self.opened, max(20, self.size.width - 6))
        if found is None:
            self._close()
        else:
            page.show(*found)

    def _close(self) -> None:
        table, self.opened = self.opened[0] if self.opened else None, None
        self.remove_class("-paged")
        self.screen.set_focus(table or self)
        self.post_message(self.Moved())

    def can_go_back(self) -> bool:
        """Whether there is anything to leave within this view."""
        status = self.query_one(StatusLine)
        return bool(self.opened or status.display)

    def action_back(self) -> None:
        """Leave the page, end the search, forget marks and order; then go back to the view that led here."""
        status, table = self.query_one(StatusLine), self.table
        if self.opened:
            self._close()
        elif status.typing or (table and table.found.terms):
            status.clear()
            self._refocus()
        elif table and table.marked:
            marked = table.marked
            table.mark(set())
            self.post_message(self.Undoable(f"{len(marked)} marks forgotten", lambda: table.mark(marked)))
        elif table and table.order.name:
            table.sort(type(table.order)())
        else:
            self.app.call_later(self.app.run_action, "app.back")
        self.refill()
        self.app.refresh_bindings()

    def _refocus(self) -> None:
        if table := self.query_one(StatusLine).table:
            self.screen.set_focus(table)
        self.query_one(StatusLine).tell()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Offer the way back where there is one, and what is about rows only where there are rows."""
        if action == "back":
            return self.can_go_back() or bool(getattr(self.app, "trail", ()))
        return not self.has_class("-empty") if action in {"copy", "copy_row"} else True


def advice(what: str, *then: tuple[str, str]) -> Content:
    """An empty state: what is so, and each command with what it does."""
    steps = [lines(strong(command), muted(f"  {effect}")) for command, effect in then]
    return lines(what, *("" for _ in steps[:1]), *steps)


def framed(table: Table, title: str) -> Table:
    """A table with its title in the frame."""
    table.border_title = title
    table.add_class("panel")
    return table
