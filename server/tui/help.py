"""The help dialog: the keys of the view first, then of what has the keyboard, then of every view; and the words."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Static

from server.tui.words import SHIFT_MARKS, line, lines, muted, strong, toned

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
QUERY = {
    "state:online": "the field, or a word in it, begins so",
    "version:<7": "also <=, > and >=; with a unit: seen:>5min",
    "name~foo": "the field has this part",
    "foo  -bar": "any field has this part; a minus turns a term round",
}
Group = tuple[str, list[Binding]]


class HelpDialog(ModalScreen[None]):
    """Closes with escape, `?`, `q` or enter."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss(None)", "Close")]

    def __init__(self, groups: Sequence[Group], words: Mapping[str, str]) -> None:
        """Take the keys by whose they are, and the words of the view in sight."""
        super().__init__()
        self.groups, self.words = groups, words

    def compose(self) -> ComposeResult:
        """Keys, then words."""
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "Keys and words"
            dialog.border_subtitle = "esc closes"
            parts = [lines(strong(title), *self._keys(bindings), "") for title, bindings in self.groups if bindings]
            parts.append(lines(strong("After /"), *definitions(QUERY), ""))
            yield Static(lines(*parts, strong("Words"), *definitions({**self.words, **WORDS})))

    def _keys(self, bindings: Sequence[Binding]) -> list[Content]:
        shown: dict[str, list[str]] = {}
        for binding in bindings:
            shown.setdefault(binding.description, []).append(self.app.get_key_display(binding))
        return definitions({" ".join(dict.fromkeys(keys)): meaning for meaning, keys in shown.items()})


def groups(app: App[None], view: DOMNode | None) -> list[Group]:
    """The keys that do something now: of the view, of the widget in focus, and of every view."""
    active = [each for each in app.screen.active_bindings.values() if each.enabled and each.binding.description]
    own = [each.binding for each in active if each.node not in {view, app, app.screen}]
    name = type(app.focused).__name__.lower() if app.focused else "widget"
    return [
        ("In this view", [each.binding for each in active if each.node is view]),
        (f"In this {name}", own),
        ("Everywhere", [each.binding for each in active if each.node is app]),
    ]


def definitions(entries: Mapping[str, str]) -> list[Content]:
    """Terms on the left, their meaning on the right."""
    tones = {f"{mark.glyph} {mark.word}": mark.tone for mark in SHIFT_MARKS.values()}
    return [
        line(
            toned(f"{term:<16}", tones[term]) if term in tones else toned(f"{term:<16}", "$text-primary"),
            muted(meaning),
        )
        for term, meaning in entries.items()
    ]
