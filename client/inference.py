"""Predictions on this device: a raw record in, each class's probability out, nothing over the wire.

A prediction loads NumPy and ONNX Runtime only; the file was verified and tried when it was installed.
"""

import math
import os
import secrets
import threading
import time
from contextlib import suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from client.config import AgentHome, TaskHome
from client.installed import Installed, read_explanation, read_release, serving
from client.prepare import Columns, FieldError, Preparer, Record, Value
from client.recorder import Recorder
from shared.contract import judge
from shared.errors import ContractError, InputError, ReleaseError
from shared.models import Prediction
from shared.runtime import Desk, Scores, ask, open_model
from shared.tasks import Task

if TYPE_CHECKING:
    from client.attributions import Explainer

__all__ = ["Columns", "FieldError", "Predictor", "Record", "Value"]


class _Ids:
    """Names for predictions: a prefix that each process draws at random, and a count."""

    def __init__(self) -> None:
        self.start()
        os.register_at_fork(after_in_child=self.start)

    def start(self) -> None:
        """Begin anew under another prefix; a forked child must not count on where its parent stands."""
        self.prefix, self.next = secrets.token_hex(8), count(1).__next__

    def take(self) -> str:
        """A name that no other prediction has."""
        return f"{self.prefix}-{self.next():x}"


_ids = _Ids()


class _Desks(threading.local):
    """A desk a thread, laid out when the thread first asks."""

    def __init__(self, session: Any, task: Task) -> None:
        self.desk = Desk(session, numbers=len(task.numbers), texts=len(task.texts), classes=len(task.label.classes))


class Predictor:
    """Answers with the release that served when it was made; safe to use from several threads."""

    def __init__(
        self, place: AgentHome | TaskHome | Path, task: str | None = None, *, recorder: Recorder | None = None
    ) -> None:
        """`place` is an agent's home, one task of it, or one release's directory.

        `task` names one where the home has several. Predictions of single records are kept for their outcome if a
        `recorder` is given; its owner closes it. Raise `ReleaseError` if nothing there serves.
        """
        installed = _find(place, task)
        self.task = installed.task
        self._contract = self.task.contract if self.task.contract.columns else None
        self._fields = (*self.task.numbers, *self.task.texts)
        self._installed, self._release, self._recorder = installed, installed.release, recorder
        self._classes = installed.task.label.classes
        self._session = open_model(installed.model, optimized=installed.optimized, provider=installed.tried.provider)
        self._preparer = Preparer(installed.task)
        self._prepared = None if installed.task.texts else (1, len(installed.task.numbers))
        self._fill, self._here = self._preparer.fill, _Desks(self._session, installed.task)

    @property
    def release(self) -> int:
        """The number of the release that answers."""
        return self._release.number

    @property
    def version(self) -> int:
        """The number of the model version that answers."""
        return self._release.version

    def predict(self, record: Record) -> Prediction:
        """Answer for one record; a field that is absent or None counts as missing.

        Raise `FieldError` that names a field the task does not know, that holds the wrong type or that breaks the
        task's contract, `ReleaseError` if the model has no answer.
        """
        started = time.perf_counter_ns()
        self._hold_to_contract(record)
        desk = self._here.desk
        prediction = self._prediction(desk.ask(self._fill(desk.row, record)), started)
        if self._recorder is not None:
            self._recorder.note(prediction, record)
        return prediction

    def predict_prepared(self, numbers: NDArray[np.float32]) -> Prediction:
        """Answer for one record that is prepared: float32 of shape `(1, numbers)`, in the order of `task.numbers`.

        NaN is missing. Nothing is recorded. Raise `ContractError` for another shape or type, or if the task has words.
        """
        started = time.perf_counter_ns()
        desk = self._here.desk
        if numbers.shape != self._prepared or numbers.dtype.char != "f":
            raise ContractError(
                f"the task takes float32 of shape {desk.numbers.shape} and {len(self.task.texts)} words, "
                f"got {numbers.dtype} of shape {numbers.shape}"
            )
        desk.numbers[...] = numbers
        return self._prediction(desk.ask(), started)

    def predict_many(self, columns: Columns) -> Scores:
        """Probabilities of shape `(rows, classes)` for raw columns by name, each of shape `(rows,)`.

        A column that is absent counts as missing throughout. Raise `ContractError` as `predict` does, and
        if columns differ in length.
        """
        return ask(self._session, self._preparer.table(columns))

    def predict_rows(self, columns: Columns) -> list[Prediction]:
        """As `predict_many`, with a name for each row's answer; they are recorded as `predict` records one.

        Raise `ReleaseError` too if the model has no answer for one of the rows.
        """
        started = time.perf_counter_ns()
        scores = self.predict_many(columns)
        if not np.isfinite(scores).all():
            raise ReleaseError(
                f"release {self.release} has no answer for row {int(np.argmin(np.isfinite(scores).all(1)))}"
            )
        rows = scores.tolist()
        each_ns = (time.perf_counter_ns() - started) // max(len(rows), 1)
        predictions = [self._prediction(row, time.perf_counter_ns() - each_ns) for row in rows]
        if self._recorder is not None:
            values = zip(*(np.asarray(column, dtype=object).tolist() for column in columns.values()), strict=True)
            records = (dict(zip(columns, row, strict=True)) for row in values)
            self._recorder.note_all(zip(predictions, records, strict=True))
        return predictions

    def predict_alone(self, columns: Columns) -> Scores:
        """As `predict_many`, but each row in a call of its own; NaN where the model gives one row no answer.

        A signed graph may still compute across a batch, or fail on a certain row; alone, a row touches only itself
        (privacy rule 3).
        """
        feeds, classes = self._preparer.table(columns), len(self._classes)
        scores = np.full((len(next(iter(feeds.values()))), classes), np.nan, dtype=np.float32)
        for row in range(len(scores)):
            with suppress(ReleaseError):
                answer = ask(self._session, {name: table[row : row + 1] for name, table in feeds.items()})
                scores[row] = answer[0] if answer.shape == (1, classes) else np.nan
        return scores

    def explain(self, record: Record) -> dict[str, float]:
        """How much each raw column moved the answer for one record.

        Raise `FieldError` as `predict` does, and `ReleaseError` if no graph here can say.
        """
        self._hold_to_contract(record)
        whole = dict.fromkeys((*self.task.numbers, *self.task.texts)) | dict(record)
        return self._explainer.explain(self._preparer.table({name: [value] for name, value in whole.items()}))

    def outcome(self, prediction: str, label: str) -> bool:
        """Say what became of a prediction, by its id; False if no such prediction is kept here.

        Raise `ContractError` for a label that the task does not have, `InputError` if nothing records here.
        """
        if label not in self._classes:
            raise FieldError(f"label must be one of {list(self._classes)}, got {ascii(label)[:40]}", field="label")
        if self._recorder is None:
            raise InputError("this Predictor was made without a recorder, so no prediction waits for its outcome")
        return self._recorder.outcome(prediction, label)

    def _hold_to_contract(self, record: Record) -> None:
        if self._contract and (breach := judge(self._contract, record, fields=self._fields)):
            raise FieldError(breach.says, field=breach.field)

    def _prediction(self, scores: list[float], started: int) -> Prediction:
        if not math.isfinite(sum(scores)):
            raise ReleaseError(f"release {self._release.number} has no answer: a score is not finite")
        return Prediction(
            id=_ids.take(),
            label=self._classes[scores.index(max(scores))],
            scores=dict(zip(self._classes, scores, strict=True)),
            release=self._release.number,
            model_version=self._release.version,
            latency_us=(time.perf_counter_ns() - started) / 1000,
        )

    @cached_property
    def _explainer(self) -> "Explainer":
        graph = read_explanation(self._installed)
        if graph is None:
            raise ReleaseError(f"release {self.release} cannot be explained here yet; `covey-agent update` builds that")
        from client.attributions import Explainer

        return Explainer(self.task, graph)


def _find(place: AgentHome | TaskHome | Path, task: str | None) -> Installed:
    if isinstance(place, Path) and (place / "release.json").exists():
        return read_release(place)
    if isinstance(place, Path):
        place = AgentHome(place)
    if isinstance(place, AgentHome):
        place = place.only_task(task)
    installed = serving(place)
    if installed is None:
        raise ReleaseError(f"{place.path} has no release to answer with yet; `covey-agent update` looks for one")
    return installed
