"""The terminal application: the keys and words that act, around the frame that shows."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.command import CommandPalette, Provider
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from server.config import Federation
from server.tui.commandline import CommandLine
from server.tui.commands import Act, Runner, carry_out, run_covey
from server.tui.frame import Frame
from server.tui.header import VIEWS
from server.tui.news import Changed
from server.tui.spoken import WORDS, say
from server.tui.vocabulary import Word
from shared.errors import InputError

if TYPE_CHECKING:  # the frame is painted before the store's modules are imported
    from server.tui.view import View

UNDO_SECONDS = 10.0
"""So long the last act can be undone with a key."""
ACTIONS = ("start", "survey", "act", "undo")
"""What changes the federation, or takes that back."""
TYPED = ("view", "search", "command")
"""Actions whose keys are letters of what is typed into a field."""
READ_ONLY = "this terminal is read-only; open it without --read-only to act"


def _palette() -> type[Provider]:
    from server.tui.palette import Everything

    return Everything


class CoveyApp(Frame):
    """The operator's window on a federation. It reads the store; it acts by running `covey` commands."""

    COMMANDS = {_palette}  # noqa: RUF012 - as Textual has it
    BINDINGS: ClassVar[list[BindingType]] = [
        # First in line, so that what is typed right after them is not taken for keys of what had the keyboard before.
        *(
            Binding(str(number), f"view('{name}')", name, show=False, priority=True)
            for number, name in enumerate(VIEWS, start=1)
        ),
        Binding("slash", "search", "Filter", key_display="/", priority=True),
        Binding("colon", "command", "Command", key_display=":", priority=True),
        Binding("s", "start", "Start rounds"),
        Binding("x", "act('stop')", "Stop"),
        Binding("u", "undo", "Undo"),
        Binding("e", "export", "Export", show=False),
        Binding("ctrl+o", "jump", "Jump to a letter", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit", show=False),
    ]

    def __init__(
        self, home: Path, *, clock: Callable[[], float] = time.time, runner: Runner = run_covey, view: str = "Fleet",
        read_only: bool = False, ascii_only: bool | None = None,
    ) -> None:  # fmt: skip
        """Show the federation at `home`; tests give a clock that stands still and a runner that runs nothing."""
        super().__init__(home, clock=clock, view=view, read_only=read_only, ascii_only=ascii_only)
        self.runner = runner
        self.undoable: tuple[float, Callable[[], object]] | None = None

    # -- acts -----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done: the key line shows no key that would do nothing."""
        if isinstance(self.focused, Input) and action in TYPED:
            return False
        if action in {*ACTIONS, *TYPED, "help", "jump", "export"} and self._asking():
            return False
        if self.read_only and action in ACTIONS[:3]:
            return False
        checks: dict[str, Callable[[], object]] = {
            "start": self._free,
            "survey": self._surveyable,
            "search": lambda: (view := self.view_in_sight()) and not view.has_class("-empty"),
            "undo": lambda: self.undoable and time.monotonic() < self.undoable[0],
            "act": lambda: self._act(str(parameters[0])),
        }
        return bool(checks[action]()) if action in checks else True

    def _asking(self) -> bool:
        """Whether a dialog has the keyboard; the palette offers what could be done without it."""
        return isinstance(self.screen, ModalScreen) and not isinstance(self.screen, CommandPalette)

    def _free(self) -> Sequence[object]:
        from server.tui.campaign import free_tasks

        return free_tasks(self.snapshot) if self.snapshot else ()

    def _surveyable(self) -> Sequence[object]:
        from server.tui.counting import surveyable

        return surveyable(self.snapshot) if self.snapshot else ()

    def _act(self, action: str) -> Act | None:
        """What a key would do now, if anything."""
        view, snapshot = self.view_in_sight(), self.snapshot
        if view is None or snapshot is None or not self._is_composed(view):
            return None
        from server.tui.acts import stop_of

        return stop_of(snapshot) if action == "stop" else view.offer(action)

    @work
    async def action_start(self) -> None:
        """Ask for a campaign, then start it."""
        from server.tui.forms import StartDialog

        if not (self.snapshot and self._free()):
            return
        act = await self.push_screen_wait(StartDialog(self.snapshot, self.home))
        if await self._carry_out(act):
            await self.action_view("Rounds")

    @work
    async def action_survey(self) -> None:
        """Ask for a survey, then take it."""
        from server.tui.counting import surveyable
        from server.tui.forms import SurveyDialog

        if self.snapshot and (tasks := surveyable(self.snapshot)):
            await self._carry_out(await self.push_screen_wait(SurveyDialog(self.snapshot, tasks, self.home)))

    def action_act(self, action: str) -> None:
        """Ask once, then act on the marked rows, or on the row under the cursor."""
        if act := self._act(action):
            self.ask(act, partial(self._act, action))

    @work
    async def ask(self, act: Act, anew: Callable[[], Act | None] | None = None) -> None:
        """Ask once, also for the way where there are several, then carry an act out; a read-only terminal does neither.

        `anew` makes the act again, so that an open dialog says what is so by then.
        """
        from server.tui.confirm import ConfirmDialog

        if self.read_only:
            self.notify(READ_ONLY, severity="error")
            return
        dialog = act.asks(self.home) if act.asks else ConfirmDialog(act, self.home, anew)
        await self._carry_out(await self.push_screen_wait(dialog))

    @on(Changed)
    def look_again(self) -> None:
        """An open dialog keeps up with the store, once the view below it does."""
        self.call_later(self._renew)

    def _renew(self) -> None:
        if self._asking():
            from server.tui.confirm import ConfirmDialog

            if isinstance(self.screen, ConfirmDialog):
                self.screen.renew()

    async def _carry_out(self, act: Act | None) -> bool:
        """Run an act's commands and show what they said; whether they succeeded."""
        if act is None:
            return False
        ran = await carry_out(act, self.home, self.runner)
        failed = ran.code != 0
        undo = act.undo if not failed else None
        self.notify(
            f"{ran.said} · u undoes it" if undo else ran.said, title=act.title,
            severity="error" if failed else "information", timeout=12 if failed else UNDO_SECONDS if undo else 5,
        )  # fmt: skip
        if undo is not None:
            self._offer_undo(lambda: self.run_worker(self._carry_out(undo)))
        return not failed

    # -- undo -----------------------------------------------------------------------------------

    def on_view_undoable(self, message: "View.Undoable") -> None:
        """Offer to undo what a view did."""
        self.notify(f"{message.words} · u undoes it", timeout=UNDO_SECONDS)
        self._offer_undo(message.undo)

    def _offer_undo(self, undo: Callable[[], object]) -> None:
        self.undoable = time.monotonic() + UNDO_SECONDS, undo
        self.refresh_bindings()
        self.set_timer(UNDO_SECONDS + 0.1, self.refresh_bindings)

    def action_undo(self) -> None:
        """Undo what was done last."""
        if self.undoable is not None and time.monotonic() < self.undoable[0]:
            undo, self.undoable = self.undoable[1], None
            undo()
            self.refresh_bindings()

    # -- words ----------------------------------------------------------------------------------

    def words(self) -> tuple[Word, ...]:
        """What can be said here: a read-only terminal knows no word that acts."""
        return tuple(word for word in WORDS if not (self.read_only and word.acts))

    def action_search(self) -> None:
        """Ask what to look for in the table in focus."""
        self.require_view().action_search()

    def action_command(self) -> None:
        """Open the command line."""
        self.open_command()

    def open_command(self, typed: str = "") -> None:
        """Open the command line on what is typed so far."""
        self.screen_stack[0].query_one(CommandLine).open(self.words(), self.snapshot, typed)

    @on(CommandLine.Said)
    async def obey(self, message: CommandLine.Said) -> None:
        """Do what was said; what cannot be done stays on the line, with the reason."""
        refusal = await self._say(message.line)
        if refusal:
            self.screen_stack[0].query_one(CommandLine).refuse(refusal)
        else:
            self.screen_stack[0].query_one(CommandLine).close()

    @on(CommandLine.Left)
    def resume(self) -> None:
        """Give the keyboard back to the view, unless what was said took it elsewhere."""
        view = self.view_in_sight()
        if view is not None and not isinstance(self.screen, ModalScreen):
            self.screen.set_focus(view if view.can_focus else view.table or view)

    async def say(self, line: str) -> None:
        """Do what a line says; show why not, if it cannot be done."""
        if refusal := await self._say(line):
            self.notify(refusal, severity="error")

    async def _say(self, line: str) -> str:
        """Do what a line says; the reason, if it cannot be done."""
        name = line.strip().removeprefix(":").partition(" ")[0].lower()
        if self.read_only and any(word.acts and word.name == name for word in WORDS):
            return READ_ONLY
        try:
            await say(self, line)
        except InputError as error:
            return str(error)
        return ""

    # -- export, jump, help ---------------------------------------------------------------------

    @work
    async def action_export(self) -> None:
        """Ask what to write, then write it."""
        from server.tui.choose import ChoiceDialog
        from server.tui.export import FORMATS

        if form := await self.push_screen_wait(ChoiceDialog("Export", FORMATS)):
            await self.say(f"export {form}")

    def export(self, words: Sequence[str]) -> None:
        """Write the screen, or the rows of the table in focus; raise `InputError` where that cannot be."""
        from server.tui.export import as_csv, as_json, file_name, form_of, write

        form, file = form_of(words)
        table = self.require_table() if form != "svg" else None
        name = file or file_name(self.current, table.id or "" if table else "", form, self.clock())
        text = self.export_screenshot() if table is None else (as_csv if form == "csv" else as_json)(table.values())
        path = write(Path(name), text)
        self.notify(f"{path} · {f'{len(table.keys)} rows' if table else 'the screen'}", title="Exported", timeout=8)

    @work
    async def action_jump(self) -> None:
        """Put a letter on everything that takes the keyboard, and go where one is typed."""
        from server.tui.jump import JumpScreen, targets

        found = targets(list(self.screen.query(Widget)))
        if goal := await self.push_screen_wait(JumpScreen(found)):
            goal.focus()

    def action_help(self) -> None:
        """Explain the keys of what has the keyboard, and the words."""
        from server.tui.help import HelpDialog, groups

        view = self.view_in_sight()
        self.push_screen(HelpDialog(groups(self, view), view.WORDS if view else {}))


def run(federation: Federation, *, read_only: bool = False, ascii_only: bool | None = None) -> None:
    """Open the terminal on a federation; raise `InputError` if there is none, `SystemExit` if it did not end well."""
    federation.settings()
    app = CoveyApp(federation.home, read_only=read_only, ascii_only=ascii_only)
    app.run()
    if app.return_code:
        raise SystemExit(app.return_code)
