"""What the owner's views have in common: panels, lists with a cursor, and an empty state that says what to do next."""

from collections.abc import Sequence
from typing import ClassVar, Protocol, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from client.config import TaskHome
from client.served import Served
from client.tui.acts import Act
from client.tui.explaining import Explained
from client.tui.facts import Snapshot, TaskFacts
from client.tui.steps import Steps
from client.tui.text import plain


class Agent(Protocol):
    """What a view asks of the application."""

    steps: Steps

    def explained(self, place: TaskHome, one: Served) -> Explained | None:
        """What moved an answer, if it is known already; else it is worked out, and the view is shown again."""
        ...

    def ask(self, act: Act) -> None:
        """Let an act be carried out, after those before it."""
        ...

    def show(self) -> None:
        """Bring everything in sight up to date."""
        ...


class Panel(Static):
    """A framed text with its title in the frame."""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take the title; the text comes with `update`."""
        super().__init__(id=id, classes="panel")
        self.border_title = title


class Rows(OptionList):
    """A framed list whose cursor stays with its row, whatever comes before it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "first", "First", show=False),
        Binding("G", "last", "Last", show=False),
    ]

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take the title; the rows come with `show`."""
        super().__init__(id=id, classes="panel", compact=True)
        self.border_title = title
        self._shown: tuple[tuple[str, Content], ...] = ()

    @property
    def key(self) -> str | None:
        """The key of the row under the cursor, if there is one."""
        return self.highlighted_option.id if self.highlighted_option else None

    @property
    def room(self) -> int:
        """How wide a row may be."""
        return max(1, self.scrollable_content_region.width - 2)

    def show(self, rows: Sequence[tuple[str, Content]], *, empty: str = "") -> None:
        """Replace the rows, each a key and a text of one line; `empty` is said where there are none."""
        if tuple(rows) == self._shown and self.options:
            return
        before = self.key
        self._shown = tuple(rows)
        self.set_options([Option(content, id=key) for key, content in rows] or [Option(Content(empty), disabled=True)])
        keys = [key for key, _ in rows]
        self.highlighted = keys.index(before) if before in keys else (0 if keys else None)


class View(Container):
    """One of the five views: it shows a snapshot and keeps nothing but what its owner selected."""

    snapshot: Snapshot | None = None
    now: float = 0.0
    picked: str | None = None
    keyed: ClassVar[bool] = False
    """Whether the view takes keys itself, rather than a list in it."""

    def compose(self) -> ComposeResult:
        """The empty state, then what the view itself composes."""
        yield Static(classes="empty")
        with Container(classes="body"):
            yield from self.panels()

    def on_mount(self) -> None:
        """A list that gets a scrollbar, or loses it, has another width: its rows are cut anew."""
        for rows in self.query(Rows):
            self.watch(rows, "show_vertical_scrollbar", self._cut_anew, init=False)

    def _cut_anew(self) -> None:
        self.call_after_refresh(self.refill)

    def panels(self) -> ComposeResult:
        """The view's widgets."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot, now: float, picked: str | None) -> None:
        """Take a new snapshot, a new time or another task."""
        self.snapshot, self.now, self.picked = snapshot, now, picked
        hint = self.hint(snapshot)
        if self.has_class("-empty") != (hint is not None):
            self.set_class(hint is not None, "-empty")
            self.can_focus = self.keyed or hint is not None
            if self.display:
                self.focus_first()
        if hint is not None:
            self.query_one(".empty", Static).update(hint)
        else:
            self.fill(snapshot)

    def hint(self, snapshot: Snapshot) -> Content | None:
        """What to do next where there is nothing to show yet."""
        raise NotImplementedError

    def fill(self, snapshot: Snapshot) -> None:
        """Put the snapshot's values into the widgets."""
        raise NotImplementedError

    def failed(self, act: Act) -> None:
        """An act of the owner's could not be carried out; most views need not care."""

    def refill(self) -> None:
        """Show the same snapshot again, because something else moved."""
        if self.snapshot is not None and not self.has_class("-empty"):
            self.fill(self.snapshot)

    def focus_first(self) -> None:
        """Give the keyboard to the view's first list, or to the view itself."""
        lists = list(self.query(Rows))
        target = lists[0] if lists and not self.can_focus else self
        target.focus()

    @property
    def agent(self) -> "Agent":
        """The application, as views know it."""
        return cast(Agent, self.app)

    @property
    def facts(self) -> TaskFacts | None:
        """The task on show."""
        return self.snapshot.of(self.picked) if self.snapshot else None


def titled(title: str, facts: TaskFacts, snapshot: Snapshot | None) -> str:
    """A title that names the task where there are several."""
    several = snapshot is not None and len(snapshot.tasks) > 1
    return f"{title} · {plain(facts.name)}" if several else title
