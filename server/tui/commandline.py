"""The line behind `:`: what is typed, what it may become, and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label, Static

from server.tui.vocabulary import History, Word, completed, completions
from server.tui.words import muted, strong, toned


class CommandLine(Vertical):
    """Hidden until it is opened; `tab` completes, the arrows go through what was said before, `esc` leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", priority=True),
        Binding("up", "recall(-1)", "Before", show=False, priority=True),
        Binding("down", "recall(1)", "After", show=False, priority=True),
        Binding("escape", "leave", "Leave", key_display="esc"),
    ]

    @dataclass
    class Said(Message):
        """A line was said."""

        line: str

    @dataclass
    class Left(Message):
        """The line was closed."""

    words: Sequence[Word] = ()
    snapshot: object = None

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Nothing was said yet."""
        super().__init__(id=id)
        self.history = History()

    def compose(self) -> ComposeResult:
        """What may follow, above what is typed."""
        yield Static(id="candidates")
        with Horizontal():
            yield Label(toned(":", "$text-primary"))
            yield Input(id="typed", compact=True, select_on_focus=False)

    @property
    def field(self) -> Input:
        """What is typed into."""
        return self.query_one("#typed", Input)

    @property
    def typing(self) -> bool:
        """Whether a command is being typed: a hidden field may have the keyboard before anything else is there."""
        return bool(self.display) and self.screen.focused is self.field

    def open(self, words: Sequence[Word], snapshot: object, typed: str = "") -> None:
        """Let a person type one of these words."""
        self.words, self.snapshot, self.display = words, snapshot, True
        with self.prevent(Input.Changed):
            self.field.value = typed
        self.field.cursor_position = len(typed)
        self.screen.set_focus(self.field)  # at once, so that what is typed next comes here
        self._offer()

    def refuse(self, why: str) -> None:
        """Say what is wrong with what was said, and leave it there to be mended."""
        self.set_class(True, "-wrong")
        self.query_one("#candidates", Static).update(toned(f"✕ {why}", "$text-error"))
        self.screen.set_focus(self.field)

    def close(self) -> None:
        """Go away."""
        self.display = False
        self.post_message(self.Left())

    @on(Input.Changed, "#typed")
    def _offer(self) -> None:
        """Show what the line may become."""
        self.set_class(False, "-wrong")
        self.query_one("#candidates", Static).update(self._candidates())

    def _candidates(self) -> Content:
        lines = self._completions()
        name, space, _ = self.field.value.partition(" ")
        if space:
            known = next((word for word in self.words if word.name == name), None)
            said = muted(f"{known} · {known.means}  ") if known else Content("")
            return Content.assemble(said, Content("  ").join(strong(each.rpartition(" ")[2]) for each in lines[:20]))
        if len(lines) == 1:
            [only] = [word for word in self.words if word.name == lines[0].strip()]
            return Content.assemble(strong(str(only)), muted(f" · {only.means}"))
        return Content("  ").join(strong(each.strip()) for each in lines)

    def _completions(self) -> list[str]:
        from server.tui.watcher import Snapshot

        snapshot = self.snapshot if isinstance(self.snapshot, Snapshot) else None
        return completions(self.field.value, self.words, snapshot)

    @on(Input.Submitted, "#typed")
    def _say(self, message: Input.Submitted) -> None:
        message.stop()
        said = message.value.strip()
        self.history.add(said)
        if said:
            self.post_message(self.Said(said))
        else:
            self.close()

    def action_complete(self) -> None:
        """Write out what all candidates have in common, once the keys before this one are in the field."""
        self.field.call_later(self._complete)

    def _complete(self) -> None:
        self._write(completed(self.field.value, self._completions()))

    def action_recall(self, step: int) -> None:
        """Show what was said before, in the place of what was typed before this key."""
        self.field.call_later(lambda: self._write(self.history.move(step)))

    def _write(self, line: str) -> None:
        self.field.value = line
        self.field.cursor_position = len(line)

    def action_leave(self) -> None:
        """Say nothing."""
        self.close()
