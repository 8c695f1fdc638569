"""Dialogs that say what will happen, and the command that does it, before anything happens."""

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Label, Static

from server.tui.acts import Act, command_line
from server.tui.words import line, lines, muted, toned


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
        shown = Content.styled(command_line(act, self.home), "$text-primary")
        self.query_one("#command", Static).update(lines(muted("The same from a shell"), shown))

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
    """Asks once before an act."""

    def __init__(self, act: Act, home: Path) -> None:
        """Take the act and the directory it works on."""
        super().__init__(home)
        self.asked = act

    def compose(self) -> ComposeResult:
        """The consequences and the command of the act."""
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self.asked.title
            yield from self.buttons(self.asked.verb, danger=self.asked.danger)

    def on_mount(self) -> None:
        """A dangerous act needs a move to its button; a harmless one only enter."""
        self.describe(self.asked)
        self.query_one("#cancel" if self.asked.danger else "#go", Button).focus()
