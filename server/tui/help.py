"""The help dialog: every key, and what the words and marks mean."""

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from server.tui.words import SHIFT_MARKS, line, lines, muted, strong, toned

KEYS = {
    "1 … 5": "Fleet, Rounds, Models, Drift, Privacy",
    "tab": "next table; shift+tab the one before",
    "j k ↑ ↓": "move; g and G go to the ends",
    "s": "start rounds: the dialog tells the price first",
    "x": "stop the run under way",
    "a  X": "Fleet: approve, revoke the device",
    "/": "Fleet: filter by name, state or reason; esc ends it",
    "p  w": "Models: promote the version, withdraw the release",
    "v": "Drift: take a survey",
    "t": "Privacy: next task",
    "ctrl+p": "everything else, colours too",
    "q": "leave; rounds go on without this window",
}
WORDS = {
    "ε ≤": "what a device has spent at most, by our own plans",
    "refused": "a device declined; nothing failed",
    "abandoned": "too few answered; the round changed nothing",
    "PSI": "how far a distribution moved; 0 is not at all",
    "noise": "the PSI that noise alone reaches 1 time in 100",
    "▲ large": "moved evidently, by more than the task's alarm",
    "△ small": "moved evidently, but by less than the alarm",
    "✓ steady": "a move of the alarm's size would have shown",
    "? cannot tell": "the noise would hide a move of the alarm's size",
}


class HelpDialog(ModalScreen[None]):
    """Closes with escape, `?` or `q`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss(None)", "Close")]

    def compose(self) -> ComposeResult:
        """Keys, then words."""
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "Keys and words"
            dialog.border_subtitle = "esc closes"
            yield Static(lines(*definitions(KEYS), "", *definitions(WORDS)))


def definitions(entries: Mapping[str, str]) -> list[Content]:
    """Terms on the left, their meaning on the right."""
    tones = {f"{mark.glyph} {mark.word}": mark.tone for mark in SHIFT_MARKS.values()}
    return [
        line(toned(f"{term:<14}", tones[term]) if term in tones else strong(f"{term:<14}"), muted(meaning))
        for term, meaning in entries.items()
    ]
