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
        """Speak of this table from now on; while a person types, of the one that is searched."""
        if table is not self.table and not self.typing:
            self.table = table
            with self.prevent(Input.Changed):
                self.field.value = str(table.found) if table else ""
            self.wrong = ""
        self.tell()

    @property
    def field(self) -> Input:
        """What is typed into."""
        return self.query_one("#search", Input)

    @property
    def typing(self) -> bool:
        """Whether the field has the keyboard, also before it was told so."""
        return self.screen.focused is self.field

    def open(self) -> None:
        """Let a person type."""
        self.display = True
        self.field.display = True
        self.screen.set_focus(self.field)  # at once, so that what is typed next comes here

    def take(self) -> None:
        """Search for what is typed, as far as it can be understood; until then show what was found before."""
        try:
            self._find(self.field.value)
        except InputError as error:
            self.wrong = str(error)
            self.tell()

    def search(self, query: str) -> None:
        """Search the table for this, and show it as if it was typed; raise `InputError` if it cannot be understood."""
        if self.table is not None:
            self._find(query)
            with self.prevent(Input.Changed):
                self.field.value = query
            self.tell()

    def _find(self, query: str) -> None:
        """Search the table; what is in the field is a person's, and stays."""
        if self.table is not None:
            self.table.search(parse(query, self.table.names))
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
        searched = bool(self.field.value) or self.typing
        self.query_one("#slash").display = self.field.display = searched
        self.display = bool(table and (searched or table.marked or table.order.name))
        self.set_class(bool(self.wrong), "-wrong")
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
