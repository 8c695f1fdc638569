"""The terminal application: five views of one snapshot, and the keys that act."""

import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Footer

from server.config import Federation
from server.tui import acts, last_words
from server.tui.acts import Act, Runner, arguments_of, run_covey
from server.tui.campaign import free_tasks
from server.tui.counting import surveyable
from server.tui.figures import ENDED, current_run
from server.tui.header import VIEWS, Header, Tabs
from server.tui.themes import DARK, THEMES
from server.tui.view import View
from server.tui.watcher import Changed, Snapshot, Unreadable, watch


class CoveyApp(App[None]):
    """The operator's window on a federation. It reads the store; it acts by running `covey` commands."""

    TITLE = "covey"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (110, "-wide"), (170, "-broad")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-short"), (32, "-tall"), (50, "-lofty")]  # noqa: RUF012 - as Textual has it
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"view('{name}')", name, show=False) for number, name in enumerate(VIEWS, start=1)),
        Binding("s", "start", "Start rounds"),
        Binding("x", "act('stop')", "Stop"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self, home: Path, *, clock: Callable[[], float] = time.time, runner: Runner = run_covey, view: str = "Fleet"
    ) -> None:
        """Show the federation at `home`; tests give a clock that stands still and a runner that runs nothing."""
        super().__init__()
        self.home, self.clock, self.runner = home, clock, runner
        self.current, self.snapshot, self.trouble = view, None, ""
        self._leaving = threading.Event()

    current: str
    snapshot: Snapshot | None
    trouble: str

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
        self.watch_store()

    def on_unmount(self) -> None:
        """Let the watcher end."""
        self._leaving.set()

    def _fatal_error(self) -> None:
        """Textual's own ending prints a trace with every local value; a person gets one line instead."""
        self.panic(last_words.keep(Federation(self.home).logs))

    # -- one way in: the watcher tells, these handlers change state ---------------------------

    @work(thread=True, exit_on_error=False)
    def watch_store(self) -> None:
        """Look at the store from a thread of its own."""
        watch(Federation(self.home), self._tell, self._leaving)

    def _tell(self, message: Message) -> None:
        if not self._leaving.is_set():
            self.post_message(message)

    @on(Changed)
    def take(self, message: Changed) -> None:
        """Show what the store says now."""
        self.snapshot, self.trouble = message.snapshot, ""
        self.show()
        self.refresh_bindings()

    @on(Unreadable)
    def mourn(self, message: Unreadable) -> None:
        """Say that what is on screen grows old."""
        self.trouble = message.reason
        self.notify(message.reason, title="The store cannot be read", severity="error", timeout=10)
        self.show()

    def show(self) -> None:
        """Bring the header and the view in sight up to date."""
        now = self.clock()
        if not self.is_running or not self.screen_stack:  # a tick while the terminal closes finds widgets gone
            return
        base = self.screen_stack[0]
        base.query_one(Header).show(self.snapshot, now, self.trouble)
        base.query_one(Tabs).show(self.current)
        if self.snapshot is not None and (view := self.view_in_sight()) and self._is_composed(view):
            view.show(self.snapshot, now)

    def on_resize(self) -> None:
        """Draw charts anew for the new size, once the widgets know it."""
        self.call_after_refresh(self.show)

    # -- views ----------------------------------------------------------------------------------

    def view_in_sight(self) -> View | None:
        """The view that is shown, once it is made."""
        found = self.screen_stack[0].query(f"#{self.current}").results(View)
        return next(found, None)

    def _is_composed(self, view: View) -> bool:
        """Whether every widget of a view is there: on a busy machine a snapshot may come before they are."""
        return view.is_mounted and all(widget.is_mounted for widget in view.walk_children(Widget))

    @on(Tabs.Chosen)
    async def choose(self, message: Tabs.Chosen) -> None:
        """A click on a view's name does what its key does."""
        await self.action_view(message.view)

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done: the footer shows no key that would do nothing."""
        if action in {"start", "survey", "view", "help", "act"} and isinstance(self.screen, ModalScreen):
            return False
        if action == "start":
            return bool(self.snapshot and free_tasks(self.snapshot))
        if action == "survey":
            return bool(self.snapshot and surveyable(self.snapshot))
        if action == "next_task":
            return bool(self.snapshot and len(self.snapshot.tasks) > 1)
        if action == "act":
            return self._act(str(parameters[0])) is not None
        return True

    # -- acts -----------------------------------------------------------------------------------

    def _act(self, action: str) -> Act | None:
        """What a key would do now, if anything."""
        view, snapshot = self.view_in_sight(), self.snapshot
        if view is None or snapshot is None:
            return None
        return stop_act(snapshot) if action == "stop" else view.offer(action)

    @work
    async def action_start(self) -> None:
        """Ask for a campaign, then start it."""
        from server.tui.forms import StartDialog

        if not (self.snapshot and free_tasks(self.snapshot)):
            return
        act = await self.push_screen_wait(StartDialog(self.snapshot, self.home))
        if await self._carry_out(act):
            await self.action_view("Rounds")

    @work
    async def action_survey(self) -> None:
        """Ask for a survey, then take it."""
        from server.tui.forms import SurveyDialog

        if self.snapshot and (tasks := surveyable(self.snapshot)):
            await self._carry_out(await self.push_screen_wait(SurveyDialog(self.snapshot, tasks, self.home)))

    @work
    async def action_act(self, action: str) -> None:
        """Ask once, then act on the row under the cursor."""
        from server.tui.confirm import ConfirmDialog

        if act := self._act(action):
            await self._carry_out(await self.push_screen_wait(ConfirmDialog(act, self.home)))

    async def _carry_out(self, act: Act | None) -> bool:
        """Run an act's command and show what it said; whether it succeeded."""
        if act is None:
            return False
        ran = await self.runner(arguments_of(act, self.home))
        failed = ran.code != 0
        said = ran.said or (f"it ended with code {ran.code} and said nothing" if failed else "done")
        self.notify(said, title=act.title, severity="error" if failed else "information", timeout=12 if failed else 5)
        return not failed

    def action_next_task(self) -> None:
        """Show the next task's spend."""
        from server.tui.privacy import PrivacyView

        view = self.view_in_sight()
        if isinstance(view, PrivacyView):
            view.next_task()

    def action_help(self) -> None:
        """Explain keys and words."""
        from server.tui.help import HelpDialog

        self.push_screen(HelpDialog())


def make(name: str) -> View:
    """The view called `name`; its module is imported on first use, so that the first paint waits for one only."""
    module = import_module(f"server.tui.{name.lower()}")
    kind: type[View] = getattr(module, f"{name}View")
    return kind(id=name)


def stop_act(snapshot: Snapshot) -> Act | None:
    """Stopping the run under way, if there is one that is not stopping already."""
    run = current_run(snapshot.runs)
    return acts.stop(run) if run and run.state not in (*ENDED, "stopping") else None


def run(federation: Federation) -> None:
    """Open the terminal on a federation; raise `InputError` if there is none."""
    federation.settings()
    CoveyApp(federation.home).run()
