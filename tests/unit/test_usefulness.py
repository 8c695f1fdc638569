"""The report on useful rows finds rows whose labels were turned, and says nothing where leaving rows out does not help."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from machines import machine_rows, small_task

from client.usefulness import usefulness
from shared.architecture import initial_weights
from shared.errors import InputError
from shared.tasks import Architecture, Window


@pytest.mark.parametrize("architecture", [Architecture(kind="linear"), Architecture(kind="mlp", hidden=(8,))])
def test_rows_with_turned_labels_are_named_and_leaving_them_out_helps(
    tmp_path: Path, architecture: Architecture
) -> None:
    task = small_task(architecture=architecture)
    rows = machine_rows(600)
    turned = set(range(0, 600, 4)) & set(rows.with_row_index().filter(pl.col("at").dt.day() < 15)["index"])
    marked = pl.Series(row in turned for row in range(600))
    rows = rows.with_columns(stops=pl.when(marked).then(1 - pl.col("stops")).otherwise("stops"))
    rows.write_parquet(tmp_path / "a.parquet")
    found = usefulness(tmp_path / "a.parquet", task, Window(), initial_weights(task))
    named = {row - 1 for _, row in found.named}
    assert found.rows == 600
    assert {name for name, _ in found.named} == {"a.parquet"}
    assert len(named & turned) > 0.8 * len(named) > 5
    assert found.after < found.before


def test_no_row_is_named_where_that_does_not_help(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = machine_rows(2000)
    certain = (rows["load"] > 0.5).cast(pl.Float64)
    rows.with_columns(stops=pl.when(pl.Series(random.random(2000) < 0.3)).then(1 - certain).otherwise(certain)).write_parquet(tmp_path / "a.parquet")  # fmt: skip
    found = usefulness(tmp_path / "a.parquet", small_task(), Window(), initial_weights(small_task()))
    assert (found.named == ()) == (found.after == found.before)
    assert found.after <= found.before


def test_too_few_rows_are_an_error_that_says_so(tmp_path: Path) -> None:
    machine_rows(40).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="40 labelled rows are too few"):
        usefulness(tmp_path / "a.parquet", replace(small_task()), Window(), initial_weights(small_task()))
