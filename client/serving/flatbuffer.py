"""Reads the few FlatBuffers tables that an Arrow stream's headers are made of, with every offset checked.

https://flatbuffers.dev/internals/: a table starts with the distance back to its vtable, which holds each field's place.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import ContractError


@dataclass(frozen=True, slots=True)
class Table:
    """One table within `data`; a field that was left out has its default."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> "Table":
        """The table that a buffer is about."""
        return cls(data, number(data, "<I", 0))

    def scalar(self, field: int, kind: str, default: int = 0) -> int:
        """A number of `struct` format `kind`."""
        place = self._place(field)
        return number(self.data, kind, place) if place else default

    def table(self, field: int) -> "Table | None":
        """A table, or None."""
        place = self._place(field)
        return Table(self.data, self._follow(place)) if place else None

    def text(self, field: int) -> str:
        """A string, empty if left out."""
        place = self._place(field)
        if not place:
            return ""
        start = self._follow(place)
        return slice_of(self.data, start + 4, number(self.data, "<I", start)).decode("utf-8", "replace")

    def tables(self, field: int) -> Iterator["Table"]:
        """A vector of tables."""
        for place in self._items(field, 4):
            yield Table(self.data, self._follow(place))

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """A vector of structs that hold two 64-bit numbers."""
        for place in self._items(field, 16):
            yield number(self.data, "<q", place), number(self.data, "<q", place + 8)

    def _items(self, field: int, size: int) -> range:
        place = self._place(field)
        if not place:
            return range(0)
        start = self._follow(place)
        count = number(self.data, "<I", start)
        slice_of(self.data, start + 4, count * size)
        return range(start + 4, start + 4 + count * size, size)

    def _place(self, field: int) -> int:
        """Where a field lies in the buffer; 0 if it was left out."""
        vtable = self.at - number(self.data, "<i", self.at)
        slot = 4 + 2 * field
        offset = number(self.data, "<H", vtable + slot) if slot < number(self.data, "<H", vtable) else 0
        return self.at + offset if offset else 0

    def _follow(self, place: int) -> int:
        return place + number(self.data, "<I", place)


def number(data: bytes, kind: str, at: int) -> int:
    """A number of `struct` format `kind`, or `ContractError` if it would lie outside."""
    return int(struct.unpack(kind, slice_of(data, at, struct.calcsize(kind)))[0])


def slice_of(data: bytes, start: int, length: int) -> bytes:
    """So many bytes from `start`, or `ContractError` if they would lie outside."""
    if start < 0 or length < 0 or start + length > len(data):
        raise ContractError("the Arrow stream is damaged: a header points outside of it")
    return data[start : start + length]
