"""Log entries and files as rows, and an entry's page. Nothing here reads."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

from textual.content import Content

from server.tui.logbook import Entry, LogFile
from server.tui.query import Age, Value
from server.tui.table import Cell, Column, Row
from server.tui.words import Mark, ago, line, lines, muted, size, stamp, strong, toned

ALL = "all"
"""The row of the files that stands for those written last, together."""
FILES = (Column("File", 14, grow=True), Column("Written", 7, right=True), Column("Size", 7, rank=1, right=True))
ENTRIES = (
    Column("Time", 8),
    Column("Level", 9),
    Column("File", 11, rank=1),
    Column("Logger", 12, rank=2),
    Column("What", 30, grow=True),
)
Least = Literal["everything", "warnings", "errors"]
LEAST: dict[Least, int] = {"everything": 0, "warnings": 30, "errors": 40}
"""From which level on entries are shown, by the word for it."""
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
MARKS = {
    "debug": Mark("·", "debug", "$foreground 60%"),
    "info": Mark("·", "info", "$foreground 60%"),
    "warning": Mark("▲", "warning", "$text-warning"),
    "error": Mark("✕", "error", "$text-error"),
    "critical": Mark("✕", "critical", "$text-error"),
}


def grave_enough(entry: Entry, least: Least) -> bool:
    """Whether an entry is of the level asked for, or above."""
    return LEVELS.get(entry.level, 0) >= LEAST[least]


def entry_cells(entry: Entry, now: float) -> tuple[Cell, ...]:
    """One entry's row; what follows it is counted, and on its page. Of another day than now the day is told, not the time."""
    today = clock(entry.at, "%Y-%m-%d") == stamp(now)[:10]
    mark = MARKS.get(entry.level)
    tone = mark.tone if mark and mark.word not in {"debug", "info"} else ""
    more = f"  +{len(entry.following)} lines" if entry.following else ""
    return (
        muted(clock(entry.at, "%H:%M:%S" if today else "%d %b")),
        mark.content() if mark else muted(entry.level),
        muted(entry.file),
        muted(entry.logger.rpartition(".")[2]),
        line(toned(entry.text, tone) if tone else entry.text, muted(more)),
    )


def moment(at: str) -> datetime:
    """A local time as logs write it, in UTC."""
    return datetime.fromisoformat(at).astimezone(UTC)


def clock(at: str, form: str) -> str:
    """The same as text; empty where there is no time."""
    return f"{moment(at):{form}}" if at else ""


def since(entry: Entry, now: float) -> Age | None:
    """How long ago an entry was written."""
    return Age(now - moment(entry.at).timestamp()) if entry.at else None


FIELDS: Mapping[str, Callable[[Entry, float], Value]] = {
    "time": lambda entry, _: clock(entry.at, "%Y-%m-%d %H:%M:%S"),
    "level": lambda entry, _: entry.level,
    "file": lambda entry, _: entry.file,
    "logger": lambda entry, _: entry.logger,
    "what": lambda entry, _: "\n".join((entry.text, *entry.following)),
    "process": lambda entry, _: entry.process,
    "since": since,
}
"""What an entry says to queries and exports."""


def entry_page(entry: Entry) -> Content:
    """One entry with all that follows it."""
    mark = MARKS.get(entry.level)
    where = ", ".join(part for part in (f"{entry.file}.log", entry.process and f"process {entry.process}", entry.logger) if part)  # fmt: skip
    return lines(
        line(
            mark.content() if mark else "",
            muted(f"  {clock(entry.at, '%Y-%m-%d %H:%M:%S')} UTC  {where}" if entry.at else f"  {where}"),
        ),
        "",
        strong(entry.text),
        *(Content(each) for each in entry.following),
    )


def file_row(file: LogFile, now: float) -> Row:
    """One file."""
    cells = (
        toned(f"✕ {file.name}: {file.trouble}", "$text-error")
        if file.trouble
        else strong(file.name.removesuffix(".log")),
        muted(ago(file.written, now).removesuffix(" ago")),
        muted(size(file.bytes)),
    )
    return Row(file.name, cells, {"file": file.name, "written": Age(now - file.written), "size": float(file.bytes)})


def all_row(files: int) -> Row:
    """The row of those written last, together."""
    return Row(ALL, (strong("all together"), "", muted(f"{files} files" if files != 1 else "1 file")), {"file": ALL, "written": None, "size": None})  # fmt: skip


def whole_text(entry: Entry) -> str:
    """An entry as its file has it."""
    lead = f"{entry.at} {entry.level.upper():<7} {entry.process} {entry.logger}: " if entry.at else ""
    return "\n".join((lead + entry.text, *entry.following))
