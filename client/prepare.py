"""From what an application holds, a record or columns, to what a model takes; what does not fit is named."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ContractError
from shared.feeds import Feeds, to_feeds
from shared.revisions import value_of
from shared.tasks import Task

Value = float | str | None
Record = Mapping[str, Value]
Columns = Mapping[str, NDArray[Any] | Sequence[Value]]

MISSING = float("nan")
PLAIN = frozenset((float, int))


class FieldError(ContractError):
    """One field of one record breaks the contract; `row` counts from 0 where several records were asked about."""

    def __init__(self, message: str, *, field: str, row: int | None = None) -> None:
        super().__init__(message)
        self.field, self.row = field, row

    def in_row(self, row: int) -> "FieldError":
        """The same, said of one row among several."""
        return FieldError(f"row {row}: {self}", field=self.field, row=row)


class Preparer:
    """Knows a task's columns; safe to use from several threads."""

    def __init__(self, task: Task) -> None:
        """Prepare for `task`."""
        self._task = task
        self._numbers, self._texts = task.numbers, task.texts
        self._fields = frozenset((*task.numbers, *task.texts))
        earlier = task.revises.columns if task.revises else {}
        self._earlier = frozenset(old for new, olds in earlier.items() if new in self._fields for old in olds)

    def fill(self, row: Any, record: Record) -> list[str] | None:
        """Put a record's numbers into `row`, a C array of floats; return its words, None if the task has none.

        Raise `FieldError` that names a field the task does not know or that holds the wrong type.
        """
        if not record.keys() <= self._fields:
            record = self._in_new_names(record)
        get = record.get
        values = [get(name, MISSING) for name in self._numbers]
        if not PLAIN.issuperset(map(type, values)):
            values = [_number(name, get(name)) for name in self._numbers]
        try:
            row[:] = values
        except OverflowError:
            row[:] = [_number(name, get(name)) for name in self._numbers]
        return [_text(name, get(name)) for name in self._texts] if self._texts else None

    def table(self, columns: Columns) -> Feeds:
        """Raw columns by name, each of shape `(rows,)`, as a model takes them; one that is absent is missing throughout.

        Raise `ContractError` as `fill` does, and if columns differ in length.
        """
        if not columns.keys() <= self._fields:
            columns = self._in_new_names(columns)
        lengths = {name: _length(name, column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ContractError(f"columns differ in length: {lengths}")
        rows = next(iter(lengths.values()), 0)
        numbers = {name: _number_column(name, columns.get(name), rows) for name in self._numbers}
        texts = {name: _text_column(name, columns.get(name), rows) for name in self._texts}
        return to_feeds(self._task, numbers | texts)

    def _in_new_names(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that an application still calls as the task's earlier revision did; raise `FieldError` for others."""
        if not fields.keys() <= self._fields | self._earlier:
            raise self._unknown(fields)
        return {name: value for name in self._fields if (value := value_of(self._task, fields, name)) is not None}

    def _unknown(self, fields: Mapping[str, Any]) -> FieldError:
        unknown = sorted(str(name) for name in fields.keys() - self._fields - self._earlier)
        return FieldError(
            f"the task knows no field {ascii(unknown)[:200]}; it takes {sorted(self._fields)}", field=unknown[0][:100]
        )


def _number(name: str, value: Any) -> float:
    if type(value) is float:
        return value
    if value is None:
        return MISSING
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    raise _mistyped(name, "a number", value)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):
            value.encode()
            return value
    raise _mistyped(name, "words", value)


def _mistyped(name: str, expected: str, value: object) -> FieldError:
    shown = f"field {name!r} takes {expected}, got {type(value).__name__} {_short(value)}"
    return FieldError(shown, field=name)


def _short(value: object) -> str:
    """A value as it came, cut short; an integer of many thousand digits is not even written out."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"of {value.bit_length()} bits"
    return ascii(value)[:40]


def _length(name: str, column: Any) -> int:
    if isinstance(column, str) or np.ndim(column if isinstance(column, np.ndarray) else ()) > 1:
        raise FieldError(f"column {name!r} takes one value a row", field=name)
    return len(column)


def _number_column(name: str, column: Any, rows: int) -> NDArray[Any]:
    if column is None:
        return np.full(rows, np.nan, dtype=np.float32)
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        return column
    return np.array([_in_row(_number, name, value, row) for row, value in enumerate(_listed(column))], dtype=np.float64)


def _text_column(name: str, column: Any, rows: int) -> NDArray[Any]:
    if column is None:
        return np.full(rows, None, dtype=object)
    return np.array([_in_row(_text, name, value, row) for row, value in enumerate(_listed(column))], dtype=object)


def _listed(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def _in_row(read: Any, name: str, value: Any, row: int) -> Any:
    try:
        return read(name, value)
    except FieldError as error:
        raise error.in_row(row) from None
