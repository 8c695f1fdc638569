"""One input from others: each part changed by the grammar of its form, or byte by byte."""

from collections.abc import Callable, Sequence
from random import Random

from simulations.fuzz.bytewise import change_bytes
from simulations.fuzz.protowire import change_proto
from simulations.fuzz.structure import change_document, read_json, read_toml, write_json, write_toml
from simulations.fuzz.target import Form, pack, unpack

_BY_GRAMMAR = 0.8
"""How often a part that has a grammar is changed by it."""


def mutate(parts: tuple[Form, ...], pool: Sequence[bytes], random: Random) -> bytes:
    """A new input, made of one of the pool; mostly one part of it is changed, sometimes several, or exchanged."""
    found = unpack(random.choice(pool), len(parts))
    for _ in range(1 if random.random() < 0.8 else 2):
        index = random.randrange(len(parts))

        def other(index: int = index) -> bytes:
            return unpack(random.choice(pool), len(parts))[index]

        exchanged = len(parts) > 1 and random.random() < 0.1
        found[index] = other() if exchanged else _change(parts[index], found[index], random, other)
    return pack(*found)


def _change(form: Form, data: bytes, random: Random, other: Callable[[], bytes]) -> bytes:
    if random.random() < _BY_GRAMMAR:
        try:
            return _by_grammar(form, data, random, other())
        except (ValueError, RecursionError):
            pass
    return change_bytes(data, random, other)


def _by_grammar(form: Form, data: bytes, random: Random, other: bytes) -> bytes:
    """Raise `ValueError` where the form has no grammar, or the data does not follow it."""
    match form:
        case "json":
            return write_json(change_document(read_json(data), random, lambda: read_json(other)))
        case "toml":
            return write_toml(change_document(read_toml(data), random, lambda: read_toml(other)))
        case "proto":
            return change_proto(data, random, other)
        case "object":
            return _change_object(data, random, other)
        case "bytes" | "text":
            raise ValueError("it has no grammar")


def _change_object(data: bytes, random: Random, other: bytes) -> bytes:
    """One of Flower's objects: a head, then JSON or protobuf; mostly the body is changed, and its length put right."""
    head, middle, body = data.partition(b"\0")
    if not middle or random.random() < 0.2:
        return change_bytes(head, random, lambda: other) + middle + body
    changed = _change("json" if body[:1] in (b"{", b"[") else "proto", body, random, lambda: other.partition(b"\0")[2])
    return head.rpartition(b" ")[0] + b" %d\0" % len(changed) + changed
