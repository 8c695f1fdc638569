"""Changes to protobuf that leave it protobuf: numbers, lost, doubled and renumbered fields, with every length put right.

https://protobuf.dev/programming-guides/encoding/: a field is a tag, `number << 3 | type`, and a value; without the schema,
what has a length is a message if it reads as one.
"""

import struct
from dataclasses import dataclass
from random import Random

from simulations.fuzz.bytewise import change_bytes

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 12
_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    15,
    127,
    128,
    255,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_REALS = (0.0, -0.0, 1.0, -1.0, 5e-324, 1e300, float("inf"), float("-inf"), float("nan"))
_SINGLES = (*(real for real in _REALS if real != 1e300), 3.4e38)


@dataclass(slots=True)
class Field:
    """A field's number, its type, and its value: a number, bytes, or the fields of a message."""

    number: int
    kind: int
    value: "int | bytes | list[Field]"


def change_proto(data: bytes, random: Random, other: bytes) -> bytes:
    """Change a few fields; raise `ValueError` if it is no protobuf."""
    whole = read(data)
    for _ in range(1 + min(4, int(random.expovariate(1.0)))):
        _change_one(random.choice(_lists(whole)), random, other)
    return write(whole)


def read(data: bytes, depth: int = 0) -> list[Field]:
    """The fields of a message, or `ValueError`."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            fields.append(Field(tag >> 3, kind, value))
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(data, at)
        if size is None or at + size > len(data) or not tag >> 3:
            raise ValueError("it is no protobuf")
        body = data[at : at + size]
        at += size
        fields.append(Field(tag >> 3, kind, _inside(body, depth) if kind == _BYTES else body))
    return fields


def write(fields: list[Field]) -> bytes:
    """The bytes of a message."""
    out = bytearray()
    for field in fields:
        out += _as_varint(field.number << 3 | field.kind)
        if isinstance(field.value, int):
            out += _as_varint(field.value)
            continue
        body = field.value if isinstance(field.value, bytes) else write(field.value)
        out += (_as_varint(len(body)) if field.kind == _BYTES else b"") + body
    return bytes(out)


def _inside(body: bytes, depth: int) -> "bytes | list[Field]":
    if not body or depth >= _DEEPEST or (body.isascii() and body.decode().isprintable()):
        return body
    try:
        return read(body, depth + 1)
    except ValueError:
        return body


def _lists(whole: list[Field]) -> list[list[Field]]:
    """Every list of fields, a message that holds many of them as often as it has fields."""
    found = [whole]
    for fields in found:
        found.extend(field.value for field in fields if isinstance(field.value, list))
    return [fields for fields in found for _ in range(1 + len(fields))]


def _change_one(fields: list[Field], random: Random, other: bytes) -> None:
    if not fields:
        fields.append(Field(1 + random.randrange(20), _VARINT, random.choice(_NUMBERS)))
        return
    at = random.randrange(len(fields))
    field, act = fields[at], random.random()
    if act < 0.6:
        _change_value(field, random, other)
    elif act < 0.7:
        del fields[at]
    elif act < 0.8:
        fields.insert(random.randrange(len(fields) + 1), Field(field.number, field.kind, field.value))
    elif act < 0.9:
        field.number = 1 + random.randrange(30)
    else:
        place = random.randrange(len(fields))
        fields[at], fields[place] = fields[place], fields[at]


def _change_value(field: Field, random: Random, other: bytes) -> None:
    if isinstance(field.value, int):
        near = (field.value + random.choice((1, -1, 8))) % 2**64
        field.value = near if random.random() < 0.3 else random.choice(_NUMBERS)
    elif isinstance(field.value, list):
        if random.random() < 0.3:
            field.value = change_bytes(write(field.value), random, lambda: other)
    elif field.kind == _FIXED32:
        field.value = struct.pack("<f", random.choice(_SINGLES)) if random.random() < 0.9 else random.randbytes(4)
    elif field.kind == _FIXED64:
        field.value = struct.pack("<d", random.choice(_REALS)) if random.random() < 0.9 else random.randbytes(8)
    else:
        field.value = change_bytes(field.value, random, lambda: other)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError("it is no protobuf")


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
