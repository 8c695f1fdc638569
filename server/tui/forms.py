"""Dialogs with fields: what a campaign or a survey is to be, with what would follow while it is being typed."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label, Select, Static

from server.tui import campaign, counting
from server.tui.acts import Act
from server.tui.campaign import fleet_size, free_tasks
from server.tui.confirm import Dialog
from server.tui.watcher import Snapshot
from server.tui.words import lines, muted, toned
from shared.modes import Mode
from shared.tasks import Task


class Form(Dialog):
    """Fields above, what follows from them below; nothing can be started while one of them is wrong."""

    TITLE = ""
    VERB = ""
    FIELDS: ClassVar[dict[str, str]] = {}
    """Each text field's name on screen."""

    def __init__(self, snapshot: Snapshot, tasks: tuple[Task, ...], home: Path) -> None:
        """Take what there is to ask about."""
        super().__init__(home)
        self.snapshot, self.tasks = snapshot, tasks
        self.fleet = fleet_size(snapshot)

    def compose(self) -> ComposeResult:
        """The choices, the fields with a hint each, then what follows from them."""
        values = self.values(self.tasks[0])
        with Vertical(id="dialog") as dialog:
            dialog.border_title = self.heading()
            yield from self.subject()
            yield from self.choices()
            for name, title in self.FIELDS.items():
                with Horizontal(classes="field"):
                    yield Label(title)
                    yield Input(values.get(name, ""), id=name, compact=True)
                    yield Static(id=f"{name}-hint", classes="hint")
            yield from self.seal()
            yield from self.buttons(self.VERB, danger=False)

    def heading(self) -> str:
        """What the frame says."""
        return self.TITLE or ""

    def subject(self) -> ComposeResult:
        """What it is about: one of the tasks."""
        yield from choice("Task", [(f"{task.name} · {task.title}", task.name) for task in self.tasks], "task")

    def seal(self) -> ComposeResult:
        """What is asked for last, once all else is right."""
        yield from ()

    def choices(self) -> ComposeResult:
        """More fields that offer a few answers."""
        yield from ()

    def values(self, task: Task) -> dict[str, str]:  # noqa: ARG002 - a form may start empty
        """What the fields hold at first."""
        return {}

    def hints(self) -> dict[str, str]:
        """What belongs into each field."""
        raise NotImplementedError

    def read(self, typed: dict[str, str]) -> Act | dict[str, str]:
        """The act, or what is wrong by the field's name."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Start at the first field that can be changed."""
        self.check()
        next(field for field in self.query(Input) if field.focusable).focus()

    @on(Input.Changed)
    @on(Select.Changed)
    def check(self) -> None:
        """Show each field's problem beside it, or what would happen."""
        found = self.read({name: self.query_one(f"#{name}", Input).value.strip() for name in self.FIELDS})
        wrong = {} if isinstance(found, Act) else found
        for name, hint in self.hints().items():
            text = toned(f"✕ {wrong[name]}", "$text-error") if name in wrong else muted(hint)
            self.query_one(f"#{name}-hint", Static).update(text)
        self.query_one("#go", Button).disabled = bool(wrong)
        if isinstance(found, Act):
            self.describe(found)
        else:
            self._refuse(wrong)

    @on(Input.Submitted)
    def submit(self) -> None:
        """Enter in a field starts, once every field is right."""
        if not self.query_one("#go", Button).disabled:
            self.go()

    def chosen(self) -> Task:
        """The task chosen."""
        name = self.query_one("#task", Select).value
        return next(task for task in self.tasks if task.name == name)

    def _refuse(self, wrong: dict[str, str]) -> None:
        self.act = None
        named = ", ".join(self.FIELDS[name].lower() for name in wrong)
        self.query_one("#consequences", Static).update(
            lines(muted("Not yet"), toned(f"✕ set right: {named}", "$text-error"))
        )
        self.query_one("#command", Static).update("")


def choice(title: str, options: Sequence[tuple[str, str]], name: str) -> ComposeResult:
    """A field that offers a few answers, the first of them at once."""
    with Horizontal(classes="field"):
        yield Label(title)
        yield Select(options, value=options[0][1], allow_blank=False, compact=True, id=name)


class StartDialog(Form):
    """Asks for a campaign, and prices it."""

    TITLE = "Start rounds"
    VERB = "Start"
    FIELDS: ClassVar[dict[str, str]] = {
        "rounds": "Rounds",
        "start": "Rows from",
        "end": "Rows until",
        "base": "Version",
        "cohort": "Cohort",
        "quorum": "Quorum",
        "deadline": "Deadline",
    }

    def __init__(self, snapshot: Snapshot, home: Path) -> None:
        """Offer the tasks that no run is working on."""
        super().__init__(snapshot, free_tasks(snapshot), home)
        self.usual = campaign.usual_rounds(self.tasks[0], "local")

    def choices(self) -> ComposeResult:
        """Who adds the noise."""
        yield from choice("Noise", campaign.modes(self.tasks[0]), "mode")

    @on(Select.Changed, "#task")
    def offer(self) -> None:
        """Offer the modes of the task that was chosen."""
        offered, select = campaign.modes(self.chosen()), self.query_one("#mode", Select)
        kept = self.mode()
        select.set_options(offered)
        select.value = kept if kept in [mode for _, mode in offered] else "local"
        self.follow()

    @on(Select.Changed, "#mode")
    def follow(self) -> None:
        """Take the rounds that the task has in this mode, unless a person wrote others."""
        rounds, usual = self.query_one("#rounds", Input), campaign.usual_rounds(self.chosen(), self.mode())
        if rounds.value.strip() == self.usual:
            rounds.value = usual
        self.usual = usual

    def mode(self) -> Mode:
        """The mode chosen."""
        known: dict[str, Mode] = {str(mode): mode for mode in campaign.MODES}
        return known.get(str(self.query_one("#mode", Select).value), "local")

    def values(self, task: Task) -> dict[str, str]:
        """The task's rounds, and what `covey start` takes by itself."""
        return {
            "rounds": campaign.usual_rounds(task, "local"),
            "cohort": str(self.fleet),
            "quorum": str(campaign.usual_quorum(self.fleet)),
            "deadline": campaign.DEADLINE,
        }

    def hints(self) -> dict[str, str]:
        """What belongs into each field."""
        newest = campaign.newest_version(self.chosen(), self.snapshot)
        return {
            "rounds": campaign.room(self.chosen(), self.mode()),
            "start": "a date, or nothing for all",
            "end": "a date, not included",
            "base": f"to go on from; nothing for the newest, {newest}",
            "cohort": f"devices asked a round, of {self.fleet}",
            "quorum": "answers that a round needs",
            "deadline": "seconds that devices have to answer",
        }

    def read(self, typed: dict[str, str]) -> Act | dict[str, str]:
        """The campaign, or what is wrong with it."""
        draft, task = campaign.Draft(**typed, mode=self.mode()), self.chosen()
        wrong = campaign.problems(draft, task, self.snapshot)
        return wrong or campaign.start(task, draft, self.snapshot)


class SurveyDialog(Form):
    """Asks for a survey, and prices it."""

    TITLE = "Take a survey"
    VERB = "Survey"
    FIELDS: ClassVar[dict[str, str]] = {"start": "Rows from", "end": "Rows until"}

    def choices(self) -> ComposeResult:
        """What the counts are to be."""
        yield from choice("Role", list(counting.ROLES.items()), "role")

    def hints(self) -> dict[str, str]:
        """What belongs into each field."""
        return {"start": "a date, or nothing for all", "end": "a date, not included"}

    def read(self, typed: dict[str, str]) -> Act | dict[str, str]:
        """The survey, or what is wrong with it."""
        role = str(self.query_one("#role", Select).value)
        wrong = campaign.window_problems(typed["start"], typed["end"])
        return wrong or counting.survey(self.chosen(), role, typed["start"], typed["end"], self.snapshot)
