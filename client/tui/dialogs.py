"""Dialogs: a question before an act that changes what this device gives, and the help."""

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Label, Static

from client.tui.text import MUTED, stack, text

KEYS = {
    "← →  tab": "the view before, the next view",
    "1 … 5": "the views by number, except while labelling",
    "j k ↑ ↓": "move in a list; g and G go to its ends",
    "p": "pause, or take part again",
    "a  w": "Consent: agree, withdraw",
    "1 … 9": "Labels: what it was; s skips, u takes the last one back",
    "t": "the next task, if there are several",
    "ctrl+p": "everything else, colours too",
    "q": "leave; the agent goes on without this window",
}
WORDS = {
    "ε": "how much anyone could learn of one row; it only adds up",
    "δ": "the chance that this bound does not hold",
    "charge": "a request that was paid for before anything was computed",
    "sealed": "the reply is on disk and goes out as it is",
    "declined": "this device said no; the operator learns the category",
    "for, against": "what a column added to the answer's chance, or took",
}


class Confirm(ModalScreen[bool]):
    """Asks once. What has the keyboard first is neither the yes of a dangerous act nor that of many words."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "Cancel")]

    def __init__(self, title: str, words: Content, verb: str, *, first: str = "says", danger: bool = False) -> None:
        """Say what will happen in `words`; `first` is `says`, the words themselves, or `cancel`."""
        super().__init__()
        self._title, self._words, self._verb, self._first, self._danger = title, words, verb, first, danger

    def compose(self) -> ComposeResult:
        """What will happen, and two ways on."""
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self._title
            with VerticalScroll(id="says"):
                yield Static(self._words)
            with Horizontal(id="buttons"):
                yield Button(self._verb, id="go", variant="error" if self._danger else "primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)
                yield Label(text(("tab moves · enter chooses · esc cancels", MUTED)), id="keys")

    def on_mount(self) -> None:
        """A yes always takes a move to its button."""
        self.query_one(f"#{self._first}").focus()

    @on(Button.Pressed)
    def decide(self, event: Button.Pressed) -> None:
        """Go on, or do nothing."""
        self.dismiss(event.button.id == "go")


class Help(ModalScreen[None]):
    """Closes with escape, `?` or `q`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss(None)", "Close")]

    def compose(self) -> ComposeResult:
        """Keys, then words."""
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "Keys and words"
            dialog.border_subtitle = "esc closes"
            yield Static(stack(*_defined(KEYS), "", *_defined(WORDS)))


def _defined(entries: Mapping[str, str]) -> list[Content]:
    return [text((f"{term:<14}", "bold"), (meaning, MUTED)) for term, meaning in entries.items()]
