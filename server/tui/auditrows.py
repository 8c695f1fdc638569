"""The audit log as rows: each act with its mark, what it says to queries, and a page of its own. Nothing here reads."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from textual.content import Content

from server.records import AuditEntry
from server.tui.query import Age, Value
from server.tui.table import Cell, Column
from server.tui.words import Mark, ago, line, lines, muted, stamp, strong, toned

COLUMNS = (
    Column("When", 16),
    Column("Who", 11, rank=1),
    Column("Act", 10),
    Column("Detail", 20, grow=True),
    Column("Command", 24, rank=2, grow=True),
)
MARKS = {
    "halt": Mark("■", "halt", "$text-error"),
    "revoke": Mark("✕", "revoke", "$text-error"),
    "withdraw": Mark("✕", "withdraw", "$text-error"),
    "restore": Mark("▲", "restore", "$text-warning"),
    "recover": Mark("▲", "recover", "$text-warning"),
    "rotate": Mark("▲", "rotate", "$text-warning"),
    "promote": Mark("●", "promote", "$text-success"),
    "approve": Mark("●", "approve", "$text-success"),
}
"""The acts that deserve a look; all others are plain."""
GRAVE = {"halt", "revoke", "withdraw"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One entry, under a key that stays its own while others are added."""

    key: str
    entry: AuditEntry


def written(entries: Sequence[AuditEntry]) -> tuple[Written, ...]:
    """The entries, newest first; those of the same moment are told apart by their order."""
    seen: Counter[float] = Counter()
    found: list[Written] = []
    for entry in entries:
        seen[entry.at] += 1
        found.append(Written(key=f"{entry.at!r}/{seen[entry.at]}", entry=entry))
    return tuple(reversed(found))


def grave(act: str) -> bool:
    """Whether an act takes something away from devices."""
    return act in GRAVE


def mark_of(act: str) -> Content:
    """An act with its mark."""
    return MARKS[act].content() if act in MARKS else line(muted("· "), act)


def cells_of(each: Written) -> tuple[Cell, ...]:
    """One act's row."""
    entry = each.entry
    who = Content(entry.actor) if entry.actor != "coordinator" else muted(entry.actor)
    return muted(stamp(entry.at)), who, mark_of(entry.act), entry.detail, muted(entry.command)


def fields_of(entry: AuditEntry, now: float) -> dict[str, Value]:
    """What an act says to queries and exports."""
    return {
        "when": exact(entry.at),
        "who": entry.actor,
        "act": entry.act,
        "detail": entry.detail,
        "command": entry.command,
        "since": Age(now - entry.at),
        "severity": "grave" if grave(entry.act) else "",
    }


def exact(then: float) -> str:
    """A moment to the second, in UTC."""
    return f"{datetime.fromtimestamp(then, UTC):%Y-%m-%d %H:%M:%S}"


def entry_page(entry: AuditEntry, now: float, width: int) -> Content:
    """One act with all of its words, `width` cells wide."""
    severe = line(
        mark_of(entry.act), toned("  grave: it took something away", "$text-error") if grave(entry.act) else ""
    )
    command = entry.command or "none: the coordinator acted by itself"
    return lines(
        severe,
        line(muted(f"{exact(entry.at)} UTC, {ago(entry.at, now)}, by "), entry.actor),
        "",
        strong("What"),
        entry.detail or muted("nothing more was written down"),
        "",
        line(strong("Command"), muted("  y copies it") if entry.command else ""),
        *(Content(part) if entry.command else muted(part) for part in folded(command, width)),
    )


def folded(command: str, width: int) -> list[str]:
    """A command line in lines of about `width` cells, broken between its words as a shell would read it."""
    try:
        words = [shlex.quote(word) for word in shlex.split(command)]
    except ValueError:
        return [command]
    rows: list[str] = []
    for word in words:
        if rows and len(rows[-1]) + len(word) + 3 <= width:
            rows[-1] += f" {word}"
        else:
            rows.append(f"    {word}" if rows else word)
    return [*(f"{row} \\" for row in rows[:-1]), *rows[-1:]]
