"""Dialogs that say what will happen, and the command that does it, before anything happens."""

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Select, Static

from server.tui.acts import Act, command_line
from server.tui.campaign import Draft, fleet_size, free_tasks, problems, start
from server.tui.watcher import Snapshot
from server.tui.words import line, lines, muted, toned
from shared.tasks import Task


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


class StartDialog(Dialog):
    """Asks for a campaign, field by field, and prices it while it is being typed."""

    FIELDS: ClassVar[dict[str, tuple[str, str]]] = {
        "rounds": ("Rounds", "each makes one version"),
        "start": ("Rows from", "a date, or nothing for all"),
        "end": ("Rows until", "a date, not included"),
        "quorum": ("Quorum", ""),
    }

    def __init__(self, snapshot: Snapshot, home: Path) -> None:
        """Take what there is to start from."""
        super().__init__(home)
        self.snapshot, self.tasks = snapshot, free_tasks(snapshot)
        self.fleet = fleet_size(snapshot)

    def compose(self) -> ComposeResult:
        """Fields with a hint each, then what follows from them."""
        first = self.tasks[0]
        values = {"rounds": str(first.training.rounds), "quorum": str(max(1, -(-2 * self.fleet // 3)))}
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "Start rounds"
            with Horizontal(classes="field"):
                yield Label("Task")
                names = [(f"{task.name} · {task.title}", task.name) for task in self.tasks]
                yield Select(names, value=first.name, allow_blank=False, compact=True, id="task")
            for name, (title, _) in self.FIELDS.items():
                with Horizontal(classes="field"):
                    yield Label(title)
                    yield Input(values.get(name, ""), id=name, compact=True, select_on_focus=False)
                    yield Static(id=f"{name}-hint", classes="hint")
            yield from self.buttons("Start", danger=False)

    def on_mount(self) -> None:
        """Start at the first number that people change."""
        self.query_one("#rounds", Input).focus()
        self.check()

    @on(Input.Changed)
    @on(Select.Changed)
    def check(self) -> None:
        """Show each field's problem beside it, or what the campaign would do."""
        draft = Draft(**{name: self.query_one(f"#{name}", Input).value.strip() for name in self.FIELDS})
        wrong = problems(draft, self.fleet)
        for name, (_, hint) in self.FIELDS.items():
            text = toned(f"✕ {wrong[name]}", "$text-error") if name in wrong else muted(hint or self._quorum_hint())
            self.query_one(f"#{name}-hint", Static).update(text)
        self.query_one("#go", Button).disabled = bool(wrong)
        if wrong:
            self._refuse(wrong)
        else:
            self.describe(start(self.chosen(), draft, self.snapshot))

    @on(Input.Submitted)
    def submit(self) -> None:
        """Enter in a field starts, once every field is right."""
        self.go()

    def chosen(self) -> Task:
        """The task chosen."""
        name = self.query_one("#task", Select).value
        return next(task for task in self.tasks if task.name == name)

    def _quorum_hint(self) -> str:
        return f"replies a round needs, of {self.fleet}"

    def _refuse(self, wrong: dict[str, str]) -> None:
        self.act = None
        named = ", ".join(self.FIELDS[name][0].lower() for name in wrong)
        self.query_one("#consequences", Static).update(
            lines(muted("Not yet"), toned(f"✕ set right: {named}", "$text-error"))
        )
        self.query_one("#command", Static).update("")
