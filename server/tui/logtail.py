"""One growing file, read from near its end on: no line twice, none lost as it turns over, no more than a part at a time."""

import os
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 256_000
"""So much is read of a file at first, and at a time; what a burst wrote before that is left out."""
LONGEST = 16_000
"""Bytes of one line; a longer one is cut into several."""


class Tail:
    """Keeps its file open, so that the rest of one that turned over is read before the new one."""

    def __init__(self, path: Path, *, most: int = MOST_BYTES) -> None:
        """Nothing is opened before `read`."""
        self._path, self._most = path, most
        self._file: BinaryIO | None = None
        self._begun = b""

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._begun = None, b""

    def read(self) -> list[str]:
        """The whole lines written since the last time, at first those near the end; raise `OSError` if there is no file."""
        there = self._path.stat()
        found: list[str] = []
        if self._file is not None and not os.path.samestat(there, os.fstat(self._file.fileno())):
            found = [*self._more(self._file), *self._unfinished()]
            self.close()
        if self._file is None:
            self._file = self._path.open("rb")
        return [*found, *self._more(self._file)]

    def _more(self, file: BinaryIO) -> list[str]:
        """What came to the file; from its beginning, if it was cut."""
        size, at = os.fstat(file.fileno()).st_size, file.tell()
        if size < at:
            at, self._begun = 0, b""
        skipped = size - at > self._most
        file.seek(size - self._most if skipped else at)
        text = file.read(self._most if skipped else size - at)
        if skipped:
            self._begun, text = b"", text.partition(b"\n")[2]
        *whole, self._begun = (self._begun + text).split(b"\n")
        if len(self._begun) > LONGEST:
            whole, self._begun = [*whole, self._begun], b""
        return [part for line in whole for part in _lines(line)]

    def _unfinished(self) -> list[str]:
        """The last line of a file that nobody writes to any more."""
        return _lines(self._begun) if self._begun else []


def _lines(line: bytes) -> list[str]:
    """A line as text, in parts if it is too long; what is no text is replaced."""
    parts = [line[at : at + LONGEST] for at in range(0, max(1, len(line)), LONGEST)]
    return [part.decode(errors="replace").rstrip("\r") for part in parts]
