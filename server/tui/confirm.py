"""Dialogs that say what will happen, and the command that does it, before anything happens."""

from collections.abc import Callable
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
from shared.errors import InputError

MOST_LINES = 3
"""So many commands are shown in a dialog, the rest counted."""
MOVED = "This has changed since you opened it."
GONE = "This is no longer what can be done: esc, and look again."


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

    def describe(self, act: Act, news: str = "") -> None:
        """Say what `act` would do, below news of it if there are any."""
        self.act = act
        happens = (line(toned("▸ ", "$text-primary"), text) for text in act.consequences)
        told = [toned(f"▲ {news}", "$text-warning")] if news else []
        self.query_one("#consequences", Static).update(lines(*told, muted("What will happen"), *happens))
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

    def __init__(self, act: Act, home: Path, anew: Callable[[], Act | None] | None = None) -> None:
        """Take the act, the directory it works on, and what makes the act again from what the store says by then."""
        super().__init__(home)
        self.asked, self.anew = act, anew
        self.gone = False

    def compose(self) -> ComposeResult:
        """The consequences and the command of the act, and a field for the name if it has to be typed."""
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self.asked.title
            if self.asked.typed:
                yield NameField(self.asked.typed)
            yield from self.buttons(self.asked.verb, danger=self.asked.danger)

    def on_mount(self) -> None:
        """A dangerous act needs a move to its button, a final one its name; a harmless one only enter."""
        self.describe(self.asked)
        self.query_one("#go", Button).disabled = bool(self.asked.typed)
        first = "#name" if self.asked.typed else "#cancel" if self.asked.danger else "#go"
        self.query_one(first).focus()

    def renew(self) -> None:
        """Say what the act would do now; one that cannot be done any more, or became another, is not carried out."""
        if self.act is None or self.anew is None or self.gone:
            return
        try:
            now = self.anew()
        except InputError:
            now = None
        if now is None or (now.title, now.commands, now.typed) != (self.act.title, self.act.commands, self.act.typed):
            self.gone = True
            self.act = None
            self.query_one("#consequences", Static).update(toned(f"✕ {GONE}", "$text-error"))
            self.query_one("#command", Static).update("")
            self.query_one("#go", Button).disabled = True
            self.query_one("#cancel").focus()
        elif now != self.act:
            self.describe(now, MOVED)

    @on(Input.Changed, "#name")
    def compare(self, message: Input.Changed) -> None:
        """Let the act go on once its name is typed."""
        self.query_one("#go", Button).disabled = self.gone or message.value.strip() != self.asked.typed

    @on(Input.Submitted, "#name")
    def submit(self) -> None:
        """Enter after the name goes on."""
        if not self.query_one("#go", Button).disabled:
            self.go()


class NameField(Vertical):
    """Where a person types the name of what is about to be done for good; after another name it says which is meant."""

    def __init__(self, typed: str) -> None:
        """Take the name."""
        super().__init__(id="ask")
        self.typed = typed

    def compose(self) -> ComposeResult:
        """The field, and below it what is wrong with what was typed."""
        with Horizontal(classes="field"):
            yield Label(line("This cannot be undone. Type ", strong(self.typed), " to go on: "))
            yield Input(id="name", compact=True)
        yield Static(id="other")

    @on(Input.Changed, "#name")
    def forget(self) -> None:
        """What is typed now was not entered yet."""
        self.query_one("#other").display = False

    @on(Input.Submitted, "#name")
    def correct(self, message: Input.Submitted) -> None:
        """Say what has to be typed, after something else was."""
        other, said = message.value.strip(), self.query_one("#other", Static)
        said.display = other != self.typed
        but = f"; that was {other}" if other else ""
        said.update(line(toned("✕ type ", "$text-error"), strong(self.typed), toned(but, "$text-error")))


def shell(act: Act, home: Path) -> list[Content]:
    """The commands of an act as a person would type them."""
    shown = [toned(command_line(words, home), "$text-primary") for words in act.commands[:MOST_LINES]]
    others = len(act.commands) - len(shown)
    return [*shown, *([muted(f"and {others} more")] if others > 0 else [])]
