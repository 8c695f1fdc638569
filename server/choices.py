"""Compression and aggregation as an operator types them: `eden:3`, `rand-k:0.1+feedback`, `trimmed-mean:1+by-owner`."""

from collections.abc import Callable
from typing import Any

from shared.errors import InputError

Fields = dict[str, Any]

COMPRESSION = "int8, eden:BITS or rand-k:FRACTION, the last two with +feedback if wanted"
AGGREGATION = (
    "mean, norm-bound, median:HOSTILE, trimmed-mean:HOSTILE, geometric-median:HOSTILE, krum:HOSTILE or multi-krum:HOSTILE, "
    "each with +by-owner if wanted"
)


def compression(text: str) -> Fields:
    """The fields of a `Compression`; raise `InputError` for a text that is none."""
    kind, number, marks = _parts(text)
    amounts: dict[str, tuple[str, Callable[[str], int | float]]] = {
        "eden": ("bits", int),
        "rand-k": ("fraction", float),
    }
    found: Fields = {"kind": kind} | ({"feedback": True} if marks == {"feedback"} else {})
    if marks - {"feedback"} or (kind in amounts) != bool(number):
        raise InputError(f"compression is {COMPRESSION}, got {text!r}")
    if kind in amounts:
        name, read = amounts[kind]
        found[name] = _number(number, read, f"compression is {COMPRESSION}, got {text!r}")
    return found


def aggregation(text: str) -> Fields:
    """The fields of an `Aggregation`; raise `InputError` for a text that is none."""
    kind, number, marks = _parts(text)
    if marks - {"by-owner"}:
        raise InputError(f"aggregation is {AGGREGATION}, got {text!r}")
    found: Fields = {"kind": kind} | ({"by_owner": True} if marks else {})
    if number:
        found["assumed_byzantine"] = _number(number, int, f"aggregation is {AGGREGATION}, got {text!r}")
    return found


def _parts(text: str) -> tuple[str, str, set[str]]:
    """What stands before the colon, after it, and after each plus."""
    head, *marks = text.split("+")
    kind, _, number = head.partition(":")
    return kind, number, set(marks)


def _number(text: str, read: Callable[[str], int | float], instead: str) -> int | float:
    try:
        return read(text)
    except ValueError:
        raise InputError(instead) from None
