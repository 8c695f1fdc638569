"""Dialogs that say what will happen, and the command that does it, before anything happens."""

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from server.tui.commands import Act, command_line
from server.tui.words import line, lines, muted, strong, toned

MOST_LINES = 3
"""So many commands are shown in a dialog, the rest counted."""


class Dialog(ModalScreen[Act | None]):
    """Answers with the act to carry out, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, home: Path) -> None:
        """Take the directory that the command names."""
        super().__init__()
        self.home = home
        self.act: Act | None = None

    def buttons(self, verb: str, *, danger: bool) -> ComposeResult:
        """What happens, the command, and the two ways out."""
        yield Static(id="consequences")
        yield Static(id="command")
        with Horizontal(id="buttons"):
            yield Button(verb, id="go", variant="error" if danger else "primary", compact=True)
            yield Button("Cancel", id="cancel", compact=True)
            yield Label(muted("tab moves · enter chooses · esc cancels"), id="keys")

    def describe(self, act: Act) -> None:
        """Say what `act` would do."""
        self.act = act
        happens = (line(toned("▸ ", "$text-primary"), text) for text in act.consequences)
        self.query_one("#consequences", Static).update(lines(muted("What will happen"), *happens))
        self.query_one("#command", Static).update(lines(muted("The same from a shell"), *shell(act, self.home)))

    @on(Button.Pressed, "#go")
    def go(self) -> None:
        """Carry the act out."""
        if self.act is not None:
            self.dismiss(self.act)

    @on(Button.Pressed, "#cancel")
    def leave(self) -> None:
        """Do nothing."""
        self.dismiss(None)


class ConfirmDialog(Dialog):
    """Asks once before an act; before one that cannot be undone, for the name of what it is about."""

    def __init__(self, act: Act, home: Path) -> None:
        """Take the act and the directory it works on."""
        super().__init__(home)
        self.asked = act

    def compose(self) -> ComposeResult:
        """The consequences and the command of the act, and a field for the name if it has to be typed."""
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self.asked.title
            if self.asked.typed:
                yield from name_field(self.asked.typed)
            yield from self.buttons(self.asked.verb, danger=self.asked.danger)

    def on_mount(self) -> None:
        """A dangerous act needs a move to its button, a final one its name; a harmless one only enter."""
        self.describe(self.asked)
        self.query_one("#go", Button).disabled = bool(self.asked.typed)
        first = "#name" if self.asked.typed else "#cancel" if self.asked.danger else "#go"
        self.query_one(first).focus()

    @on(Input.Changed, "#name")
    def compare(self, message: Input.Changed) -> None:
        """Let the act go on once its name is typed."""
        self.query_one("#go", Button).disabled = message.value.strip() != self.asked.typed

    @on(Input.Submitted, "#name")
    def submit(self) -> None:
        """Enter after the name goes on."""
        if not self.query_one("#go", Button).disabled:
            self.go()


def name_field(typed: str) -> ComposeResult:
    """Where a person types the name of what is about to be done for good."""
    with Horizontal(classes="field", id="ask"):
        yield Label(line("This cannot be undone. Type ", strong(typed), " to go on: "))
        yield Input(id="name", compact=True)


def shell(act: Act, home: Path) -> list[Content]:
    """The commands of an act as a person would type them."""
    shown = [toned(command_line(words, home), "$text-primary") for words in act.commands[:MOST_LINES]]
    others = len(act.commands) - len(shown)
    return [*shown, *([muted(f"and {others} more")] if others > 0 else [])]
