"""The two lines on top: whose window this is, whether the agent runs, and the five views."""

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from client.tui.facts import Snapshot
from client.tui.text import BAD, GOOD, LEAD, MUTED, WARN, Part, plain, text

VIEWS = {
    "Budget": "Budget",
    "Consent": "Consent",
    "Left": "What left",
    "Labels": "Labels",
    "Predictions": "Predictions",
}
"""Each view's name and title, in their order."""


class Header(Static):
    """One line that is always right about the whole agent."""

    def show(self, snapshot: Snapshot | None, trouble: str) -> None:
        """The device on the left, the agent on the right."""
        left = text((" ▚ covey-agent ", f"bold {LEAD}"), *self._device(snapshot))
        right = text(state(snapshot, trouble), " ")
        room = self.size.width - right.cell_length - 1
        left = left.truncate(max(0, room), ellipsis=True)
        self.update(text(left, " " * max(1, self.size.width - left.cell_length - right.cell_length), right))

    @staticmethod
    def _device(snapshot: Snapshot | None) -> tuple[Part, ...]:
        if snapshot is None:
            return (("reading the agent's files …", MUTED),)
        return (plain(snapshot.name), "bold"), (f" in {plain(snapshot.federation)}", MUTED)


def state(snapshot: Snapshot | None, trouble: str) -> Content:
    """Whether the agent runs and takes part; never a colour without its word."""
    if trouble:
        return text(("✕ unreadable, figures are old", BAD))
    if snapshot is None:
        return Content("")
    runs = ("● running", GOOD) if snapshot.running else ("○ not running", MUTED)
    link = (f", {plain(snapshot.link)}" if snapshot.link else "", MUTED)
    paused = ("   ▮▮ paused", WARN) if snapshot.paused else ""
    return text(runs, link, paused)


class Tabs(Static):
    """The views; a click chooses as a key does."""

    class Chosen(Message):
        """A view was clicked."""

        def __init__(self, view: str) -> None:
            """Name the view."""
            super().__init__()
            self.view = view

    waiting = 0
    """How many predictions wait for a label."""

    def show(self, current: str, waiting: int) -> None:
        """Mark the current view. While labels are given, digits are classes, so no view shows one."""
        self.waiting = waiting
        numbered = current != "Labels"
        tabs = (self._tab(n, name, current, numbered=numbered) for n, name in enumerate(VIEWS, start=1))
        self.update(text(" ", Content(" ").join(tabs)))

    def _words(self, number: int, name: str, *, numbered: bool) -> str:
        more = f" {self.waiting:,}" if name == "Labels" and self.waiting else ""
        return f" {f'{number} ' if numbered else ''}{VIEWS[name]}{more} "

    def _tab(self, number: int, name: str, current: str, *, numbered: bool) -> Content:
        words = self._words(number, name, numbered=numbered)
        if name == current:
            return text((words, f"bold reverse {LEAD}"))
        lead = 2 if numbered else 0
        return text((words[:lead], LEAD), (words[lead:], MUTED))

    def on_click(self, event: events.Click) -> None:
        """Find the view under the mouse."""
        numbered = str(self.visual).strip().startswith("1")
        edge = 2
        for number, name in enumerate(VIEWS, start=1):
            edge += len(self._words(number, name, numbered=numbered)) + 1
            if event.x < edge:
                self.post_message(self.Chosen(name))
                return
