"""Jump mode: a letter on everything that can take the keyboard; typing it goes there."""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Label

LETTERS = "asdfghjkl" + "".join(letter for letter in ascii_lowercase if letter not in "asdfghjkl")
"""The home row first."""


class JumpScreen(ModalScreen[Widget | None]):
    """Answers with the widget whose letter was typed, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Stay")]

    def __init__(self, targets: Sequence[Widget]) -> None:
        """Take the widgets in sight, from the top left on."""
        super().__init__()
        self.targets = dict(zip(LETTERS, targets, strict=False))

    def compose(self) -> ComposeResult:
        """One label a widget, at its corner."""
        for letter, widget in self.targets.items():
            label = Label(f" {letter} ", classes="jump")
            label.styles.offset = (widget.region.x + 1, widget.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """Go where the letter says; any other key stays."""
        event.stop()
        self.dismiss(self.targets.get(event.key))


def targets(widgets: Sequence[Widget]) -> list[Widget]:
    """Those that can be seen and take the keyboard, row by row."""
    seen = [widget for widget in widgets if widget.focusable and widget.region.size]
    return sorted(seen, key=lambda widget: (widget.region.y, widget.region.x))
