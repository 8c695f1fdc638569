"""Fits a task's label model on the operator's own public or made-up rows, and writes it as the task file has it.

No device's row comes near: the parameters travel with the signed task, as its bounds do (privacy rule 5).
"""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared import wire
from shared.errors import InputError, WireError
from shared.labelling import UNDECIDED, Condition, Labelling, LabelRule, votes, weak_labels
from shared.labelmodel import ABSTAINS, LabelModel, Votes, fit
from shared.tasks import Task

THRESHOLD = 0.9
DIGITS = 6


def fit_labels(file: Path, rows: Path) -> str:
    """The `[labelling]` table of the task in `file`, with its parameters fitted on the rows of a Parquet or CSV file.

    In `file` the table needs no more than its rules; what else it says of parameters is not looked at. Raise
    `InputError` for files that cannot be used, and for a rule that votes on none or all of the rows.
    """
    task, labelling = _draft(file)
    columns = _read(rows, task, labelling)
    found = votes(labelling, columns)
    _require_telling(found, labelling)
    fitted = _with(labelling, fit(found, len(labelling.classes)))
    decided = weak_labels(fitted, columns) != UNDECIDED
    voted = (found != ABSTAINS).any(axis=1)
    note = f"# Fitted on {len(found)} rows: {voted.mean():.1%} get a vote, {decided.mean():.1%} a label."
    return f"{note}\n{render(fitted)}"


def render(labelling: Labelling) -> str:
    """A labelling as TOML, to stand at the end of a task file."""
    lines = [
        "[labelling]",
        f"classes = {_list(labelling.classes)}",
        f"prior = {_list(labelling.prior)}",
        f"threshold = {labelling.threshold!r}",
        f"ask_below = {labelling.ask_below!r}",
    ]
    return "\n".join([*lines, *(line for rule in labelling.rules for line in _rule(rule))]) + "\n"


def _rule(rule: LabelRule) -> list[str]:
    return [
        "",
        "[[labelling.rules]]",
        f"name = {_text(rule.name)}",
        f"vote = {_text(rule.vote)}",
        f"match = {_text(rule.match)}",
        "when = [",
        *(f"    {_condition(condition)}," for condition in rule.when),
        "]",
        "confusion = [",
        *(f"    {_list(row)}," for row in rule.confusion),
        "]",
    ]


def _condition(condition: Condition) -> str:
    fields = [f"column = {_text(condition.column)}", f"operator = {_text(condition.operator)}"]
    if condition.value is not None:
        fields.append(f"value = {condition.value!r}")
    if condition.values:
        fields.append(f"values = {_list(condition.values)}")
    return "{ " + ", ".join(fields) + " }"


def _list(values: tuple[str, ...] | tuple[float, ...]) -> str:
    return "[" + ", ".join(_text(value) if isinstance(value, str) else f"{value:.{DIGITS}g}" for value in values) + "]"


def _text(value: str) -> str:
    """A TOML basic string; JSON writes the same."""
    return json.dumps(value, ensure_ascii=False)


def _draft(file: Path) -> tuple[Task, Labelling]:
    """The task with even parameters where none are fitted yet; everything else must be as it will be."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        _fill(document)
        task = wire.decode(Task, document, what="task")
    except OSError as error:
        raise InputError(f"task file {file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, WireError) as error:
        raise InputError(f"task file {file}: {error}") from None
    if task.labelling is None:
        raise InputError(f"task file {file} has no [labelling] table; write its rules there, then fit them")
    return task, task.labelling


def _fill(document: dict[str, Any]) -> None:
    """Put even parameters where they belong; what has not even the right shape is left for the parser to name."""
    table, classes = document.get("labelling"), _table(document.get("label")).get("classes")
    if not isinstance(table, dict) or not isinstance(classes, list):
        return
    known = cast(list[Any], classes)
    table.update(classes=known, prior=[1 / len(known)] * len(known))
    table.setdefault("threshold", THRESHOLD)
    rules = table.get("rules")
    for rule in map(_table, cast(list[Any], rules) if isinstance(rules, list) else []):
        votes_so = [0.5 if name == rule.get("vote") else 0.0 for name in known]
        rule["confusion"] = [[*votes_so, 0.5]] * len(known)


def _table(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _read(rows: Path, task: Task, labelling: Labelling) -> dict[str, NDArray[Any]]:
    """The columns that the rules look at: numbers as float32 with NaN, words as objects with None, where missing."""
    names = sorted({condition.column for rule in labelling.rules for condition in rule.when})
    try:
        frame = pl.read_parquet(rows) if rows.suffix == ".parquet" else pl.read_csv(rows, infer_schema=False)
        numbers = frame.select(pl.col(name).cast(pl.Float32, strict=False) for name in names if name in task.numbers)
        words = frame.select(pl.col(name).cast(pl.String) for name in names if name in task.texts)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"rows {rows} cannot be used: {str(error).splitlines()[0]}") from None
    if not frame.height:
        raise InputError(f"rows {rows} holds no row to fit on")
    return {
        **{column.name: column.fill_null(float("nan")).to_numpy() for column in numbers},
        **{column.name: np.array(column.to_list(), dtype=object) for column in words},
    }


def _require_telling(found: Votes, labelling: Labelling) -> None:
    for rule, share in zip(labelling.rules, (found != ABSTAINS).mean(axis=0), strict=True):
        if share in (0, 1):
            which = "none" if share == 0 else "each"
            raise InputError(f"labelling rule {rule.name!r} votes on {which} of these rows, so they tell nothing of it")


def _with(labelling: Labelling, model: LabelModel) -> Labelling:
    """The same rules with fitted parameters, in as many digits as are written."""
    rules = tuple(
        replace(rule, confusion=tuple(_rounded(row) for row in table))
        for rule, table in zip(labelling.rules, model.confusion, strict=True)
    )
    return replace(labelling, prior=_rounded(model.prior), rules=rules)


def _rounded(chances: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{chance:.{DIGITS}g}") for chance in chances)
