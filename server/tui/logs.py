"""The Logs view: what the coordinator's processes write, as it is written, of all files together or of one."""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import ClassVar, get_args

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import MouseScrollUp
from textual.message import Message
from textual.scrollbar import ScrollTo, ScrollUp

from server.config import Federation
from server.tui.lazy import Fields
from server.tui.logbook import Entry, Found, LogBook
from server.tui.logrows import (
    ALL,
    ENTRIES,
    FIELDS,
    FILES,
    Least,
    all_row,
    entry_cells,
    entry_page,
    file_row,
    grave_enough,
    whole_text,
)
from server.tui.table import Listing, Table
from server.tui.view import View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import line, muted, plural, toned

LOOK_SECONDS = 0.5


class LogTable(Table):
    """A table that says when the mouse scrolled it up."""

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:  # noqa: ARG002 - that it happened is enough
        """The wheel."""
        self._left_end()

    def on_scroll_up(self, event: ScrollUp) -> None:  # noqa: ARG002 - that it happened is enough
        """A click above the bar."""
        self._left_end()

    def on_scroll_to(self, event: ScrollTo) -> None:
        """The bar itself, unless it is drawn to the end."""
        if event.y is not None and event.y < self.max_scroll_y:
            self._left_end()

    def _left_end(self) -> None:
        if isinstance(view := self.parent and self.parent.parent, LogsView):
            view.follow_lines(on=False)


class LogsView(View):
    """Files, and their entries as they come; a cursor that leaves the last entry stops the following."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow"),
        Binding("l", "level", "Level"),
    ]
    WORDS: ClassVar[dict[str, str]] = {
        "follow": "the newest entry stays in sight; going up stops that, f or G takes it up",
        "level": "l shows everything, warnings and errors, or errors alone",
        "level:error": "after /; also file:run-5, since:10min, what~timeout",
    }

    @dataclass
    class Looked(Message):
        """What was found in the folder, of which file alone, if of one."""

        found: Found
        only: str

    found: Found | None = None
    following = True
    least: Least = "everything"
    only = ""

    def panels(self) -> ComposeResult:
        """Files, then the entries of the one under the cursor."""
        yield framed(Table(FILES, id="files"), "Files")
        yield framed(LogTable(ENTRIES, id="entries"), "Entries")

    def on_mount(self) -> None:
        """Look into the folder while somebody looks here."""
        self._book, self._lock, self._looking = LogBook(self.folder()), Lock(), False
        self._shown: tuple[object, ...] = ()
        self._entries: tuple[Entry, ...] = ()
        self._wanted = ""
        self._look()
        self.set_interval(LOOK_SECONDS, self._look)

    def on_unmount(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._book.close()

    def folder(self) -> Path:
        """Where the processes write."""
        from server.tui.app import CoveyApp

        return Federation(self.app.home if isinstance(self.app, CoveyApp) else Path()).logs

    # -- reading, beside the drawing ----------------------------------------------------------------

    def _look(self) -> None:
        if self.display and not self._looking:
            self._looking = True
            self._read(self.only)

    @work(thread=True)
    def _read(self, only: str) -> None:
        with self._lock:
            found = self._book.look(only)
        self.post_message(self.Looked(found, only))

    def on_logs_view_looked(self, message: Looked) -> None:
        """Show what was found; look again at once if another file was chosen meanwhile."""
        self._looking, self.found = False, message.found
        if self.snapshot is not None:
            self.show(self.snapshot, self.now)
        if message.only != self.only:
            self._look()

    # -- showing ------------------------------------------------------------------------------------

    def hint(self, snapshot: Snapshot) -> Content | None:  # noqa: ARG002 - files speak here, not the store
        """A coordinator that ran leaves a file."""
        if self.found is None or self.found.files:
            return None
        return advice(
            "Nothing has been written yet.",
            ("covey serve", "starts the coordinator, which writes here what it does"),
            ("covey serve -v", "writes more, and into its own terminal as well"),
        )

    def fill(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - files speak here, not the store
        """The files, then the entries of the chosen one."""
        if self.found is None:
            return
        files = self.query_one("#files", Table)
        files.show([all_row(len(self.found.files)), *(file_row(file, self.now) for file in self.found.files)])
        if self._wanted:
            self._choose(files)
        self.following = self.following and at_end(self.query_one("#entries", Table))
        self._fill_entries()

    def _fill_entries(self) -> None:
        found, table, now = self.found or Found(), self.query_one("#entries", Table), self.now
        if self._shown != (id(found.entries), self.least):
            self._shown = (id(found.entries), self.least)
            self._entries = tuple(entry for entry in found.entries if grave_enough(entry, self.least))
        table.list(
            Listing(
                items=self._entries,
                key=lambda entry: entry.key,
                cells=lambda entry: entry_cells(entry, now),
                fields=lambda entry: Fields(FIELDS, entry, now),
            )
        )
        if self.following:
            table.action_edge(1)
        table.border_title = f"Entries of {self.only}" if self.only else "Entries of the files written last"
        table.border_subtitle = self._standing()

    def _standing(self) -> Content:
        """How many entries there are, of which levels, and whether the newest stays in sight."""
        way = toned("● following", "$text-success") if self.following else toned("■ held, f follows", "$text-warning")
        least = [toned(f"{self.least} only", "$text-primary")] if self.least != "everything" else []
        return line(muted(plural(len(self._entries), "entry", "entries")), *least, way, gap="  ")

    def page(self, table: Table, key: str, width: int) -> tuple[str, Content] | None:  # noqa: ARG002 - lines break by themselves
        """One entry with all that follows it."""
        found = next((entry for entry in self._entries if entry.key == key), None)
        return (key, entry_page(found)) if found else None

    # -- keys ---------------------------------------------------------------------------------------

    def focus_first(self) -> None:
        """The entries have the keyboard, unless there are none."""
        if self.can_focus:
            self.focus()
        else:
            self.query_one("#entries", Table).focus()

    def land(self, table: str, key: str) -> None:
        """Choose a file, once it is known."""
        if table == "files":
            self._wanted = key
        self.focus_first()
        self.refill()

    def _choose(self, files: Table) -> None:
        wanted, self._wanted = self._wanted, ""
        if wanted in files.keys:
            files.select(wanted)
        else:
            self.notify(f"{wanted} is not there: that run has written nothing yet", severity="warning")

    @on(Table.Highlighted, "#files")
    def choose_file(self, message: Table.Highlighted) -> None:
        """Show the entries of the file under the cursor, from its end."""
        self.only, self.following = "" if message.key == ALL else message.key, True
        self._fill_entries()
        self._look()

    @on(Table.Highlighted, "#entries")
    def stay(self, message: Table.Highlighted) -> None:
        """Follow from the last entry on, and hold anywhere else."""
        self.follow_lines(on=at_end(message.table))

    def on_table_opened(self, message: Table.Opened) -> None:
        """A file is opened by going to its entries; an entry has a page, as every row has."""
        if message.table.id == "files":
            message.prevent_default()
            self.query_one("#entries", Table).focus()

    def follow_lines(self, *, on: bool) -> None:
        """Keep the newest entry in sight, or stay."""
        if on != self.following:
            self.following = on
            self._fill_entries()

    def action_follow(self) -> None:
        """Follow, or hold."""
        self.follow_lines(on=not self.following)

    def action_level(self) -> None:
        """Show everything, then warnings and errors, then errors alone."""
        words: tuple[Least, ...] = get_args(Least)
        self.least = words[(words.index(self.least) + 1) % len(words)]
        self._fill_entries()

    def action_copy(self) -> None:
        """Copy the marked entries, or the one under the cursor, as their files have them."""
        chosen = set(self.query_one("#entries", Table).targets)
        texts = [whole_text(entry) for entry in self._entries if entry.key in chosen]
        self.app.copy_to_clipboard("\n".join(texts))
        self.notify(f"Copied {plural(len(texts), 'entry', 'entries')}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what is about entries only where there are files."""
        if action in {"follow", "level"}:
            return not self.has_class("-empty")
        return super().check_action(action, parameters)


def at_end(table: Table) -> bool:
    """Whether the cursor is on the last row."""
    return table.cursor >= len(table.keys) - 1
