"""One input from others: each part changed by the grammar of its form, or byte by byte."""

from collections.abc import Callable, Sequence
from random import Random

from simulations.fuzz.bytewise import change_bytes
from simulations.fuzz.structure import change_document, read_json, read_toml, write_json, write_toml
from simulations.fuzz.target import Form, pack, unpack

_READ = {"json": read_json, "toml": read_toml}
_WRITE = {"json": write_json, "toml": write_toml}
_BY_GRAMMAR = 0.75


def mutate(parts: tuple[Form, ...], pool: Sequence[bytes], random: Random) -> bytes:
    """A new input, made of one of the pool; mostly one part of it is changed, sometimes several, or none but exchanged."""
    found = unpack(random.choice(pool), len(parts))
    for _ in range(1 if random.random() < 0.8 else 2):
        index = random.randrange(len(parts))

        def other(index: int = index) -> bytes:
            return unpack(random.choice(pool), len(parts))[index]

        exchanged = len(parts) > 1 and random.random() < 0.1
        found[index] = other() if exchanged else _change(parts[index], found[index], random, other)
    return pack(*found)


def _change(form: Form, data: bytes, random: Random, other: Callable[[], bytes]) -> bytes:
    read, write = _READ.get(form), _WRITE.get(form)
    if read is None or write is None or random.random() > _BY_GRAMMAR:
        return change_bytes(data, random, other)
    try:
        node, more = read(data), other()
        return write(change_document(node, random, lambda: read(more)))
    except (ValueError, RecursionError):
        return change_bytes(data, random, other)
