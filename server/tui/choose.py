"""A dialog that asks for one of a few."""

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from server.tui.words import line, muted, strong


class ChoiceDialog(ModalScreen[str | None]):
    """Answers with the name chosen, or with nothing; a name's first letter chooses it too."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, options: Mapping[str, str]) -> None:
        """Take the names, each with what it is."""
        super().__init__()
        self.asked, self.options = title, options

    def compose(self) -> ComposeResult:
        """The names below each other."""
        wide = max(len(name) for name in self.options)
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self.asked
            yield OptionList(
                *(
                    Option(line(strong(f"{name:<{wide}}  "), muted(what)), id=name)
                    for name, what in self.options.items()
                ),
                compact=True,
            )
            yield Label(muted("↑ ↓ move · enter or the first letter chooses · esc cancels"))

    @on(OptionList.OptionSelected)
    def choose(self, message: OptionList.OptionSelected) -> None:
        """Answer with the name."""
        self.dismiss(message.option_id)

    def on_key(self, event: object) -> None:
        """A first letter answers."""
        letter = getattr(event, "character", None)
        named = [name for name in self.options if letter and name.startswith(letter)]
        if len(named) == 1:
            self.dismiss(named[0])
