"""What is typed after `/`: `state:refused why:battery version:<7 name~foo -word "free text"`.

A row matches if every term does. `field:value` takes a value, or one of its words, by its beginning; `field:a,b` either of two;
`field:<7`, `<=`, `>`, `>=` compare numbers, with a unit if there is one (`seen:>5min`, `sent:<1MB`, `share:>=10%`); of an age
`since:2d` takes what is younger;
`field~text` takes a part; a word by itself is a part of any field. A minus before a term turns it round.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from shared.errors import InputError

Value = str | float | None
"""What a row says in one field; None where it says nothing."""
Operator = Literal[":", "~", ":<", ":<=", ":>", ":>=", ""]

_TERM = re.compile(
    r"""(?P<minus>-?)(?:(?P<field>[^\s:~"-][^\s:~"]*)(?P<how>:<=|:>=|:<|:>|:|~))?(?P<text>"[^"]*"|[^\s"]*)(?=\s|$)"""
)
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:e[-+]?\d+)?")
_UNIT = re.compile(r"\s*(%|[a-zµ]+)", re.IGNORECASE)
UNITS: dict[str, float] = {
    "µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400,
    "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "%": 1,
}  # fmt: skip


class Age(float):
    """Seconds since something: `seen:2d` takes whatever is younger than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition. `how` is empty for a word that any field may hold."""

    text: str
    field: str = ""
    how: Operator = ""
    negated: bool = False

    def __str__(self) -> str:
        """The term as it is typed."""
        quoted = f'"{self.text}"' if not self.text or re.search(r'[\s:~]|^["<>=-]', self.text) else self.text
        return f"{'-' if self.negated else ''}{self.field}{self.how}{quoted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Conditions that must all hold; one without any takes every row."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        """The query as it is typed."""
        return " ".join(str(term) for term in self.terms)


def parse(typed: str, fields: Collection[str]) -> Query:
    """Read a query about rows of these fields; raise `InputError`, naming what is wrong."""
    terms: list[Term] = []
    at = 0
    while at < len(typed):
        if typed[at].isspace():
            at += 1
            continue
        found = _TERM.match(typed, at)
        if found is None or found.end() == at:
            raise InputError(f'{typed[at:]} has a quotation mark without its other; close it with "')
        terms.append(_term(found, fields))
        at = found.end()
    return Query(terms=tuple(terms))


def _term(found: re.Match[str], fields: Collection[str]) -> Term:
    text, how = found["text"], found["how"] or ""
    field = _field(found["field"], fields) if found["field"] else ""
    quoted = text.startswith('"')
    text = text[1:-1] if quoted else text
    if not quoted and not text:
        raise InputError(f"{found[0]} needs a value after it")
    if how[1:] and _number(text) is None:
        raise InputError(f"{found[0]} compares with {text!r}, which is no number")
    operators: dict[str, Operator] = {":": ":", "~": "~", ":<": ":<", ":<=": ":<=", ":>": ":>", ":>=": ":>="}
    return Term(text=text, field=field, how=operators.get(how, ""), negated=bool(found["minus"]))


def _field(name: str, fields: Collection[str]) -> str:
    """The field of that name, or the only one that starts so."""
    starting = [field for field in fields if field.startswith(name.lower())]
    if name.lower() in starting:
        return name.lower()
    if len(starting) == 1:
        return starting[0]
    close = get_close_matches(name.lower(), fields, n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(fields)}"
    raise InputError(f"no field is called {name!r}{hint}")


def matches(query: Query, row: Mapping[str, Value]) -> bool:
    """Whether a row meets every condition."""
    return all(_holds(term, row) != term.negated for term in query.terms)


def _holds(term: Term, row: Mapping[str, Value]) -> bool:
    if not term.field:
        return any(term.text.lower() in _text(value).lower() for value in row.values())
    value = row.get(term.field)
    if term.how == "~":
        return term.text.lower() in _text(value).lower()
    if term.how == ":":
        return any(_is(wanted, value) for wanted in term.text.split(","))
    return _compares(term, value)


def _is(wanted: str, value: Value) -> bool:
    """Whether a value, or one of its words, begins as the one wanted; numbers are compared as numbers."""
    if not isinstance(value, str):
        number = _number(wanted)
        return number is not None and (value <= number if isinstance(value, Age) else value == number)
    text = value.lower()
    return bool(wanted) and any(part.startswith(wanted.lower()) for part in (text, *re.split(r"[^\w.%-]+", text)))


def _compares(term: Term, value: Value) -> bool:
    number = number_of(value)
    if number is None:
        return False
    bound = _number(term.text) or 0.0
    return {":<": number < bound, ":<=": number <= bound, ":>": number > bound, ":>=": number >= bound}[term.how]


def number_of(value: Value) -> float | None:
    """The number that a value is, or the first that it names: `v7` is 7, `12 min` 720."""
    return _number(value) if isinstance(value, str) else value


def _number(text: str) -> float | None:
    found = _NUMBER.search(text)
    if found is None:
        return None
    unit = _UNIT.match(text, found.end())
    return float(found[0].replace(",", ".")) * (UNITS.get(unit[1].lower(), 1.0) if unit else 1.0)


def _text(value: Value) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:g}"
