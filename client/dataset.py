"""The device's own rows: read column by column from Parquet or CSV, kept or dropped one row at a time.

Whether a row counts depends on that row, the clock and the task alone (privacy rule 3): nothing is inferred from
other rows, neither a type nor a date's format, and a row that cannot be read spoils only itself. A row that breaks
the task's contract counts nowhere but in `count_rules`.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.contract import BROKEN, WHEN, Quarantine, first_broken
from client.datafiles import Batch, data_files, rows_said, words_of
from client.inputs import Examples, Labels
from client.revised import readable_dates, require_words, task_batches
from client.spool import Growing, Spool
from shared.errors import ContractError, InputError
from shared.features import encode_columns
from shared.revisions import UNKNOWN, changed_at, current_words, former_words
from shared.tasks import Measured, Task, Window

log = logging.getLogger(__name__)

Columns = dict[str, NDArray[Any]]
Extra = tuple[Mapping[str, NDArray[Any]], Labels]
"""Rows that no file holds: raw columns and labels, in the form that `read_columns` gives."""


ISO_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
"""How a timestamp may be written in CSV."""

DISK_CEILING = 4 * 2**30
"""Bytes that encoded examples may take on disk, unless the owner says otherwise."""


def read_examples(
    path: Path | None, task: Task, window: Window, *, extra: Extra | None = None,
    scratch: Path | None = None, ceiling: int = DISK_CEILING,
) -> Examples:  # fmt: skip
    """Encode the rows of a window whose label is known, or decided by the task's labelling rules; then `extra` rows.

    `extra` is raw columns and labels as `read_columns` gives them; without a `path` there are only these. Rows that
    break the contract are set aside beside their file. Examples above `IN_MEMORY_ROWS` go to a nameless file under
    `scratch` of at most `ceiling` bytes. Raises `InputError` and `ContractError`.
    """
    share = ceiling * task.inputs // (task.inputs + 2)  # a label is as large as two inputs
    inputs = Spool(np.float32, (task.inputs,), scratch=scratch, ceiling=share)
    labels = Spool(np.int64, (), scratch=scratch, ceiling=ceiling - share)
    for columns, known in labelled(path, task, window, extra):
        inputs.add(encode_columns(task.features, {name: column[known != UNKNOWN] for name, column in columns.items()}))
        labels.add(known[known != UNKNOWN])
    return Examples(inputs=inputs.array(), labels=labels.array())


def read_columns(path: Path, task: Task, window: Window) -> tuple[Columns, Labels]:
    """Read raw columns by name, and labels (`UNKNOWN` where there is none), of the rows of a window.

    Numbers are float32 with NaN where missing, texts are objects with `None` where missing; rows that break the
    contract are left out. Raises `InputError` when the data cannot be read and `ContractError` when it lacks a
    column, each naming the file.
    """
    expected = rows_said(path)
    types = dict.fromkeys(task.numbers, np.float32) | dict.fromkeys(task.texts, np.object_)
    grown = {name: Growing(dtype, expected=expected) for name, dtype in types.items()}
    labels = Growing(np.int64, expected=expected)
    for batch in judged(path, task):
        columns, found = columns_and_labels(kept(batch.frame, task, window), task)
        labels.add(found)
        for name, column in columns.items():
            grown[name].add(column)
    return {name: column.array() for name, column in grown.items()}, labels.array()


def count_rules(path: Path, task: Task, window: Window) -> NDArray[np.int64]:
    """How many rows of a window break each of `task.contract.rules` first, then how many keep it.

    Each row falls in exactly one bin. Of the rows that keep every rule about themselves, those beyond one for each
    key count as repeated, so one row more still changes one count by one. These counts never leave the device.
    """
    contract = task.contract
    counts = np.zeros(len(contract.rules) + 1, np.int64)
    keys: list[NDArray[np.uint64]] = []
    for batch in judged(path, task):
        rows = batch.frame.filter(_within(task, window))
        numbers = rows[BROKEN].fill_null(len(counts) - 1).to_numpy()
        counts += np.bincount(numbers, minlength=len(counts))
        if contract.unique:
            sound = rows.filter(pl.col(BROKEN).is_null())
            keys.append(sound.select(pl.col(contract.unique).cast(pl.String)).hash_rows(seed=0).to_numpy())
    if contract.unique:
        repeated = counts[-1] - len(np.unique(np.concatenate(keys)))
        counts[-2:] = repeated, counts[-1] - repeated
    return counts


def judged(path: Path, task: Task, *, aside: bool = False) -> Iterator[Batch]:
    """Each batch of raw rows with `ROW`, `WHEN` and `BROKEN`; at least one, of no rows if there are none.

    With `aside`, the rows that break the contract are written beside each file. In a directory, a file that cannot
    be read, such as one that is being written, costs only itself.
    """
    now, why, read = datetime.now(UTC).replace(tzinfo=None), None, 0
    for file in data_files(path):
        try:
            for batch in _judged(file, task, now=now, aside=aside):
                yield batch
                read += 1
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, InputError, ContractError) as error:
            why = _named(error, file)
            log.warning("passed over: %s", why)
    if why and not (read and path.is_dir()):
        raise why


def _named(error: BaseException, file: Path) -> InputError | ContractError:
    if isinstance(error, (InputError, ContractError)):
        return error
    return InputError(f"data file {file} cannot be read: {(str(error).splitlines() or [''])[0]}")


def _judged(file: Path, task: Task, *, now: datetime, aside: bool) -> Iterator[Batch]:
    """Read one file's needed columns and judge each row by itself."""
    needed = needed_columns(task)
    quarantine = Quarantine(file, task.name, task.contract, now=now) if aside else None
    broken = first_broken(task.contract, needed, now=now)
    for batch in task_batches(file, task, needed, floats=unruled_numbers(task)):
        require_words(batch.frame.schema, file)
        frame = batch.frame.with_columns(readable_dates(batch.frame.schema))
        frame = frame.with_columns(when_of(frame.schema, task)).with_columns(broken)
        found = replace(batch, frame=frame)
        if quarantine and (batch.spoilt or frame[BROKEN].null_count() < frame.height):
            quarantine.add(batch, found.located().filter(pl.col(BROKEN).is_not_null()))
        yield found
    if quarantine:
        quarantine.close()


def unruled_numbers(task: Task) -> frozenset[str]:
    """Columns in which a word that says no number is as good as none, because no rule of the contract tells them apart."""
    threshold = {task.label.column} if isinstance(task.label, Measured) else set[str]()
    others = {*(rule.name for rule in task.contract.columns), *task.contract.unique, task.timestamp}
    return frozenset({*task.numbers, *threshold} - others)


def needed_columns(task: Task) -> tuple[str, ...]:
    """Every column that a task reads, each once: features, label, timestamp, and what its contract speaks of."""
    contract = (*(rule.name for rule in task.contract.columns), *task.contract.unique)
    timestamp = (task.timestamp,) if task.timestamp else ()
    return tuple(dict.fromkeys((*task.numbers, *task.texts, task.label.column, *timestamp, *contract)))


def labelled(
    path: Path | None, task: Task, window: Window, extra: Extra | None
) -> Iterator[tuple[Mapping[str, NDArray[Any]], Labels]]:
    """Raw columns and labels, batch by batch; where an outcome is not known, as the task's labelling rules decide."""
    for batch in judged(path, task, aside=True) if path is not None else ():
        columns, labels = columns_and_labels(kept(batch.frame, task, window), task)
        yield columns, _decided(columns, labels, task)
    if extra is not None:
        columns, labels = extra
        yield _keeping(columns, labels, task)


def _decided(columns: Columns, labels: Labels, task: Task) -> Labels:
    unknown = labels == UNKNOWN
    if task.labelling is None or not unknown.any():
        return labels
    from shared.labelling import weak_labels

    labels = labels.copy()
    labels[unknown] = weak_labels(task.labelling, {name: column[unknown] for name, column in columns.items()})
    return labels


def _keeping(columns: Mapping[str, NDArray[Any]], labels: Labels, task: Task) -> tuple[Columns, Labels]:
    """Of rows that came as columns, those that keep the contract about their features."""
    names = (*task.numbers, *task.texts)
    frame = pl.DataFrame({name: pl.Series(name, columns[name].tolist(), strict=False) for name in names})
    about = replace(task.contract, max_age_days=None)
    broken = frame.with_columns(first_broken(about, names, now=datetime.now(UTC)))  # a contract may have no rules
    keeps = broken[BROKEN].is_null().to_numpy()
    return {name: columns[name][keeps] for name in names}, labels[keeps]


def columns_and_labels(frame: pl.DataFrame, task: Task) -> tuple[Columns, Labels]:
    """What `kept` gave, as NumPy holds it: views, to be read only."""
    numbers = {name: frame[name].to_numpy() for name in task.numbers}
    texts = {name: words_of(frame[name]) for name in task.texts}
    return numbers | texts, frame["@label"].to_numpy()


def kept(frame: pl.DataFrame, task: Task, window: Window, *also: str) -> pl.DataFrame:
    """A window's rows that keep the contract: the task's columns in its types, `@label`, and `also` as they are."""
    numbers = [_number(name, frame.schema).fill_null(float("nan")) for name in task.numbers]
    texts = [pl.col(name).cast(pl.String) for name in task.texts]
    keeps = frame.select(pl.col(BROKEN).is_null() & _within(task, window)).to_series()
    rows = frame if keeps.all() else frame.filter(keeps)
    return rows.select(*numbers, *texts, _label(task), *also)


def _number(name: str, schema: pl.Schema) -> pl.Expr:
    """A column as float32; a word is read as a double first, so that it rounds as a number does."""
    column = pl.col(name)
    return column if schema[name] == pl.Float32 else column.cast(pl.Float64, strict=False).cast(pl.Float32)


def when_of(schema: pl.Schema, task: Task) -> pl.Expr:
    """The row's own timestamp, null where it cannot be read."""
    if task.timestamp is None:
        return pl.lit(None, pl.Datetime("us")).alias(WHEN)
    when = pl.col(task.timestamp)
    if schema[task.timestamp] == pl.String:
        when = pl.coalesce(when.str.to_datetime(form, strict=False, time_unit="us") for form in ISO_FORMATS)
    return when.cast(pl.Datetime("us")).alias(WHEN)


def _within(task: Task, window: Window) -> pl.Expr:
    """Whether a row lies in a window; one without a readable timestamp is in no bounded one."""
    bounds = [pl.lit(value=True)]
    if task.timestamp and window.start:
        bounds.append(pl.col(WHEN) >= _moment(window.start))
    if task.timestamp and window.end:
        bounds.append(pl.col(WHEN) < _moment(window.end))
    return pl.all_horizontal(bounds).fill_null(value=False)  # null would hang on the other rows of its batch


def _moment(text: str) -> datetime:
    """Read a bound; one with a zone is compared in UTC."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _label(task: Task) -> pl.Expr:
    """Give the class's number, or `UNKNOWN`."""
    if isinstance(task.label, Measured):
        value = pl.col(task.label.column).cast(pl.Float64, strict=False).fill_nan(None)
        above = [(value > cut).cast(pl.Int64) for cut in task.label.cuts]
        return sum(above[1:], above[0]).fill_null(UNKNOWN).alias("@label")
    now = _numbered(task, current_words(task))
    if (changed := changed_at(task)) is None:
        return now.alias("@label")
    return pl.when(pl.col(WHEN) < changed).then(_numbered(task, former_words(task))).otherwise(now).alias("@label")


def _numbered(task: Task, words: Mapping[str, int]) -> pl.Expr:
    word = pl.col(task.label.column).cast(pl.String)
    return word.replace_strict(list(words), list(words.values()), default=UNKNOWN, return_dtype=pl.Int64)
