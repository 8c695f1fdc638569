"""All of one row on a page of its own: what is behind `enter`, until a view has more to say."""

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from server.tui.query import Value
from server.tui.titles import SteadyTitle
from server.tui.words import line, lines, muted, plain


class Page(VerticalScroll):
    """A scrolled text in a frame; it has the keyboard while it is there."""

    border_title = SteadyTitle()
    shown: Content | None = None

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static(id="text")

    def show(self, title: str, content: Content) -> None:
        """Put the text, if it is another."""
        self.border_title = title
        if self.shown is None or not self.shown.is_same(content):
            self.shown = content
            self.query_one("#text", Static).update(content)


def definitions(values: Mapping[str, Value]) -> Content:
    """Each field with all that it says."""
    wide = max((len(name) for name in values), default=0)
    return lines(*(line(muted(f"{name:<{wide}}  "), text_of(value)) for name, value in values.items()))


def text_of(value: Value) -> str:
    """A field as it reads."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else plain(value, 10)
