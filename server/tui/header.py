"""The two lines on top: federation, what is going on, how old the figures are; and the five views."""

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from server.tui.figures import ENDED, current_run
from server.tui.rounds import phase_line
from server.tui.watcher import Snapshot
from server.tui.words import RUN_MARKS, age, ago, line, muted, strong, toned

QUIET_SECONDS = 60.0
"""A run under way from which nothing was heard for so long deserves a look at `covey serve`."""

VIEWS = ("Fleet", "Rounds", "Models", "Drift", "Privacy")


class Header(Static):
    """One line that is always right about the whole federation."""

    def show(self, snapshot: Snapshot | None, now: float, trouble: str) -> None:
        """Name on the left, run in the middle, age on the right."""
        left = line(toned(" ▚ covey ", "bold $text-primary"), strong(snapshot.federation if snapshot else ""))
        serves = service(snapshot) if snapshot and not trouble else Content("")
        right = line(self._age(snapshot, now, trouble), "   ", serves)
        middle = run_words(snapshot) if snapshot else muted("reading the store …")
        room = self.size.width - left.cell_length - right.cell_length - 4
        if middle.cell_length > room and snapshot:
            middle = run_words(snapshot, short=True)
        if middle.cell_length > room and snapshot:
            right, room = serves, self.size.width - left.cell_length - serves.cell_length - 4
        middle = middle.truncate(max(0, room), ellipsis=True)
        gap = max(1, self.size.width - left.cell_length - right.cell_length - middle.cell_length - 3)
        self.update(line(left, "  ", middle, " " * gap, right, " "))

    @staticmethod
    def _age(snapshot: Snapshot | None, now: float, trouble: str) -> Content:
        if trouble:
            return toned("✕ store unreadable, figures are old", "$text-error")
        if snapshot is None or snapshot.newest is None:
            return muted("no news yet")
        run, quiet = current_run(snapshot.runs), now - snapshot.newest
        if run and run.state not in ENDED and quiet > QUIET_SECONDS:
            return toned(f"▲ no news for {age(quiet)}", "$text-warning")
        return muted(f"news {ago(snapshot.newest, now)}")


def service(snapshot: Snapshot) -> Content:
    """Whether a coordinator is there to carry anything out; without one, a run that waits is in trouble."""
    if snapshot.serving:
        return toned("● serving", "$text-success")
    run = current_run(snapshot.runs)
    waits = run is not None and run.state not in ENDED
    return toned("▲ not serving", "$text-warning") if waits else muted("○ not serving")


def run_words(snapshot: Snapshot, *, short: bool = False) -> Content:
    """The run under way, or that there is none."""
    run = current_run(snapshot.runs)
    if run is None:
        return muted("no run yet")
    if run.state in ENDED:
        return line(muted(f"run {run.id} "), RUN_MARKS[run.state].content())
    phase = phase_line(run, snapshot.progress.get(run.id), short=short)
    return phase if short else line(muted(f"run {run.id} "), phase)


class Tabs(Static):
    """The views by number; a click chooses as a key does."""

    class Chosen(Message):
        """A view was clicked."""

        def __init__(self, view: str) -> None:
            """Name the view."""
            super().__init__()
            self.view = view

    def show(self, current: str) -> None:
        """Mark the current view."""
        self.update(
            line(" ", *(self._tab(number, name, current) for number, name in enumerate(VIEWS, start=1)), gap=" ")
        )

    @staticmethod
    def _tab(number: int, name: str, current: str) -> Content:
        if name == current:
            return toned(f" {number} {name} ", "bold reverse $text-primary")
        return line(toned(f" {number}", "$text-primary"), muted(f" {name} "))

    def on_click(self, event: events.Click) -> None:
        """Find the view under the mouse."""
        edge = 2
        for number, name in enumerate(VIEWS, start=1):
            edge += len(f" {number} {name} ") + 1
            if event.x < edge:
                self.post_message(self.Chosen(name))
                return
