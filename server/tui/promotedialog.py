"""The dialog that asks in which way a version is to reach the fleet, and says whom it meets while that is typed."""

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Button, Input, Select

from server.tui import promoting
from server.tui.commands import Act
from server.tui.confirm import NameField
from server.tui.forms import Form, choice
from server.tui.promoting import Draft, Way
from server.tui.reach import terms_of
from server.tui.watcher import Snapshot
from shared.models import ModelVersion
from shared.tasks import Task


class PromoteDialog(Form):
    """A canary and how large, with or without a shadow, or all at once: that cannot be undone, so it asks for the name."""

    VERB = "Promote"
    FIELDS: ClassVar[dict[str, str]] = {"percent": "Canary"}

    def __init__(self, version: ModelVersion, task: Task, snapshot: Snapshot, home: Path) -> None:
        """Take the version; its task says which way is usual."""
        super().__init__(snapshot, (task,), home)
        self.version = version

    def heading(self) -> str:
        """The version."""
        return f"Promote version {self.version.number}"

    def subject(self) -> ComposeResult:
        """It is about this version alone."""
        yield from ()

    def chosen(self) -> Task:
        """The version's own task."""
        return self.tasks[0]

    def choices(self) -> ComposeResult:
        """The ways to the fleet."""
        yield from choice("Reaches", promoting.ways(self.chosen()), "way")

    def seal(self) -> ComposeResult:
        """The version's name, for what cannot be undone."""
        yield NameField(f"v{self.version.number}")

    def hints(self) -> dict[str, str]:
        """How large the canary may be, and is by itself."""
        first = terms_of(self.chosen()).stages[0]
        usual = f"% of the fleet; nothing for the usual {first:g}"
        return {"percent": "everyone has it at once" if self.way() == "everyone" else usual}

    def way(self) -> Way:
        """The way chosen."""
        known: dict[str, Way] = {str(way): way for _, way in promoting.ways(self.chosen())}
        return known[str(self.query_one("#way", Select).value)]

    def read(self, typed: dict[str, str]) -> Act | dict[str, str]:
        """The promotion, or what is wrong with it; a canary that there is not is not looked at."""
        draft = Draft(way=self.way(), percent=typed["percent"].removesuffix("%").strip())
        self.query_one("#percent", Input).disabled = draft.way == "everyone"
        self.query_one("#ask").display = draft.way == "everyone"
        return promoting.problems(draft) or promoting.promote(self.version, self.snapshot, draft)

    def describe(self, act: Act, news: str = "") -> None:
        """Say what would happen, and ask for the version's name where it cannot be undone."""
        super().describe(act, news)
        named = self.query_one("#name", Input).value.strip() == act.typed
        self.query_one("#go", Button).disabled = bool(act.typed) and not named
