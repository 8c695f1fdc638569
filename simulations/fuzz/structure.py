"""Changes to documents that leave them documents: other types, extremes, lost, doubled and unknown fields, depth.

A document is read into pairs, lists and scalars, changed there, and written as JSON or TOML again; `Raw` stands for what
no reader would ever give back, such as an integer of 5000 digits or a field that comes twice.
"""

import json
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any, cast


class Raw(str):
    """Text that is written as it stands."""

    __slots__ = ()


class Pairs(list[list[Any]]):
    """The fields of an object in order, where a name may come twice: `[name, value]` each."""


Slot = tuple[list[Any], int]
"""A place in a document that holds a value."""

_MOST_SLOTS = 3000
_MOST_CHARACTERS = 100_000
"""A larger document is not changed by its grammar any more."""

_DEEP = tuple(
    Raw(left * depth + right * depth) for left, right in (("[", "]"), ('{"a":', "}")) for depth in (3, 90, 3000)
)
_ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 255, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30,
    -(2**63), 0.0, -0.0, 0.1, 0.5, 1.0, 1.5, -1.5, 1e-300, 5e-324, 1e300, 1.7976931348623157e308, 1e16,
    Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("nan"), Raw("inf"), Raw("1e400"), Raw("9" * 400), Raw("9" * 5000),
    Raw("1E5"), Raw("01"), Raw("0x10"), Raw("1_000"), Raw("'x'"), Raw(""), Raw("2026-01-01"), Raw("2026-01-01T00:00:00Z"),
    "", "a", "0", "1", "true", "null", "NaN", "\0", "\ud800", "\udfff\ud800", "a" * 300, "\u202e", "\N{BIRD}", "../..", "%s",
    "²", "9" * 5000, "+1", " 1", "2026-01-01", "2026-13-01", "2026-01-01T00:00:00+00:00", "9999-12-31", "0001-01-01", "-1", "é", "@", "\n", "kind",
    [], [[]], [None], [0], [""], [0, 0], {"empty": 1}, *_DEEP,
)  # fmt: skip
_NAMES = ("", "a", "kind", "name", "json", "__class__", "seed", "\ud800", "\0", "number", "x" * 300)


def read_json(text: bytes) -> Any:
    """A document, or `ValueError`, also where it is too large to be changed as one."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("it is too large")
    return json.loads(text, object_pairs_hook=_pairs)


def read_toml(text: bytes) -> Any:
    """A document, or `ValueError`, also where it is too large to be changed as one."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("it is too large")
    return _from_plain(tomllib.loads(text.decode()))


def write_json(node: Any) -> bytes:
    """A document's bytes; half a character, which JSON can name, stays one."""
    return _json(node).encode("utf-8", "surrogatepass")


def write_toml(node: Any) -> bytes:
    """A document's bytes, one field a line and the rest in line."""
    if not isinstance(node, Pairs):
        return _toml(node).encode("utf-8", "surrogatepass")
    lines = [f"{json.dumps(name)} = {_toml(value)}" for name, value in node]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def change_document(node: Any, random: Random, other: Callable[[], Any]) -> Any:
    """Change a few values, fields or places; `other` gives another document to borrow from."""
    whole: list[Any] = [node]
    for _ in range(1 + min(4, int(random.expovariate(1.6)))):
        slots = _slots(whole)
        holder, index = random.choice(slots)
        if random.random() < 0.1:
            holder[index] = _some_value(other(), random)
        elif random.random() < 0.5:
            holder[index] = _other_value(holder[index], random)
        else:
            _change_fields(holder, index, slots, random)
    return whole[0]


def _pairs(pairs: list[tuple[str, Any]]) -> Pairs:
    return Pairs([name, value] for name, value in pairs)


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        return Pairs([name, _from_plain(item)] for name, item in table.items())
    if isinstance(value, list):
        return [_from_plain(item) for item in cast(list[Any], value)]
    return value if isinstance(value, (str, int, float)) else Raw(str(value))


def _slots(whole: list[Any]) -> list[Slot]:
    """Every place that holds a value, the document as a whole among them."""
    found: list[Slot] = []
    holders: list[list[Any]] = [whole]
    for holder in holders:
        if len(found) > _MOST_SLOTS:
            break
        for index, value in enumerate(holder):
            if isinstance(value, Pairs):
                holders.extend(value)
            elif isinstance(value, list):
                holders.append(cast(list[Any], value))
            if not isinstance(holder, Pairs) and not (len(holder) == 2 and index == 0 and isinstance(value, str)):
                found.append((holder, index))
    return found or [(whole, 0)]


def _some_value(node: Any, random: Random) -> Any:
    holder, index = random.choice(_slots([node]))
    return holder[index]


def _other_value(value: Any, random: Random) -> Any:
    """Near to what was there, an odd one of its type, of another type, or any of the odd ones."""
    draw = random.random()
    if draw < 0.35:
        return _near(value, random)
    if draw < 0.75:
        return random.choice([odd for odd in _ODD if _alike(odd, value)] or _ODD)
    if draw < 0.85:
        return _as_another_type(value)
    return random.choice(_ODD)


def _alike(odd: Any, value: Any) -> bool:
    """Whether an odd value would stand where a value of this type is expected."""
    if isinstance(value, float):
        return isinstance(odd, float)
    return type(odd) is type(value)


def _near(value: Any, random: Random) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return random.choice((value + 1, value - 1, -value, value * 2, value * 1000, value // 2, float(value % 2**60)))
    if isinstance(value, float):
        return random.choice((value * 2, value / 2, -value, value * 1e6, value / 1e6, value + 1, value * 1e200))
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return random.choice((value[:at], value[at:], value[:at] + random.choice(_NAMES) + value[at:], value * 2))
    if isinstance(value, list):
        items = cast(list[Any], value)
        # What holds lists is repeated less: a document must not grow without end.
        times = 3 if any(isinstance(item, list) for item in items) else 100
        return random.choice((items[:-1], items + items[:1], items[::-1], items * 2, (items * times)[:1000], []))
    return value


def _as_another_type(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (int, float)):
        return str(value)[:300]
    return {"0": value} if isinstance(value, list) else [value]


def _change_fields(holder: list[Any], index: int, slots: list[Slot], random: Random) -> None:
    """Lose, double, rename or add a field of an object, or exchange two places."""
    value = holder[index]
    if isinstance(value, Pairs):
        at = random.randrange(len(value) + 1)
        field = value[at][:] if at < len(value) else [random.choice(_NAMES), random.choice(_ODD)]
        act = random.randrange(4)
        if act == 0 and at < len(value):
            del value[at]
        elif act == 1 and at < len(value):
            value[at][0] = random.choice((*_NAMES, *(str(name)[:-1] for name, _ in value)))
        elif act == 2:
            value.insert(random.randrange(len(value) + 1), field)
        else:
            value.append([random.choice(_NAMES), random.choice(_ODD)])
        return
    other, place = random.choice(slots)
    # One that lies within the other would make a document without end.
    if not isinstance(value, list) and not isinstance(other[place], list):
        holder[index], other[place] = other[place], value


def _json(node: Any) -> str:
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{_json(value)}" for name, value in node) + "}"
    if isinstance(node, list):
        return "[" + ",".join(_json(item) for item in cast(list[Any], node)) + "]"
    return json.dumps(node)


def _toml(node: Any) -> str:
    if isinstance(node, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(value)}" for name, value in node) + "}"
    if isinstance(node, list) and not isinstance(node, Raw):
        return "[" + ", ".join(_toml(item) for item in cast(list[Any], node)) + "]"
    if isinstance(node, float):
        return repr(node)
    return str(node) if isinstance(node, Raw) else json.dumps(node)
