"""From tables and files to the rows of a population, read by the code that ships (`client.dataset`).

A row counts here if it counts on a device: what breaks the task's contract or has no known label is left out, labelling
rules decide where a task has them, and features are encoded by `shared.features`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.contract import WHEN
from client.datafiles import ROW
from client.dataset import columns_and_labels, judged, kept
from shared.errors import InputError
from shared.features import encode_columns
from shared.labelling import weak_labels
from shared.revisions import UNKNOWN
from shared.tasks import Task, Window
from simulations.fleet.partition import NOBODY, Partition, by_key, numbered
from simulations.fleet.population import Group, Rows

ABSENT = "(none)"
"""The group of a row that has no word in a group's column."""


Words = NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """Rows in the order of their file: where each stood, counted from 0, its time, and what a network learns from."""

    places: NDArray[np.int64]
    times: NDArray[np.int64]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    texts: Mapping[str, Words]


def load(
    task: Task, frame: pl.DataFrame, *, device: str | NDArray[np.int64] | Partition, groups: Sequence[str] = ()
) -> Rows:
    """The rows of a table as a population: `device` is a column, each row's device `(rows,)`, or a partition.

    Rows of nobody are left out, as are those without a readable date where the task dates its rows (a device counts
    them only in a window without bounds). Raises `InputError` for a missing column, `ContractError` as a device does.
    """
    partition = _partition(frame, device)
    if len(partition.devices) != frame.height:
        raise InputError(f"the table has {frame.height} rows, and {len(partition.devices)} are dealt out to devices")
    if missing := [name for name in groups if name not in frame.columns]:
        raise InputError(f"the table has no columns {missing} to compare by; it has {frame.columns}")
    with tempfile.TemporaryDirectory(prefix="covey-sim-") as folder:
        path = Path(folder) / "rows.parquet"
        frame.write_parquet(path)
        read = _read(path, task, ())
    words = {name: frame.get_column(name).cast(pl.String).to_numpy()[read.places] for name in groups}
    return _by_device(partition.names, partition.devices[read.places], read, words)


def own(task: Task, files: Mapping[str, Path], *, groups: Sequence[str] = ()) -> Rows:
    """A researcher's own rows, one file (or directory) a device, as each device would read them, sorted by time.

    Groups are columns of words among the task's features. Raises `InputError` and `ContractError` as a device does.
    """
    if not files:
        raise InputError("no data file is named; give one for each device")
    if missing := [name for name in groups if name not in task.texts]:
        raise InputError(
            f"rows of files are compared by words that task {task.name!r} reads, {task.texts}: not {missing}"
        )
    parts = [_read(path, task, groups) for path in files.values()]
    read = _together(parts)
    devices = np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts])
    return _by_device(tuple(files), devices, read, read.texts)


def _partition(frame: pl.DataFrame, device: str | NDArray[np.int64] | Partition) -> Partition:
    if isinstance(device, Partition):
        return device
    if isinstance(device, str):
        return by_key(frame, device)
    return Partition(names=numbered(int(device.max(initial=NOBODY)) + 1), devices=device)


def _read(path: Path, task: Task, texts: Sequence[str]) -> _Read:
    """Read a file once, as `client.dataset.read_examples` does; `texts` are columns of words to keep as they are."""
    parts: list[_Read] = []
    for batch in judged(path, task):
        rows = kept(batch.located(), task, Window(), ROW, WHEN)
        columns, labels = columns_and_labels(rows, task)
        labels = _decided(task, columns, labels)
        times = (
            rows[WHEN].dt.epoch("us")
            if task.timestamp
            else pl.Series([0], dtype=pl.Int64).new_from_index(0, rows.height)
        )
        counts = (labels != UNKNOWN) & times.is_not_null().to_numpy()
        sound = {name: column[counts] for name, column in columns.items()}
        parts.append(
            _Read(
                places=rows[ROW].fill_null(0).to_numpy()[counts].astype(np.int64) - 1,  # no table has an unknown place
                times=times.fill_null(0).to_numpy()[counts],
                inputs=encode_columns(task.features, sound),
                labels=labels[counts],
                texts={name: sound[name] for name in texts},
            )
        )
    return _together(parts)


def _decided(task: Task, columns: Mapping[str, NDArray[Any]], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Let the task's labelling rules decide where no outcome is known, as on a device."""
    unknown = labels == UNKNOWN
    if task.labelling is None or not unknown.any():
        return labels
    weak = weak_labels(task.labelling, {name: column[unknown] for name, column in columns.items()})
    decided = labels.copy()
    decided[unknown] = weak
    return decided


def _together(parts: Sequence[_Read]) -> _Read:
    return _Read(
        places=np.concatenate([part.places for part in parts]),
        times=np.concatenate([part.times for part in parts]),
        inputs=np.concatenate([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        texts={name: np.concatenate([part.texts[name] for part in parts]) for name in parts[0].texts},
    )


def _by_device(names: tuple[str, ...], devices: NDArray[np.int64], read: _Read, words: Mapping[str, Words]) -> Rows:
    """Sort rows by device, then time; of the same time, the order of the file stays."""
    order = np.lexsort((read.times, devices))
    order = order[np.searchsorted(devices[order], 0) :]  # NOBODY comes first
    return Rows(
        names=names,
        offsets=np.searchsorted(devices[order], np.arange(len(names) + 1)).astype(np.int64),
        inputs=read.inputs[order],
        labels=read.labels[order],
        times=read.times[order],
        groups={name: _group(column[order]) for name, column in words.items()},
    )


def _group(words: Words) -> Group:
    """Words as numbers, in the order of the alphabet; raise `InputError` beyond what a group's numbers can count."""
    column = pl.Series("words", words.tolist(), dtype=pl.String).fill_null(ABSENT)
    found: list[str] = sorted(column.unique().to_list())
    if len(found) > np.iinfo(np.int16).max:
        raise InputError(f"{len(found)} groups are too many to compare; choose a column with fewer words")
    codes = column.replace_strict(found, list(range(len(found))), return_dtype=pl.Int16)
    return Group(words=tuple(found), codes=codes.to_numpy())
