"""Columns as they grow, and words as objects: the same values whichever way they were laid out."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from client.datafiles import FEW, rows_said, words_of
from client.spool import Growing


@pytest.mark.parametrize("expected", [0, 3, 7, 100])
def test_what_was_added_comes_back_whatever_was_expected(expected: int) -> None:
    grown = Growing(np.float32, expected=expected)
    for part in ([1.0, 2.0], [], [3.0, 4.0, 5.0], [6.0, 7.0]):
        grown.add(np.array(part, np.float32))
    np.testing.assert_array_equal(grown.array(), np.arange(1, 8, dtype=np.float32))


def test_an_expectation_that_nobody_has_memory_for_is_not_believed() -> None:
    grown = Growing(np.uint8, expected=2**62)
    grown.add(np.array([1], np.uint8))
    assert grown.array().tolist() == [1]


@pytest.mark.parametrize("different", [1, 3, 500])
def test_few_words_and_many_give_the_same_objects(different: int) -> None:
    words = [None if row % 7 == 0 else f"W{row % different}" for row in range(FEW * 40)] + ["", None]
    found = words_of(pl.Series(words, dtype=pl.String))
    assert found.dtype == object
    assert found.tolist() == words


def test_columns_without_words_and_without_rows() -> None:
    assert words_of(pl.Series([None] * 40, dtype=pl.String)).tolist() == [None] * 40
    assert words_of(pl.Series([], dtype=pl.String)).tolist() == []


def test_a_damaged_file_says_nothing_of_its_rows(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 2, 3]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "c.csv").write_text("a\n1\n")
    assert rows_said(tmp_path) == 3
