"""The Audit view: who did what, when, and by which command; the newest first, and what takes something away in red."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from server.records import AuditEntry
from server.tui.auditrows import COLUMNS, Written, cells_of, entry_page, fields_of, grave, written
from server.tui.table import Listing, Table
from server.tui.view import View, advice, framed
from server.tui.watcher import AUDIT_SHOWN, Snapshot
from server.tui.words import line, muted, stamp, toned


class AuditView(View):
    """The acts in a table, each with a page of its own."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "copy", "Copy command")]
    WORDS: ClassVar[dict[str, str]] = {
        "since:2d": "after /, what was done in the last two days",
        "who:operator": "after /, what a person did; coordinator: what it did by itself",
        "grave": "it took something away: halt, revoke, withdraw",
    }
    shown_of: tuple[AuditEntry, ...] | None = None
    entries: Sequence[Written] = ()

    def panels(self) -> ComposeResult:
        """One table."""
        yield framed(Table(COLUMNS, id="audit"), "Acts")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Every act of an operator is written down; a new federation has none."""
        if snapshot.audit:
            return None
        return advice(
            "Nobody has done anything yet.",
            ("covey invite", "and every other act is written down here, with who did it and the command line that did"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """One row an act, made as it comes into sight."""
        table = self.query_one("#audit", Table)
        if snapshot.audit != self.shown_of:
            self.shown_of, self.entries = snapshot.audit, written(snapshot.audit)
            table.border_subtitle = summary(snapshot.audit)
        now = self.now
        table.list(
            Listing(
                items=self.entries,
                key=lambda each: each.key,
                cells=cells_of,
                fields=lambda each: fields_of(each.entry, now),
            )
        )

    def page(self, table: Table, key: str, width: int) -> tuple[str, Content] | None:  # noqa: ARG002 - there is one table
        """One act, with its whole command line."""
        found = next((each.entry for each in self.entries if each.key == key), None)
        return (f"{found.act}, {stamp(found.at)}", entry_page(found, self.now, width)) if found else None

    def action_copy(self) -> None:
        """Copy the command lines of the marked acts, or of the one under the cursor."""
        chosen = set(self.query_one("#audit", Table).targets)
        commands = [each.entry.command for each in self.entries if each.key in chosen and each.entry.command]
        if not commands:
            self.notify("No command did that: the coordinator acted by itself.", severity="warning")
            return
        self.app.copy_to_clipboard("\n".join(reversed(commands)))
        self.notify(f"Copied {commands[0]}" if len(commands) == 1 else f"Copied {len(commands)} commands, oldest first")


def summary(entries: Sequence[AuditEntry]) -> Content:
    """By whom how much was done, what of it was grave, and where older acts are."""
    actors = Counter(entry.actor for entry in entries)
    parts = [muted(f"{count} by {actor}") for actor, count in sorted(actors.items())]
    if found := sum(grave(entry.act) for entry in entries):
        parts.append(toned(f"■ {found} grave", "$text-error"))
    if len(entries) == AUDIT_SHOWN:
        parts.append(muted("older: covey audit --limit"))
    return line(*parts, gap="  ")
