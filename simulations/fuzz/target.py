"""What is fuzzed: something that parses, inputs that it takes, and the only way in which it may say no."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

Form = Literal["bytes", "text", "json", "toml", "proto", "object"]
"""How a part of an input is written, so that it can be changed by its own grammar as well as byte by byte.

An `object` is one of Flower's: a head, then JSON or protobuf.
"""

Kind = Literal["crash", "hang", "memory", "charge"]
"""What may be found: an exception that is no `CoveyError` or a process that ended; an input that takes too long, or too
much memory; a charge without its events, or more than one, or a paid reply without a charge."""

KINDS: tuple[Kind, ...] = ("crash", "hang", "memory", "charge")

Run = Callable[[bytes], str]
"""Parses one input and says in a word what came of it. May raise `CoveyError` and nothing else, but `Broken`."""


class Broken(Exception):
    """A promise that an input broke, though nothing was raised."""

    def __init__(self, kind: Kind, text: str) -> None:
        """`text` says what was seen."""
        super().__init__(text)
        self.kind: Kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One parser.

    `parts` are the forms of an input's parts, in order (`pack` says how they stand in one input). `open` makes what
    parses for as long as the context lasts. `share` is how many of 1000 inputs are spent here. `pays` is set where an
    input may cost a device budget.
    """

    name: str
    parts: tuple[Form, ...]
    share: int
    seeds: Callable[[], Sequence[bytes]]
    open: Callable[[], AbstractContextManager[Run]]
    pays: bool = False


def pack(*parts: bytes) -> bytes:
    """One input of several parts: each but the last after its length in four bytes. One part stands as it is."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts[:-1]]) + parts[-1]


def unpack(data: bytes, count: int) -> list[bytes]:
    """The parts of an input; raise `ValueError` if it has not so many."""
    parts: list[bytes] = []
    for _ in range(count - 1):
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            raise ValueError("an input ends in the middle of a part")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return [*parts, data]
