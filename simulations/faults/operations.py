"""What a process does to an agent's files, operation by operation, heard just before each one happens."""

import os
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "COMMIT", "CREATE", "VACUUM")
_NAMES = {"os.rename": "rename to", "os.remove": "remove", "os.rmdir": "remove", "os.link": "link"}
_DRAFT = re.compile(r"^\.(.+)\.[0-9a-f]{8}$")
_RANDOM = re.compile(r"(?<=served)-[0-9a-f]{16}")

Heard = Callable[[str], None]


def listen(home: Path, heard: Heard) -> None:
    """Call `heard` with the name of each operation on a file below `home` from now on, in this process for good.

    Names tell operations of one life apart: the same one twice is told as `... #2`.
    """
    ear = _Ear(str(home), heard)
    connect = sqlite3.connect

    def followed(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **named)
        connection.set_trace_callback(ear.statement)
        return connection

    sqlite3.connect = followed
    sys.addaudithook(ear)


class _Ear:
    def __init__(self, home: str, heard: Heard) -> None:
        self._home, self._heard, self._counts, self._busy = home, heard, Counter[str](), False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and not _is_folder(path):
                self._note("write", path)
        elif event == "os.mkdir":
            if not _is_folder(arguments[0]):
                self._note("make", arguments[0])
        elif event in _NAMES:
            self._note(_NAMES[event], arguments[1] if event in ("os.rename", "os.link") else arguments[0])

    def statement(self, sql: str) -> None:
        """SQLite is about to carry out a statement."""
        words = sql.split(None, 3)
        if words and words[0].upper() in _CHANGES:
            what = next((word for word in words[1:] if word not in ("INTO", "FROM", "OR", "REPLACE", "TABLE")), "")
            self._tell(f"SQL {words[0].upper()} {what}".strip())

    def _note(self, verb: str, path: Any) -> None:
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if text and (text.startswith(self._home) or not Path(text).is_absolute()):
            self._tell(f"{verb} {_plain(Path(text).name)}")

    def _tell(self, name: str) -> None:
        self._counts[name] += 1
        self._busy = True
        try:
            self._heard(name if self._counts[name] == 1 else f"{name} #{self._counts[name]}")
        finally:
            self._busy = False


def _is_folder(path: Any) -> bool:
    return isinstance(path, (str, bytes, os.PathLike)) and Path(os.fsdecode(path)).is_dir()


def _plain(name: str) -> str:
    """A file's name without what is drawn at random."""
    draft = _DRAFT.match(name)
    name = f"draft of {draft[1]}" if draft else name
    return "draft" if name.startswith("tmp") else _RANDOM.sub("", name)
