"""Arrow IPC streams: read raw columns of numbers and words, write answers.

Reading is our own, because nanoarrow's reader ends the process on some damaged streams (see
tests/security/test_arrow.py); what is written is ours and goes through nanoarrow. The format:
https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.prepare import FieldError
from client.serving.flatbuffer import Table, number, slice_of
from shared.errors import ContractError
from shared.models import Prediction

MEDIA_TYPE = "application/vnd.apache.arrow.stream"

SCHEMA, RECORD_BATCH = 1, 3
NULL, INT, FLOAT, UTF8, LARGE_UTF8 = 1, 2, 3, 5, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A column: its name, and what a value is: a NumPy type, or the type of its words' offsets."""

    name: str
    numbers: str = ""
    offsets: str = ""


@dataclass(slots=True)
class _Batch:
    """One record batch being read: its columns' nodes and buffers come in the order of the fields."""

    rows: int
    nodes: Iterator[tuple[int, int]]
    buffers: Iterator[tuple[int, int]]
    body: bytes

    def buffer(self) -> bytes:
        """The bytes of the next buffer."""
        place = next(self.buffers, None)
        if place is None:
            raise ContractError("the Arrow stream is damaged: a column lacks its buffers")
        return slice_of(self.body, *place)


def read_columns(stream: bytes, *, known: Collection[str], limit: int) -> dict[str, NDArray[Any]]:
    """Columns by name, each of shape `(rows,)`: floats with NaN, or words with None, where missing.

    Numbers may be integers or floats, words may be `utf8` or `large_utf8`. Raise `ContractError` for anything else,
    for a column that is not `known`, and beyond `limit` rows.
    """
    fields: list[_Field] | None = None
    parts: list[list[NDArray[Any]]] = []
    rows = 0
    for kind, header, body in _messages(stream):
        if fields is None:
            if kind != SCHEMA:
                raise ContractError("the body is no Arrow IPC stream: it does not begin with a schema")
            fields = _fields(header, known)
        elif kind == RECORD_BATCH:
            batch = _batch(header, body)
            rows += batch.rows
            if rows > limit:
                raise ContractError(f"one question may hold {limit} rows; ask several times")
            parts.append([_column(field, batch) for field in fields])
        else:
            raise ContractError("dictionary-encoded columns are not read; send plain words")
    if fields is None:
        raise ContractError("the body is no Arrow IPC stream: it is empty")
    columns = zip(*parts, strict=True) if parts else ((np.zeros(0),) for _ in fields)
    return {field.name: np.concatenate(chunks) for field, chunks in zip(fields, columns, strict=True)}


def write_predictions(predictions: Sequence[Prediction], classes: Sequence[str]) -> bytes:
    """A stream with the columns `id`, `label`, and for each class `score.CLASS` (float32)."""
    import nanoarrow
    from nanoarrow.ipc import StreamWriter

    columns = {
        "id": nanoarrow.c_array([one.id for one in predictions], nanoarrow.string()),
        "label": nanoarrow.c_array([one.label for one in predictions], nanoarrow.string()),
    }
    for name in classes:
        scores = np.array([one.scores[name] for one in predictions], dtype=np.float32)
        columns[f"score.{name}"] = nanoarrow.c_array(scores, nanoarrow.float32())
    types = {name: column.schema for name, column in columns.items()}
    table = nanoarrow.c_array_from_buffers(
        nanoarrow.struct(types), length=len(predictions), buffers=[None], children=list(columns.values())
    )
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_stream(table)
    return out.getvalue()


def _messages(stream: bytes) -> Iterator[tuple[int, Table, bytes]]:
    """Each message's kind, header and body, until the end of the stream."""
    at = 0
    while at + 8 <= len(stream):
        if number(stream, "<I", at) != 0xFFFFFFFF:
            raise ContractError("the body is no Arrow IPC stream")
        length = number(stream, "<i", at + 4)
        if length == 0:
            return
        message = Table.root(slice_of(stream, at + 8, length))
        header, size = message.table(2), message.scalar(3, "<q")
        if header is None:
            raise ContractError("the Arrow stream is damaged: a message has no header")
        at += 8 + length
        yield message.scalar(1, "<B"), header, slice_of(stream, at, size)
        at += size


def _fields(schema: Table, known: Collection[str]) -> list[_Field]:
    """The columns, each known and named once: so few that their memory is bounded whatever the stream says."""
    fields: list[_Field] = []
    for field in schema.tables(1):
        name = field.text(0)
        if name not in known or name in {one.name for one in fields}:
            raise FieldError(f"the task takes each of {sorted(known)} once, not {ascii(name)[:100]}", field=name[:100])
        fields.append(_field(field))
    return fields


def _field(field: Table) -> _Field:
    name, kind, details = field.text(0), field.scalar(2, "<B"), field.table(3)
    if field.table(4) is not None:
        raise FieldError(f"field {name!r} is dictionary-encoded; send plain words", field=name)
    if kind == INT and details is not None and (bits := details.scalar(0, "<i")) in (8, 16, 32, 64):
        return _Field(name=name, numbers=f"<{'i' if details.scalar(1, '<B') else 'u'}{bits // 8}")
    if kind == FLOAT and details is not None and (precision := details.scalar(0, "<h")) in (0, 1, 2):
        return _Field(name=name, numbers=("<f2", "<f4", "<f8")[precision])
    if kind in (UTF8, LARGE_UTF8):
        return _Field(name=name, offsets="<i4" if kind == UTF8 else "<i8")
    if kind == NULL:
        return _Field(name=name)
    raise FieldError(f"field {name!r} takes integers, floats or words, not Arrow's type {kind}", field=name)


def _batch(header: Table, body: bytes) -> _Batch:
    if header.table(3) is not None:
        raise ContractError("compressed Arrow buffers are not read; send them plain")
    return _Batch(rows=header.scalar(0, "<q"), nodes=header.pairs(1), buffers=header.pairs(2), body=body)


def _column(field: _Field, batch: _Batch) -> NDArray[Any]:
    rows, missing = next(batch.nodes, (-1, 0))
    if rows != batch.rows or rows < 0:
        raise ContractError(f"the Arrow stream is damaged: column {field.name!r} has another length")
    if not (field.numbers or field.offsets):
        return np.full(rows, None, dtype=object)
    present = _present(batch.buffer(), rows, missing)
    return _numbers(field, batch, present) if field.numbers else _words(field, batch, present)


def _present(bits: bytes, rows: int, missing: int) -> NDArray[np.bool_]:
    if not (missing and bits):
        return np.ones(rows, dtype=np.bool_)
    return np.unpackbits(_values(bits, "u1", (rows + 7) // 8), count=rows, bitorder="little").astype(np.bool_)


def _numbers(field: _Field, batch: _Batch, present: NDArray[np.bool_]) -> NDArray[Any]:
    values = _values(batch.buffer(), field.numbers, batch.rows)
    return np.where(present, values, np.nan)


def _words(field: _Field, batch: _Batch, present: NDArray[np.bool_]) -> NDArray[Any]:
    ends = batch.buffer()
    if not ends and present.any():
        raise ContractError(f"the Arrow stream is damaged: the words of column {field.name!r} have no offsets")
    offsets = _values(ends, field.offsets, batch.rows + 1 if ends else 0).tolist() or [0]
    letters = batch.buffer()
    words = np.full(batch.rows, None, dtype=object)
    for row in np.flatnonzero(present).tolist():
        word = slice_of(letters, offsets[row], offsets[row + 1] - offsets[row])
        try:
            words[row] = word.decode()
        except UnicodeDecodeError:
            raise FieldError(f"row {row}: field {field.name!r} is not UTF-8", field=field.name, row=row) from None
    return words


def _values(data: bytes, kind: str, count: int) -> NDArray[Any]:
    width = np.dtype(kind).itemsize
    return np.frombuffer(slice_of(data, 0, count * width), dtype=kind)
