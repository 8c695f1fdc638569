"""The line at the foot of a view: what its list is searched for, ordered by, and which rows are marked."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Label, Static

from server.tui.query import Query, parse
from server.tui.table import Order, Table
from server.tui.words import line, muted, strong, toned
from shared.errors import InputError


class StatusLine(Horizontal):
    """Hidden while there is nothing to tell; `/` opens its field."""

    table: Table | None = None
    wrong = ""

    def compose(self) -> ComposeResult:
        """A mark, the field, and what came of it."""
        yield Label(toned("/", "$text-primary"), id="slash")
        yield Input(placeholder="state:refused  version:<7  name~foo  -word", id="search", compact=True)
        yield Static(id="found")

    def about(self, table: Table | None) -> None:
        """Speak of this table from now on."""
        if table is not self.table:
            self.table = table
            with self.prevent(Input.Changed):
                self.field.value = str(table.found) if table else ""
            self.wrong = ""
        self.tell()

    @property
    def field(self) -> Input:
        """What is typed into."""
        return self.query_one("#search", Input)

    def open(self) -> None:
        """Let a person type."""
        self.display = True
        self.field.display = True
        self.screen.set_focus(self.field)  # at once, so that what is typed next comes here

    def take(self, typed: str) -> None:
        """Search for what is typed, as far as it can be understood; until then show what was found before."""
        try:
            self.search(typed)
        except InputError as error:
            self.wrong = str(error)
            self.tell()

    def search(self, typed: str) -> None:
        """Search the table for what is typed; raise `InputError` if it cannot be understood."""
        if self.table is not None:
            self.table.search(parse(typed, self.table.names))
            with self.prevent(Input.Changed):
                self.field.value = typed
            self.wrong = ""
            self.tell()

    def clear(self) -> None:
        """Show every row again."""
        with self.prevent(Input.Changed):
            self.field.value = ""
        self.wrong = ""
        if self.table is not None:
            self.table.search(Query())
        self.tell()

    def tell(self) -> None:
        """Say how many rows are shown, in which order, and how many are marked."""
        table = self.table
        typing = self.field.has_focus
        searched = bool(self.field.value) or typing
        self.query_one("#slash").display = self.field.display = searched
        self.display = bool(table and (searched or table.marked or table.order.name))
        if table is not None:
            self.query_one("#found", Static).update(said(table, self.wrong, searched=searched))


def said(table: Table, wrong: str, *, searched: bool) -> Content:
    """What came of a search, an order and marks."""
    if wrong:
        return toned(f"✕ {wrong}", "$text-error")
    shown, among = len(table.keys), len(table.listing.items)
    parts = [muted(f"{shown} of {among}")] if searched else []
    if table.order.name:
        parts.append(ordered(table.order))
    if table.marked:
        parts.append(line(strong(f"◆ {len(table.targets)} marked"), muted(" space marks, * all")))
    return line(*parts, muted("esc ends") if parts else "", gap=" · ") if parts else Content("")


def ordered(order: Order) -> Content:
    """How the rows are ordered."""
    return muted(f"by {order.name} {'▼ falling' if order.falling else '▲ rising'}")
