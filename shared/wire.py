"""Parse once, strictly, at the boundary: plain mappings to dataclasses and back.

Every document that Covey reads (task files, plans, reports, releases, invitations, configuration)
passes here: a missing, unknown or wrongly typed field is refused with its full name.
"""

import dataclasses
import json
import math
import reprlib
import tomllib
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from shared.errors import WireError

T = TypeVar("T")

_TEXT = reprlib.Repr()
_TEXT.maxstring = _TEXT.maxother = _TEXT.maxlong = 80
"""Shows what a stranger sent without repeating all of it, however long or deep it is."""

ALSO: dict[Any, list[str]] = {}
"""Words that a rehearsal's own files add to a `Literal` (`simulations.extending`): none in an agent or a coordinator."""

LEFT_OUT_WHEN_EMPTY = {"left out": True}
"""Metadata of a field that is not written where it holds its default: documents without it stay the same bytes."""


def encode(value: object) -> dict[str, Any]:
    """Turn a dataclass into plain nested dictionaries, lists and scalars; fields that are `None` are left out."""
    return cast(dict[str, Any], _plain(value))


def decode(cls: type[T], data: Mapping[str, Any], *, what: str = "") -> T:
    """Build a `cls` from `data`, or raise `WireError` that names the field (prefixed by `what`)."""
    return cast(T, _record(cls, data, what or cls.__name__))


def to_json(value: object) -> bytes:
    """The canonical JSON of a dataclass: sorted keys, no spaces; equal values give equal bytes."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def from_json(cls: type[T], data: bytes, *, what: str = "") -> T:
    """Read a `cls` from JSON bytes, or raise `WireError`."""
    name = what or cls.__name__
    try:
        document: Any = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{name} is not JSON: {error}") from None
    return cast(T, _record(cls, document, name))


def from_toml(cls: type[T], data: bytes, *, what: str = "") -> T:
    """Read a `cls` from TOML bytes, or raise `WireError`."""
    name = what or cls.__name__
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise WireError(f"{name} is not TOML: {error}") from None
    return cast(T, _record(cls, document, name))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers may disagree on which of two equal names counts, so there may be only one."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a field appears twice")
    return table


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {field.name: _plain(item) for field, item in fields if not _is_left_out(field, item)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Mapping[str, object], value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast(Sequence[object], value)]
    return value


def _record(cls: Any, data: Any, where: str) -> Any:
    """Build one dataclass; its own checks become `WireError` too."""
    if not isinstance(data, Mapping):
        raise WireError(f"{where} must be a table of fields, got {_name_of(data)}")
    record = cast(Mapping[str, Any], data)
    hints = _hints(cls)
    if unknown := sorted(str(key) for key in record if key not in hints):
        raise WireError(f"{where} has unknown fields {_TEXT.repr(unknown)}; it knows {sorted(hints)}")
    if missing := sorted(name for name in _required(cls) if name not in record):
        raise WireError(f"{where} lacks the fields {missing}")
    values = {name: _value(hints[name], record[name], f"{where}.{name}") for name in record}
    try:
        return cls(**values)
    except (ValueError, ArithmeticError) as error:
        raise WireError(f"{where}: {error}") from None


def _is_left_out(field: "dataclasses.Field[Any]", item: object) -> bool:
    if field.metadata.get("left out"):
        made = field.default_factory
        return item == (field.default if made is dataclasses.MISSING else made())
    return item is None


@cache
def _hints(cls: type) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: hint for name, hint in get_type_hints(cls).items() if name in names}


@cache
def _required(cls: type) -> frozenset[str]:
    absent = dataclasses.MISSING
    return frozenset(f.name for f in dataclasses.fields(cls) if f.default is absent and f.default_factory is absent)


def _value(hint: Any, data: Any, where: str) -> Any:
    """Check one value against its type hint and return it in that type."""
    origin = get_origin(hint)
    if origin is tuple:
        return _items(hint, data, where)
    if origin is dict:
        return _table(hint, data, where)
    if origin is Literal:
        return _choice((*get_args(hint), *ALSO.get(hint, ())), data, where)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), data, where)
    if dataclasses.is_dataclass(hint):
        return _record(hint, data, where)
    return _scalar(hint, data, where)


def _items(hint: Any, data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise WireError(f"{where} must be a list, got {_name_of(data)}")
    item_type = get_args(hint)[0]
    items = cast(Sequence[Any], data)
    return tuple(_value(item_type, item, f"{where}[{index}]") for index, item in enumerate(items))


def _table(hint: Any, data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise WireError(f"{where} must be a table, got {_name_of(data)}")
    item_type = get_args(hint)[1]
    table = cast(Mapping[str, Any], data)
    return {str(key): _value(item_type, item, f"{where}.{key}") for key, item in table.items()}


def _choice(choices: tuple[Any, ...], data: Any, where: str) -> Any:
    if not isinstance(data, str) or data not in choices:
        raise WireError(f"{where} must be one of {list(choices)}, got {_TEXT.repr(data)}")
    return data


def _union(members: tuple[Any, ...], data: Any, where: str) -> Any:
    """An optional value, or one of several records told apart by their literal `kind`."""
    if data is None and type(None) in members:
        return None
    present = [member for member in members if member is not type(None)]
    if len(present) == 1:
        return _value(present[0], data, where)
    kinds = {get_args(_hints(member)["kind"])[0]: member for member in present}
    kind = cast(Mapping[str, Any], data).get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise WireError(f"{where}.kind must be one of {sorted(kinds)}, got {_TEXT.repr(kind)}")
    return _record(kinds[kind], data, where)


def _scalar(hint: Any, data: Any, where: str) -> Any:
    """A `bool`, `int`, `float` (from an int too), `str` or `bytes`; floats must be finite."""
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return _float(data, where)
    if not isinstance(data, hint) or (isinstance(data, bool) and hint is not bool):
        raise WireError(f"{where} must be {hint.__name__}, got {_name_of(data)}")
    if isinstance(data, float) and not math.isfinite(data):
        raise WireError(f"{where} must be finite, got {data}")
    if isinstance(data, str) and not _encodable(data):
        raise WireError(f"{where} holds half a character, which no file can keep")
    return data


def _float(data: int, where: str) -> float:
    try:
        return float(data)
    except OverflowError:
        raise WireError(f"{where} must be finite, got an integer of {data.bit_length()} bits") from None


def _encodable(text: str) -> bool:
    """JSON can smuggle in lone surrogates, which fail much later, where a text is stored or shown."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _name_of(data: Any) -> str:
    return f"{type(data).__name__} {_TEXT.repr(data)}"
