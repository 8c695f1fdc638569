"""What a request's body asks: one record, or many rows as JSON or Arrow; held against the task's contract."""

import json
from collections.abc import Mapping
from math import isinf
from typing import Any, NoReturn

from client.prepare import FieldError
from client.serving import arrow
from shared.contract import judge
from shared.errors import ContractError
from shared.tasks import Task

MOST_ROWS = 100_000

Columns = dict[str, Any]


class NotUnderstood(ContractError):
    """The body is no JSON document of the shape that the route takes."""


def read_json(body: bytes) -> dict[str, Any]:
    """One JSON object, strictly; raise `NotUnderstood`."""
    try:
        document = _DECODER.decode(body.decode())
    except RecursionError:
        raise NotUnderstood("the body nests too deeply") from None
    except ValueError as error:
        raise NotUnderstood(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise NotUnderstood(f"the body must be a JSON object, got {type(document).__name__}")
    return document


def read_record(body: bytes) -> dict[str, Any]:
    """One record of finite numbers and words; raise `NotUnderstood`, or `FieldError` naming the field.

    Whether it keeps the task's contract, `Predictor` says.
    """
    record = read_json(body)
    _require_finite(record)
    return record


def read_rows(body: bytes, task: Task, *, as_arrow: bool) -> Columns:
    """Columns of rows that keep the task's contract; raise `FieldError` naming the field and the row."""
    columns = arrow.read_columns(body, known=_fields(task), limit=MOST_ROWS) if as_arrow else _json_columns(body)
    unknown = columns.keys() - set(_fields(task))
    if unknown:
        raise FieldError(f"the task knows no field {ascii(sorted(unknown))[:200]}", field=min(unknown)[:100])
    lists = {name: column if isinstance(column, list) else column.tolist() for name, column in columns.items()}
    for row in range(len(next(iter(lists.values()), []))):
        try:
            _check({name: column[row] for name, column in lists.items()}, task)
        except FieldError as error:
            raise error.in_row(row) from None
    return columns


def _require_finite(record: Mapping[str, Any]) -> None:
    """Raise `FieldError` for a number without end, which JSON can write."""
    for name, value in record.items():
        if type(value) is float and isinf(value):
            raise FieldError(f"field {name!r} takes a finite number", field=name)


def _check(record: Mapping[str, Any], task: Task) -> None:
    """Raise `FieldError` for what breaks the task's contract, as `Predictor.predict` does for one record."""
    _require_finite(record)
    if task.contract.columns and (breach := judge(task.contract, record, fields=_fields(task))):
        raise FieldError(breach.says, field=breach.field)


def _json_columns(body: bytes) -> Columns:
    columns = read_json(body).get("columns")
    if not isinstance(columns, dict) or not all(isinstance(column, list) for column in columns.values()):
        raise NotUnderstood('the body must be {"columns": {NAME: [one value a row], ...}}')
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise NotUnderstood(f"columns differ in length: {sorted(lengths)[:10]}")
    if max(lengths, default=0) > MOST_ROWS:
        raise NotUnderstood(f"one question may hold {MOST_ROWS} rows; ask several times")
    return columns


def _fields(task: Task) -> tuple[str, ...]:
    return (*task.numbers, *task.texts)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field comes twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number; leave a missing value out or send null")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
