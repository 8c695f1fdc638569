"""What the five views have in common: panels, and an empty state that says what to do next."""

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from server.tui.acts import Act
from server.tui.table import Table
from server.tui.watcher import Snapshot
from server.tui.words import lines, muted, strong


class Panel(Static):
    """A framed text with its title in the frame."""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take the title; the text comes with `update`."""
        super().__init__(id=id, classes="panel")
        self.border_title = title


class View(Container):
    """One of the five views: it shows a snapshot and keeps nothing but what the person selected."""

    snapshot: Snapshot | None = None
    now: float = 0.0

    def compose(self) -> ComposeResult:
        """The empty state, then what the view itself composes."""
        yield Static(classes="empty")
        with Container(classes="body"):
            yield from self.panels()

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
            self.query_one(".empty", Static).update(hint)
        else:
            self.fill(snapshot)

    def hint(self, snapshot: Snapshot) -> Content | None:
        """What to do next where there is nothing to show yet."""
        raise NotImplementedError

    def fill(self, snapshot: Snapshot) -> None:
        """Put the snapshot's values into the widgets."""
        raise NotImplementedError

    def offer(self, action: str) -> Act | None:  # noqa: ARG002 - most views offer nothing
        """What a key of this view would do to the row under the cursor, if anything."""
        return None

    def refill(self) -> None:
        """Show the same snapshot again, because the selection moved."""
        if self.snapshot is not None and not self.has_class("-empty"):
            self.fill(self.snapshot)

    def on_table_highlighted(self) -> None:
        """Details and the footer's offers follow the cursor."""
        self.refill()
        self.app.refresh_bindings()

    def focus_first(self) -> None:
        """Give the keyboard to the view's first table, or to the view itself while it is empty."""
        if self.can_focus:
            self.focus()
            return
        for table in self.query(Table):
            table.focus()
            return


def advice(what: str, *then: tuple[str, str]) -> Content:
    """An empty state: what is so, and each command with what it does."""
    steps = [lines(strong(command), muted(f"  {effect}")) for command, effect in then]
    return lines(what, *("" for _ in steps[:1]), *steps)


def framed(table: Table, title: str) -> Table:
    """A table with its title in the frame."""
    table.border_title = title
    table.add_class("panel")
    return table
