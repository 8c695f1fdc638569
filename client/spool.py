"""Rows as they grow: in memory while they are few, then in a nameless file that vanishes with the process."""

import mmap
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError

IN_MEMORY_ROWS = 250_000
"""Below this many rows examples stay in memory; 60 inputs then take 60 MB."""


MOST_EXPECTED = 100_000_000
"""Rows that are laid out at once at most, whatever a damaged file says of itself."""


class Growing:
    """An array that grows at its end; what was expected is laid out at once, so that no row is held twice."""

    def __init__(self, dtype: Any, *, expected: int) -> None:
        """So many rows are expected; there may be fewer or more."""
        self._rows, self._array = 0, np.empty(min(expected, MOST_EXPECTED), dtype)

    def add(self, rows: NDArray[Any]) -> None:
        """Append values, shape `(rows,)`."""
        end = self._rows + len(rows)
        if end > len(self._array):
            smaller, self._array = self._array, np.empty(max(end, 2 * len(self._array)), self._array.dtype)
            self._array[: self._rows] = smaller[: self._rows]
        self._array[self._rows : end] = rows
        self._rows = end

    def array(self) -> NDArray[Any]:
        """All values, shape `(rows,)`."""
        return self._array[: self._rows]


class Spool:
    """Rows of one type and width, added batch by batch; on disk above `IN_MEMORY_ROWS` where there is a `scratch`.

    The file has no name, so nothing of it stays behind, whenever the process ends.
    """

    def __init__(self, dtype: Any, shape: tuple[int, ...], *, scratch: Path | None, ceiling: int) -> None:
        """Each row has `shape`; `ceiling` is how many bytes the file may take."""
        self._dtype, self._shape = np.dtype(dtype), shape
        self._scratch, self._ceiling = scratch, ceiling
        self._parts: list[NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        self._rows = 0

    def add(self, rows: NDArray[Any]) -> None:
        """Append; raise `InputError` where the disk or its ceiling is full."""
        self._rows += len(rows)
        self._parts.append(np.ascontiguousarray(rows, dtype=self._dtype))
        if self._scratch is not None and self._rows > IN_MEMORY_ROWS:
            self._flush(self._scratch)

    def _flush(self, scratch: Path) -> None:
        if self._bytes > self._ceiling:
            raise InputError(f"examples need more than {self._ceiling / 2**20:.0f} MB of disk, the owner's ceiling")
        try:
            self._file = self._file or _nameless(scratch)
            for part in self._parts:
                self._file.write(part.data)
            self._file.flush()
        except OSError as error:
            raise InputError(f"examples cannot be kept in {scratch}: {error.strerror or error}") from None
        self._parts.clear()

    @property
    def _bytes(self) -> int:
        return self._rows * int(np.prod(self._shape, dtype=np.int64)) * self._dtype.itemsize

    def array(self) -> NDArray[Any]:
        """All rows, shape `(rows, *shape)`; a view of the file where there is one, which the array keeps open."""
        if self._file is None:
            return np.concatenate([np.zeros((0, *self._shape), self._dtype), *self._parts])
        mapped = mmap.mmap(self._file.fileno(), self._bytes)
        self._file.close()
        return np.frombuffer(mapped, self._dtype).reshape(self._rows, *self._shape)


def _nameless(scratch: Path) -> IO[bytes]:
    scratch.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=scratch)
