"""The owner's window: five views of one snapshot, and the keys that act. Nothing it does waits in its own thread."""

import logging
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import ClassVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Footer

from client.config import AgentHome, TaskHome
from client.served import Served
from client.tui import acts, ending
from client.tui.explaining import Explained, Explanations
from client.tui.facts import Snapshot, TaskFacts
from client.tui.header import VIEWS, Header, Tabs
from client.tui.steps import Steps
from client.tui.themes import DARK, THEMES
from client.tui.view import View
from client.tui.watcher import Changed, Unreadable, watch


class Worked(Message):
    """An explanation is known."""


class AgentApp(App[None]):
    """What the agent holds, spends and gives; it reads the agent's files, so the agent need not run."""

    TITLE = "covey-agent"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (110, "-wide"), (170, "-broad")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-short"), (32, "-tall"), (50, "-lofty")]  # noqa: RUF012 - as Textual has it
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"view('{name}')", name, show=False) for number, name in enumerate(VIEWS, start=1)),
        Binding("right,tab", "turn(1)", "Next view", key_display="→", priority=True),
        Binding("left,shift+tab", "turn(-1)", "View before", show=False, priority=True),
        Binding("p", "pause(True)", "Pause"),
        Binding("p", "pause(False)", "Take part again"),
        Binding("t", "next_task", "Next task"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    snapshot: Snapshot | None
    trouble: str
    picked: str | None

    def __init__(self, home: AgentHome, *, clock: Callable[[], float] = time.time, view: str = "Budget") -> None:
        """Show the agent at `home`; tests give a clock that stands still."""
        super().__init__()
        self.home, self.clock, self.current = home, clock, view
        self.snapshot, self.trouble, self.picked = None, "", None
        self._leaving, self._hand = threading.Event(), acts.Hand(home)
        self._explanations, self._explaining = Explanations(), threading.Lock()
        self.steps = Steps()
        self._wanted: tuple[TaskHome, Served] | None = None

    def compose(self) -> ComposeResult:
        """The frame; a view is made when it is first looked at."""
        yield Header(id="header")
        yield Tabs(id="tabs")
        yield Container(id="views")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        """Paint first, then read."""
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name
        await self.action_view(self.current)
        self.set_interval(1.0, self.show)
        self.watch_files()
        self.carry_out()

    def on_unmount(self) -> None:
        """Let both threads end; what was asked for is still done."""
        self._leaving.set()
        self._hand.stop()

    def _fatal_error(self) -> None:
        """Textual's own ending prints a trace with every local value, records included; a person gets one line."""
        self.panic(ending.keep(self.home))

    # -- one way in: threads tell, these handlers change state --------------------------------

    @work(thread=True, exit_on_error=False)
    def watch_files(self) -> None:
        """Look at the agent's files from a thread of its own."""
        watch(self.home, self._tell, self._leaving, clock=self.clock)

    @work(thread=True, exit_on_error=False)
    def carry_out(self) -> None:
        """Do what the owner asks for from another."""
        self._hand.work(self._tell)

    def _tell(self, message: Message) -> None:
        if not self._leaving.is_set():
            self.post_message(message)

    @on(Changed)
    def take(self, message: Changed) -> None:
        """Show how things stand now."""
        self.snapshot, self.trouble = message.snapshot, ""
        self._explanations.forget_failures()
        self.show()
        self.refresh_bindings()

    @on(Unreadable)
    def mourn(self, message: Unreadable) -> None:
        """Say that what is on screen grows old."""
        self.trouble = message.reason
        self.notify(message.reason, title="The agent's files cannot be read", severity="error", timeout=10)
        self.show()

    @on(acts.Done)
    def hear(self, message: acts.Done) -> None:
        """Say how an act went; a label that was not kept is asked for again."""
        if message.failed:
            for view in self.screen_stack[0].query(View):
                view.failed(message.act)
        if message.said:
            severity = "error" if message.failed else "information"
            self.notify(message.said, title=message.act.title, severity=severity, timeout=8 if message.failed else 4)

    def show(self) -> None:
        """Bring the header and the view in sight up to date."""
        if not self.is_running or not self.screen_stack:  # a tick while the terminal closes finds widgets gone
            return
        base, facts = self.screen_stack[0], self.facts
        base.query_one(Header).show(self.snapshot, self.trouble)
        base.query_one(Tabs).show(self.current, self.steps.left(facts) if facts else 0)
        if self.snapshot is not None and (view := self.view_in_sight()) and _is_composed(view):
            view.show(self.snapshot, self.clock(), self.picked)

    def on_resize(self) -> None:
        """Draw anew for the new size, once the widgets know it."""
        self.call_after_refresh(self.show)

    @property
    def facts(self) -> TaskFacts | None:
        """The task on show."""
        return self.snapshot.of(self.picked) if self.snapshot else None

    # -- explanations ---------------------------------------------------------------------------

    def explained(self, place: TaskHome, one: Served) -> Explained | None:
        """What moved an answer, if it is known already; else it is worked out, and the view is shown again."""
        found = self._explanations.known(place, one)
        if found is None and self._wanted != (place, one):
            self._wanted = place, one
            self.work_out()
        return found

    @work(thread=True, group="explaining", exit_on_error=False)
    def work_out(self) -> None:
        """Explain what is on screen now; whoever moves on quickly gets the last one first."""
        with self._explaining:
            wanted = self._wanted
            if wanted and self._explanations.known(*wanted) is None:
                self._explanations.work_out(*wanted)
        self._tell(Worked())

    @on(Worked)
    def show_explained(self) -> None:
        """Draw the bars."""
        if view := self.view_in_sight():
            view.refill()

    # -- views ----------------------------------------------------------------------------------

    def view_in_sight(self) -> View | None:
        """The view that is shown, once it is made."""
        return next(self.screen_stack[0].query(f"#{self.current}").results(View), None)

    @on(Tabs.Chosen)
    async def choose(self, message: Tabs.Chosen) -> None:
        """A click on a view's name does what its key does."""
        await self.action_view(message.view)

    async def action_turn(self, step: int) -> None:
        """Show the view beside this one."""
        names = list(VIEWS)
        await self.action_view(names[(names.index(self.current) + step) % len(names)])

    async def action_view(self, name: str) -> None:
        """Show a view, made on first use, and give it the keyboard."""
        self.current = name
        view = self.view_in_sight()
        if view is None:
            view = make(name)
            await self.screen_stack[0].query_one("#views").mount(view)
        for other in self.screen_stack[0].query(View):
            other.display = other is view
        view.focus_first()
        self.show()
        self.call_after_refresh(self.show)
        self.refresh_bindings()

    def action_next_task(self) -> None:
        """Show the next task, from the last to the first."""
        if self.snapshot and (now := self.facts):
            names = [facts.name for facts in self.snapshot.tasks]
            self.picked = names[(names.index(now.name) + 1) % len(names)]
            self.show()
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done: the footer shows no key that would do nothing."""
        asking, paused = isinstance(self.screen, ModalScreen), bool(self.snapshot and self.snapshot.paused)
        offered = {
            "turn": not asking,
            "view": not asking,
            "help": not asking,
            "pause": not asking and self.snapshot is not None and parameters == (not paused,),
            "next_task": not asking and bool(self.snapshot and len(self.snapshot.tasks) > 1),
        }
        return offered.get(action, True)

    # -- acts -----------------------------------------------------------------------------------

    def action_pause(self, paused: bool) -> None:
        """Decline everything, or take part again; either is undone by the same key."""
        self.ask(acts.pause(paused=paused))

    def ask(self, act: acts.Act) -> None:
        """Let an act be carried out, after those before it."""
        self._hand.ask(act)

    def action_help(self) -> None:
        """Explain keys and words."""
        from client.tui.dialogs import Help

        self.push_screen(Help())


def make(name: str) -> View:
    """The view called `name`; its module is imported on first use, so that the first paint waits for one only."""
    module = import_module(f"client.tui.{name.lower()}")
    kind: type[View] = getattr(module, f"{name}View")
    return kind(id=name)


def _is_composed(view: View) -> bool:
    """Whether every widget of a view is there: on a busy machine a snapshot may come before they are."""
    return view.is_mounted and all(widget.is_mounted for widget in view.walk_children(Widget))


def run(home: AgentHome) -> None:
    """Open the window on an agent; raise `InputError` if there is none."""
    home.settings()
    logging.getLogger().addHandler(logging.NullHandler())  # a warning on the terminal would be drawn over the window
    AgentApp(home).run()
