"""The contract between a task and a device's rows: what each column may hold, and how old a row may be.

A rule about one row decides whether the row counts; a rule across rows is only counted (privacy rule 3). The same
rules judge a record that is to be predicted (`judge`) and a table (`client/contract.py`); they agree.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

RuleKind = Literal["missing", "number", "range", "word", "age", "repeated"]

KEEPS = "keeps the contract"
"""The name of the bin for rows that break no rule; it always stands last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that a row can break; `name` says it as a person counts such rows."""

    kind: RuleKind
    column: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRule:
    """A column that holds numbers, within `[low, high]` where that is declared; NaN and no word count as missing."""

    kind: Literal["number"] = "number"
    name: str
    low: float | None = None
    high: float | None = None
    nulls: bool = True

    def __post_init__(self) -> None:
        """Refuse bounds that nothing keeps."""
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"low must not be above high, got {self.low} and {self.high}")

    def rules(self) -> Iterator[Rule]:
        """What a row can break here, in the order in which it is judged."""
        if not self.nulls:
            yield Rule(kind="missing", column=self.name, name=f"{self.name} missing")
        yield Rule(kind="number", column=self.name, name=f"{self.name} not a number")
        if self.low is not None or self.high is not None:
            yield Rule(kind="range", column=self.name, name=f"{self.name} outside its range")

    def broken(self, value: object) -> tuple[RuleKind, str] | None:
        """What is wrong with a value, in words that follow the column's name; `None` if nothing is."""
        if _is_missing(value):
            return None if self.nulls else ("missing", "must be given")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return "number", f"must be a number, got {_shown(value)}"
        if not (-math.inf if self.low is None else self.low) <= value <= (math.inf if self.high is None else self.high):
            return "range", f"must lie {self._bounds()}, got {_shown(value)}"
        return None

    def _bounds(self) -> str:
        if self.low is None or self.high is None:
            return f"at or above {self.low:g}" if self.high is None else f"at or below {self.high:g}"
        return f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WordRule:
    """A column that holds words, of the declared `values` where there are any; the empty word counts as missing."""

    kind: Literal["word"] = "word"
    name: str
    values: tuple[str, ...] = ()
    nulls: bool = True

    def rules(self) -> Iterator[Rule]:
        """What a row can break here, in the order in which it is judged."""
        if not self.nulls:
            yield Rule(kind="missing", column=self.name, name=f"{self.name} missing")
        if self.values:
            yield Rule(kind="word", column=self.name, name=f"{self.name} not a declared word")

    def broken(self, value: object) -> tuple[RuleKind, str] | None:
        """What is wrong with a value, in words that follow the column's name; `None` if nothing is."""
        if _is_missing(value):
            return None if self.nulls else ("missing", "must be given")
        if self.values and value not in self.values:
            return "word", f"must be one of {list(self.values)}, got {_shown(value)}"
        return None


ColumnRule = NumberRule | WordRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """What is wrong with a record: which field, and a sentence about it."""

    field: str
    rule: RuleKind
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What rows must keep. `unique` names the columns that tell rows apart; it is counted and never decides.

    A row is too old `max_age_days` after its own timestamp. `noise_multiplier` is the noise's standard deviation on
    each count that leaves the device: one row changes one count by one, so it is that over a sensitivity of 1.
    """

    columns: tuple[ColumnRule, ...] = ()
    unique: tuple[str, ...] = ()
    max_age_days: float | None = None
    noise_multiplier: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot be counted or charged."""
        if len({rule.name for rule in self.columns}) != len(self.columns):
            raise ValueError("columns names a column twice")
        if not (self.noise_multiplier > 0 and math.isfinite(self.noise_multiplier)):
            raise ValueError(f"noise_multiplier must be positive, got {self.noise_multiplier}")
        if self.max_age_days is not None and not self.max_age_days > 0:
            raise ValueError(f"max_age_days must be positive, got {self.max_age_days}")

    @property
    def row_rules(self) -> tuple[Rule, ...]:
        """The rules that one row can break by itself, in declared order: these decide."""
        columns = tuple(rule for column in self.columns for rule in column.rules())
        return columns if self.max_age_days is None else (*columns, Rule(kind="age", column="", name="too old"))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule that is counted: those about one row, then the repetition of a key."""
        repeated = Rule(kind="repeated", column=", ".join(self.unique), name=f"repeated {', '.join(self.unique)}")
        return (*self.row_rules, repeated) if self.unique else self.row_rules

    def check(self, *, numbers: tuple[str, ...], texts: tuple[str, ...], timestamp: str | None) -> None:
        """Raise `ValueError` where the contract contradicts the task whose columns these are."""
        other = {rule.name for rule in self.columns if rule.name in (texts if rule.kind == "number" else numbers)}
        if other:
            raise ValueError(f"contract says words where features say numbers, or the reverse: {sorted(other)}")
        if self.max_age_days is not None and timestamp is None:
            raise ValueError("contract.max_age_days needs the task's timestamp")


def judge(contract: Contract, record: Mapping[str, Any], *, fields: tuple[str, ...]) -> Breach | None:
    """The first thing wrong with a record that is to be predicted, in declared order; `None` if it keeps the contract.

    Only rules about `fields`, the model's own columns, apply: a record has no outcome and no timestamp yet.
    """
    for rule in contract.columns:
        if rule.name in fields and (found := rule.broken(record.get(rule.name))):
            return Breach(field=rule.name, rule=found[0], says=f"{rule.name} {found[1]}")
    return None


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _shown(value: object) -> str:
    """A value as it came, cut short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
