"""The frame around the views: it takes what the watcher tells, and shows it; it acts on nothing."""

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import App, ComposeResult
from textual.containers import Container
from textual.events import DescendantFocus
from textual.filter import LineFilter, Monochrome, NoColor
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget

from server.config import Federation
from server.tui.commandline import CommandLine
from server.tui.glyphs import Ascii, Colourless, wants_ascii
from server.tui.header import Banner, Crumbs, Header, Tabs
from server.tui.keyline import KeyLine
from server.tui.news import Changed, Unreadable
from server.tui.themes import DARK, THEMES
from shared.errors import InputError

if TYPE_CHECKING:  # the frame is painted before the store's modules are imported
    from server.tui.table import Table
    from server.tui.view import View
    from server.tui.watcher import Snapshot

SETTLE_SECONDS = 0.1
"""After so long without another size a terminal has the one that it keeps."""
LEAVE_SECONDS = 5.0
"""How long leaving may take once the process was told to."""
SERVED_SECONDS = 3.0
"""How often a terminal in a browser looks whether its server is still there."""


class Frame(App[None]):
    """A header, the views by number, a banner, crumbs, one view, a command line and the keys."""

    TITLE = "covey"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (110, "-wide"), (170, "-broad")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-short"), (32, "-tall"), (50, "-lofty")]  # noqa: RUF012 - as Textual has it

    def __init__(
        self, home: Path, *, clock: Callable[[], float] = time.time, view: str = "Fleet",
        read_only: bool = False, ascii_only: bool | None = None,
    ) -> None:  # fmt: skip
        """Show the federation at `home`; tests give a clock that stands still."""
        super().__init__()
        self.home, self.clock, self.read_only = home, clock, read_only
        self.ascii_only = wants_ascii(os.environ) if ascii_only is None else ascii_only
        self.current, self.snapshot, self.trouble = view, None, ""
        self.trail: list[tuple[str, str, str]] = []
        self._views: dict[str, View] = {}
        self._served, self._leaving = False, threading.Event()
        self._settling: Timer | None = None
        for theme in THEMES:
            self.register_theme(theme)
        self.set_reactive(App.theme, DARK.name)
        self.stylesheet.set_variables(self.get_css_variables())

    current: str
    snapshot: "Snapshot | None"
    trouble: str

    def compose(self) -> ComposeResult:
        """The frame; a view is made when it is first looked at."""
        yield Header(id="header")
        yield Tabs(id="tabs")
        yield Banner(id="banner")
        yield Crumbs(id="crumbs")
        yield Container(id="views")
        yield CommandLine(id="command-line")
        yield KeyLine(id="keyline")

    def on_mount(self) -> None:
        """Paint first, then read; whoever ends the process gets the terminal back as it was."""
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self._leave_for, number)
        self.app_resume_signal.subscribe(self, self._draw_anew)
        self.show()
        self.call_after_refresh(self._begin)

    def _draw_anew(self, _: object) -> None:
        """Set aside and taken up again, the terminal forgot what was on it."""
        self.screen.refresh()

    def _leave_for(self, number: int) -> None:
        """Give the terminal back and end, whatever hangs: where the terminal is gone, nobody is left to end it."""
        self.exit(return_code=128 + number)
        last = threading.Timer(LEAVE_SECONDS, os._exit, [128 + number])
        last.daemon = True
        last.start()

    @work
    async def _begin(self) -> None:
        """Import what the first view needs beside the painting, then show it."""
        self.watch_store()
        await asyncio.to_thread(import_module, f"server.tui.{self.current.lower()}")
        await self.action_view(self.current)
        self.set_interval(1.0, self.show)
        if self.is_web:
            self.set_interval(SERVED_SECONDS, partial(self._leave_with, os.getppid()))

    def _leave_with(self, server: int) -> None:
        """In a browser, end when what serves the page is gone: nobody else would end this process."""
        if os.getppid() != server:
            self.exit()

    def on_unmount(self) -> None:
        """Let the watcher end."""
        self._leaving.set()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """No colours where none are wanted, and no more than ASCII where no more is known."""
        filters = [each for each in super().get_line_filters() if not isinstance(each, Monochrome | NoColor)]
        return [*filters, *([Colourless()] if self.no_color else []), *([Ascii()] if self.ascii_only else [])]

    def _fatal_error(self) -> None:
        """Textual's own ending prints a trace with every local value; a person gets one line instead."""
        from server.tui import last_words

        self.panic(last_words.keep(Federation(self.home).logs))

    # -- one way in: the watcher tells, these handlers change state ---------------------------

    @work(thread=True, exit_on_error=False)
    def watch_store(self) -> None:
        """Look at the store from a thread of its own."""
        from server.tui.watcher import watch

        watch(Federation(self.home), self._tell, self._leaving, read_only=self.read_only)

    def _tell(self, message: Message) -> None:
        if not self._leaving.is_set():
            self.post_message(message)

    @on(Changed)
    def take(self, message: Changed) -> None:
        """Show what the store says now."""
        if self.trouble:
            self.notify("The store can be read again.")
        if message.snapshot.serving and self.snapshot and self._served and not self.snapshot.serving:
            self.notify("The coordinator is back.")
        self._served = self._served or message.snapshot.serving
        if self.snapshot is None and not self.is_headless:
            gc.freeze()  # a full collection would walk the whole fleet, and a key waits for it
        self.snapshot, self.trouble = message.snapshot, ""
        self.show()
        self.refresh_bindings()

    @on(Unreadable)
    def mourn(self, message: Unreadable) -> None:
        """Say that what is on screen grows old."""
        self.trouble = message.reason
        self.show()

    def show(self) -> None:
        """Bring the frame and the view in sight up to date."""
        if not self.is_running or not self.screen_stack:  # a tick while the terminal closes finds widgets gone
            return
        base, now = self.screen_stack[0], self.clock()
        base.query_one(Header).show(self.snapshot, now, self.trouble, read_only=self.read_only)
        base.query_one(Tabs).show(self.current)
        base.query_one("#views").set_class(bool(self.trouble and self.snapshot), "-stale")
        view = self.view_in_sight()
        if self.snapshot is not None and view is not None and self._is_composed(view):
            view.show(self.snapshot, now)
        self._show_way(view)

    def _show_way(self, view: "View | None") -> None:
        """The banner, where something is wrong; the crumbs, where a person went down."""
        base = self.screen_stack[0]
        if self.snapshot is not None or self.trouble:
            from server.tui.standing import warning

            base.query_one(Banner).show(warning(self.snapshot, self.trouble, left=self._served))
        steps = [f"{name} {key}".rstrip() for name, _, key in self.trail]
        here = [
            self.current,
            *([view.page_title] if view is not None and self._is_composed(view) and view.page_title else []),
        ]
        base.query_one(Crumbs).show([*steps, *here])

    def on_resize(self) -> None:
        """Draw charts anew for the new size, once the widgets know it; and once more after the last of many sizes."""
        self.call_after_refresh(self.show)
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLE_SECONDS, self.show)

    # -- views ----------------------------------------------------------------------------------

    def view_in_sight(self) -> "View | None":
        """The view that is shown, once it is made."""
        return self._views.get(self.current)

    def _is_composed(self, view: "View") -> bool:
        """Whether every widget of a view is there: on a busy machine a snapshot may come before they are."""
        return view.is_mounted and all(widget.is_mounted for widget in view.walk_children(Widget))

    @on(Tabs.Chosen)
    async def choose(self, message: Tabs.Chosen) -> None:
        """A click on a view's name does what its key does."""
        await self.action_view(message.view)

    async def action_view(self, name: str) -> None:
        """Show a view as a place to begin: `esc` leads nowhere from there."""
        self.trail.clear()
        await self.show_view(name)

    async def made(self, name: str) -> "View":
        """The view called that, made on first use; it is not shown yet."""
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = make(name)
            view.display = False
            await self.screen_stack[0].query_one("#views").mount(view)
        return view

    async def show_view(self, name: str) -> "View":
        """Show a view and give it the keyboard."""
        self.current = name
        view = await self.made(name)
        for other in self._views.values():
            other.display = other is view
        view.focus_first()
        self.show()
        self.call_after_refresh(self.show)
        self.refresh_bindings()
        return view

    async def on_view_go(self, message: "View.Go") -> None:
        """Go to a row of another view, and remember the way back."""
        if (view := self.view_in_sight()) and (table := view.table):
            self.trail.append((self.current, table.id or "", table.key or ""))
        await self._land(message.view, message.table, message.key)

    async def action_back(self) -> None:
        """Go back to where a person came from."""
        if self.trail:
            await self._land(*self.trail.pop())

    async def _land(self, name: str, table: str, key: str) -> None:
        view = await self.show_view(name)
        if table:
            view.land(table, key)
        self.show()

    def on_view_moved(self) -> None:
        """A page was opened or closed: the crumbs follow."""
        self.show()
        self.refresh_bindings()

    @on(DescendantFocus)
    def leave_command(self) -> None:
        """A command line that lost the keyboard to the view, as to a click, goes away: `esc` is the view's by then."""
        base = self.screen_stack[0]
        line = base.query_one(CommandLine)
        line.display = bool(line.display) and (base.focused is None or base.focused is line.field)

    def require_view(self) -> "View":
        """The view in sight; raise `InputError` while there is none yet."""
        view = self.view_in_sight()
        if view is None or not self._is_composed(view):
            raise InputError("the view is not there yet")
        return view

    def require_table(self) -> "Table":
        """The table in focus; raise `InputError` if there is none."""
        table = self.require_view().table
        if table is None:
            raise InputError(f"{self.current} shows no table now")
        return table

    def require_snapshot(self) -> "Snapshot":
        """What the store said last; raise `InputError` before it was read."""
        if self.snapshot is None:
            raise InputError("the store was not read yet")
        return self.snapshot


def make(name: str) -> "View":
    """The view called `name`; its module is imported on first use, so that the first paint waits for none."""
    module = import_module(f"server.tui.{name.lower()}")
    kind: type[View] = getattr(module, f"{name}View")
    return kind(id=name)
