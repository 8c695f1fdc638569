"""Predictions on this device: a raw record in, each class's probability out, nothing over the wire.

A prediction loads NumPy and ONNX Runtime only; the file was verified and tried when it was installed.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.config import AgentHome
from client.installed import Installed, read_release, serving
from shared.errors import ContractError, ReleaseError
from shared.feeds import SCORES, Feeds, to_feeds
from shared.models import Prediction
from shared.runtime import Scores, ask, open_model

Value = float | str | None


class Predictor:
    """Answers with the release that served when it was made; safe to use from several threads."""

    def __init__(self, place: AgentHome | Path) -> None:
        """`place` is an agent's home, or one release's directory; raise `ReleaseError` if nothing there serves."""
        installed = _find(place)
        self._task = installed.task
        self._release = installed.release
        self._classes = installed.task.label.classes
        self._numbers, self._texts = installed.task.numbers, installed.task.texts
        self._fields = frozenset((*self._numbers, *self._texts))
        self._session = open_model(installed.model)
        self._run = self._session.run
        self._outputs = [SCORES]

    @property
    def release(self) -> int:
        """The number of the release that answers."""
        return self._release.number

    def predict(self, record: Mapping[str, Value]) -> Prediction:
        """Answer for one record; a field that is absent or None counts as missing.

        Raise `ContractError` that names a field the task does not know or that holds the wrong type.
        """
        started = time.perf_counter_ns()
        scores: list[float] = self._run(self._outputs, self._feeds(record))[0][0].tolist()
        label = self._classes[scores.index(max(scores))]
        return Prediction(
            label=label,
            scores=dict(zip(self._classes, scores, strict=True)),
            release=self._release.number,
            model_version=self._release.version,
            latency_us=(time.perf_counter_ns() - started) / 1000,
        )

    def predict_many(self, columns: Mapping[str, NDArray[Any] | Sequence[Value]]) -> Scores:
        """Probabilities of shape `(rows, classes)` for raw columns by name, each of shape `(rows,)`.

        A column that is absent counts as missing throughout. Raise `ContractError` as `predict` does, and
        if columns differ in length.
        """
        return ask(self._session, self._tables(columns))

    def predict_alone(self, columns: Mapping[str, NDArray[Any] | Sequence[Value]]) -> Scores:
        """As `predict_many`, but each row in a call of its own; NaN where the model gives one row no answer.

        A signed graph may still compute across a batch, or fail on a certain row; alone, a row touches only itself
        (privacy rule 3).
        """
        feeds, classes = self._tables(columns), len(self._classes)
        scores = np.full((len(next(iter(feeds.values()))), classes), np.nan, dtype=np.float32)
        for row in range(len(scores)):
            with suppress(ReleaseError):
                answer = ask(self._session, {name: table[row : row + 1] for name, table in feeds.items()})
                scores[row] = answer[0] if answer.shape == (1, classes) else np.nan
        return scores

    def _tables(self, columns: Mapping[str, NDArray[Any] | Sequence[Value]]) -> Feeds:
        self._require_known(columns)
        lengths = {name: _length(name, column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ContractError(f"columns differ in length: {lengths}")
        rows = next(iter(lengths.values()), 0)
        numbers = {name: _number_column(name, columns.get(name), rows) for name in self._numbers}
        texts = {name: _text_column(name, columns.get(name), rows) for name in self._texts}
        return to_feeds(self._task, numbers | texts)

    def _feeds(self, record: Mapping[str, Value]) -> Feeds:
        self._require_known(record)
        numbers = [_number(name, record.get(name)) for name in self._numbers]
        with np.errstate(over="ignore"):
            feeds: Feeds = {"numbers": np.array([numbers], dtype=np.float32)}
        if self._texts:
            feeds["texts"] = np.array([[_text(name, record.get(name)) for name in self._texts]], dtype=object)
        return feeds

    def _require_known(self, fields: Mapping[str, Any]) -> None:
        if not fields.keys() <= self._fields:
            unknown = sorted(str(name) for name in fields.keys() - self._fields)
            raise ContractError(f"the task knows no field {unknown}; it takes {sorted(self._fields)}")


def _find(place: AgentHome | Path) -> Installed:
    if isinstance(place, Path) and (place / "release.json").exists():
        return read_release(place)
    home = place if isinstance(place, AgentHome) else AgentHome(place)
    installed = serving(home)
    if installed is None:
        raise ReleaseError(f"{home.path} has no release to answer with yet; `covey-agent update` looks for one")
    return installed


def _number(name: str, value: Value) -> float:
    if type(value) is float:
        return value
    if value is None:
        return np.nan
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    raise _mistyped(name, "a number", value)


def _text(name: str, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):
            value.encode()
            return value
    raise _mistyped(name, "words", value)


def _mistyped(name: str, expected: str, value: object) -> ContractError:
    return ContractError(f"field {name!r} takes {expected}, got {type(value).__name__} {ascii(value)[:40]}")


def _length(name: str, column: Any) -> int:
    if np.ndim(column) != 1:
        raise ContractError(f"column {name!r} takes one value a row, got {np.ndim(column)} dimensions")
    return len(column)


def _number_column(name: str, column: Any, rows: int) -> NDArray[Any]:
    if column is None:
        return np.full(rows, np.nan, dtype=np.float32)
    values = np.asarray(column)
    if values.dtype.kind in "iuf":
        return values
    return np.array([_number(name, value) for value in values.tolist()], dtype=np.float64)


def _text_column(name: str, column: Any, rows: int) -> NDArray[Any]:
    if column is None:
        return np.full(rows, None, dtype=object)
    return np.array([_text(name, value) for value in np.asarray(column, dtype=object).tolist()], dtype=object)
