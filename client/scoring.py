"""Predictions for the device's own rows: every row of a window, kept in a file beside the agent."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.config import TaskHome
from client.dataset import read_columns
from client.inference import Predictor, Value
from client.installed import serving
from shared.errors import InputError, ReleaseError
from shared.tasks import Window

SINGLES = 500
WARM_UP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What was predicted: how many rows, by which release, and how long one raw record took, in microseconds."""

    rows: int
    release: int
    p50_us: float
    p99_us: float
    latencies_us: tuple[float, ...]
    file: str


def score(place: TaskHome, window: Window, out: Path) -> Scored:
    """Predict every row of a window of the device's own data, offline, and write one column a class to `out` (Parquet).

    Rows stand in the order of the data file. The first rows are also asked one by one, to time a raw record.
    """
    installed = serving(place)
    if installed is None:
        raise ReleaseError(f"{place.name} has no release to answer with yet; `covey-agent update` looks for one")
    columns, _ = read_columns(_rows_of(place), installed.task, window)
    predictor = Predictor(place)
    scores = predictor.predict_many(columns)
    _write(out, {name: scores[:, index] for index, name in enumerate(installed.task.label.classes)})
    times = _time_singles(predictor, columns, rows=min(len(scores), SINGLES))
    p50, p99 = (float(np.percentile(times, percent)) if times else 0.0 for percent in (50, 99))
    return Scored(
        rows=len(scores), release=predictor.release, p50_us=p50, p99_us=p99, latencies_us=tuple(times), file=str(out)
    )


def _rows_of(place: TaskHome) -> Path:
    data = place.home.settings().tasks[place.name].data
    if not data:
        raise InputError(f"{place.name} learns from outcomes alone; there are no rows of yours to score")
    return Path(data)


def _time_singles(predictor: Predictor, columns: dict[str, NDArray[Any]], *, rows: int) -> list[float]:
    """Ask rows one by one as raw records; the first calls warm up and are not counted."""
    records = [{name: _plain(column[row]) for name, column in columns.items()} for row in range(rows)]
    return [predictor.predict(record).latency_us for record in records][WARM_UP:]


def _plain(value: Any) -> Value:
    """Turn a cell into what an app would hold: a float, a word, or None."""
    if value is None or isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)


def _write(out: Path, columns: dict[str, NDArray[np.float32]]) -> None:
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        pl.DataFrame(columns).write_parquet(draft)
        draft.replace(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)
