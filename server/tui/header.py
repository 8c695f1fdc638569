"""The lines on top: federation, role, what is going on, what it has cost, how old the figures are; views; a warning."""

from dataclasses import replace
from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from server.tui.fitting import fitted
from server.tui.words import line, muted, strong, toned

if TYPE_CHECKING:  # the frame is painted before the store's modules are imported
    from server.tui.watcher import Snapshot

VIEWS = ("Fleet", "Rounds", "Models", "Rollouts", "Drift", "Privacy", "Audit", "Logs")


class Line(Static):
    """A text, drawn again only when it says something else."""

    shown: Content | None = None

    def say(self, content: Content) -> None:
        """Put a text."""
        if self.shown is None or not self.shown.is_same(content):
            self.shown = content
            self.update(content, layout=False)


class Header(Line):
    """One line that is always right about the whole federation."""

    def show(self, snapshot: "Snapshot | None", now: float, trouble: str, *, read_only: bool = False) -> None:
        """Name and role on the left, the run in the middle, cost, age and connection on the right."""
        badge = toned(" READ-ONLY ", "bold reverse $text-warning") if read_only else Content("")
        width = self.size.width
        if snapshot is None:
            begun = line(toned(" ▚ covey ", "bold $text-primary"), badge, "  ", muted(trouble or "reading the store …"))
            self.say(begun.truncate(width, ellipsis=True))
            return
        from server.tui.standing import parts_of

        self.say(fitted(replace(parts_of(snapshot, now, trouble), badge=badge), width))


class Tabs(Line):
    """The views by number; a click chooses as a key does."""

    parts: list[tuple[str, Content]]

    class Chosen(Message):
        """A view was clicked."""

        def __init__(self, view: str) -> None:
            """Name the view."""
            super().__init__()
            self.view = view

    def show(self, current: str) -> None:
        """Mark the current view; where there is little room the others are numbers only."""
        wide = sum(len(f" {number} {name} ") for number, name in enumerate(VIEWS, start=1)) <= self.size.width
        self.parts = [
            (name, self._tab(number, name if wide or name == current else "", current))
            for number, name in enumerate(VIEWS, start=1)
        ]
        self.say(line(*(content for _, content in self.parts)))

    @staticmethod
    def _tab(number: int, name: str, current: str) -> Content:
        if name == current:
            return toned(f" {number} {name} ", "bold reverse $text-primary")
        return line(toned(f" {number}", "$text-primary"), muted(f" {name} " if name else " "))

    def on_click(self, event: events.Click) -> None:
        """Find the view under the mouse."""
        edge = 0
        for name, content in self.parts:
            edge += content.cell_length
            if event.x < edge:
                self.post_message(self.Chosen(name))
                return


class Crumbs(Line):
    """How a person came here, once that is more than one step; `esc` goes one back."""

    def show(self, steps: list[str]) -> None:
        """Name the steps, the last one as the place."""
        self.display = len(steps) > 1
        way = line(*(muted(step) for step in steps[:-1]), strong(steps[-1] if steps else ""), gap=" ▸ ")
        self.say(line(" ", way, muted("   esc goes back")))


class Banner(Line):
    """What is wrong with the connection, as long as it is."""

    def show(self, warning: Content | None) -> None:
        """Say it, or go away."""
        self.display = warning is not None
        self.set_class(warning is not None, "-shown")
        if warning is not None:
            self.say(line(" ", warning.truncate(max(0, self.app.size.width - 2), ellipsis=True)))
