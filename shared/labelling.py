"""Labelling rules: what a task says of rows whose outcome is not known, in expressions that are data and not code.

Each rule votes for a class or abstains, and the task's own label model weighs the votes. A weak label is a function
of its row and of the task alone (privacy rule 3), and it is computed anew whenever rows are read, so changed rules
relabel rows by themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.labelmodel import ABSTAINS, LabelModel, Votes, posterior

UNDECIDED = -1
ASK_BELOW = 0.2
"""The margin below which a prediction is worth asking its owner about, unless the task says otherwise."""

ROUNDING = 1e-5
"""How far from one a row of chances may sum, because files hold few digits."""

Operator = Literal["<", "<=", ">", ">=", "==", "in", "not in", "missing", "known"]
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What one column must hold: a number compared with `value`, or a word among `values`; a missing one holds nothing.

    `missing` and `known` ask for just that, and take neither.
    """

    column: str
    operator: Operator
    value: float | None = None
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that the operator does not take."""
        takes = self.operator in COMPARISONS, self.operator in ("in", "not in")
        if takes != (self.value is not None, bool(self.values)):
            wants = "a `value`" if takes[0] else "`values`" if takes[1] else "neither `value` nor `values`"
            raise ValueError(f"{self.operator!r} on column {self.column!r} takes {wants}")

    def check(self, *, numbers: tuple[str, ...], texts: tuple[str, ...]) -> None:
        """Raise `ValueError` unless the task has the column, and in the kind that the operator compares."""
        if self.column not in (*numbers, *texts):
            raise ValueError(f"no feature reads the column {self.column!r}, so no labelling rule can")
        known = self.operator in ("missing", "known")
        if not known and (self.operator in COMPARISONS) != (self.column in numbers):
            holds = "numbers" if self.column in numbers else "words"
            raise ValueError(f"column {self.column!r} holds {holds}, which {self.operator!r} does not compare")

    def holds(self, column: NDArray[Any]) -> NDArray[np.bool_]:
        """Where it holds, shape `(rows,)`, for a column of floats (NaN is missing) or of words (None and "" are)."""
        if column.dtype == object:
            return np.array([self._holds_of(word) for word in column.tolist()], dtype=bool)
        known = ~np.isnan(column)
        if self.operator not in COMPARISONS:
            return known if self.operator == "known" else ~known
        with np.errstate(over="ignore"):
            return COMPARISONS[self.operator](column.astype(np.float32), np.float32(self.value or 0.0)) & known

    def _holds_of(self, word: str | None) -> bool:
        if not word:
            return self.operator == "missing"
        if self.operator in ("in", "not in"):
            return (word in self.values) == (self.operator == "in")
        return self.operator == "known"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """Votes for one class where all (or any) of its conditions hold, and abstains elsewhere.

    `confusion` has one row for each true class: the chance of each vote, in the order of the classes, then of
    abstaining.
    """

    name: str
    vote: str
    when: tuple[Condition, ...]
    confusion: tuple[tuple[float, ...], ...]
    match: Literal["all", "any"] = "all"

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing."""
        if not self.when:
            raise ValueError(f"labelling rule {self.name!r} has no condition under `when`")

    def votes(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Where the rule votes, shape `(rows,)`."""
        held = [condition.holds(columns[condition.column]) for condition in self.when]
        return np.logical_and.reduce(held) if self.match == "all" else np.logical_or.reduce(held)

    def check(self, classes: tuple[str, ...]) -> None:
        """Raise `ValueError` unless each row of `confusion` is how this rule can vote, and sums to one."""
        if self.vote not in classes:
            raise ValueError(f"labelling rule {self.name!r} votes for {self.vote!r}, which is none of {list(classes)}")
        casts = [name == self.vote for name in classes] + [True]
        if len(self.confusion) != len(classes) or any(len(row) != len(casts) for row in self.confusion):
            raise ValueError(f"confusion of rule {self.name!r} takes {len(classes)} rows of {len(casts)} chances")
        for name, row in zip(classes, self.confusion, strict=True):
            if [chance > 0 for chance in row] != casts or min(row) < 0:
                raise ValueError(
                    f"confusion of rule {self.name!r} for {name!r} must be positive for {self.vote!r} and for "
                    f"abstaining, and 0 elsewhere, got {list(row)}"
                )
            require_whole(row, f"confusion of rule {self.name!r} for {name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """A task's rules and its label model; `classes` are the task's, in the order of `prior` and of every confusion row.

    A row gets a weak label where a rule votes and one class's chance reaches `threshold`. `ask_below` is for
    predictions: one whose two likeliest classes are closer than that is worth asking the owner about.
    """

    classes: tuple[str, ...]
    prior: tuple[float, ...]
    threshold: float
    rules: tuple[LabelRule, ...]
    ask_below: float = ASK_BELOW

    def __post_init__(self) -> None:
        """Refuse parameters that are no chances."""
        if not 0.5 < self.threshold < 1:
            raise ValueError(f"labelling.threshold must lie between 0.5 and 1, got {self.threshold}")
        if not 0 <= self.ask_below <= 1:
            raise ValueError(f"labelling.ask_below must lie in [0, 1], got {self.ask_below}")
        if len(self.prior) != len(self.classes) or any(not share > 0 for share in self.prior):
            raise ValueError(f"labelling.prior takes a positive share for each of {list(self.classes)}")
        require_whole(self.prior, "labelling.prior")
        names = [rule.name for rule in self.rules]
        if not names or len(set(names)) != len(names):
            raise ValueError("labelling.rules must be one rule or more, each with a name of its own")
        for rule in self.rules:
            rule.check(self.classes)

    def check(self, *, numbers: tuple[str, ...], texts: tuple[str, ...], classes: tuple[str, ...]) -> None:
        """Raise `ValueError` where the rules contradict the task whose columns and classes these are."""
        if self.classes != classes:
            raise ValueError(f"labelling.classes must be the label's, {list(classes)}, got {list(self.classes)}")
        for condition in (condition for rule in self.rules for condition in rule.when):
            condition.check(numbers=numbers, texts=texts)

    @property
    def model(self) -> LabelModel:
        """The parameters as arrays."""
        return LabelModel(prior=np.array(self.prior), confusion=np.array([rule.confusion for rule in self.rules]))


def votes(labelling: Labelling, columns: Mapping[str, NDArray[Any]]) -> Votes:
    """Each rule's vote on each row, shape `(rows, rules)`: a class's number, or `ABSTAINS`.

    `columns` are raw columns by name, each of shape `(rows,)`, as `shared/features.py` takes them.
    """
    cast = [np.where(rule.votes(columns), labelling.classes.index(rule.vote), ABSTAINS) for rule in labelling.rules]
    return np.stack(cast, axis=1).astype(np.int64)


def weak_labels(labelling: Labelling, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Each row's likeliest class, shape `(rows,)`; `UNDECIDED` where no rule votes or its chance is below the threshold."""
    cast = votes(labelling, columns)
    chances = posterior(labelling.model, cast)
    decided = (cast != ABSTAINS).any(axis=1) & (chances.max(axis=1) >= labelling.threshold)
    return np.where(decided, chances.argmax(axis=1), UNDECIDED).astype(np.int64)


def require_whole(chances: tuple[float, ...], what: str) -> None:
    """Raise `ValueError` unless chances sum to one."""
    if abs(sum(chances) - 1) > ROUNDING:
        raise ValueError(f"{what} must sum to 1, got {sum(chances):.6f}")
