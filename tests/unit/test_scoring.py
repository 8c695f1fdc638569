"""A device scores its own rows: every row of a window, in order, offline; what cannot be done is said by name."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from machines import machine_rows
from releasing import Works, build_works

from client.inference import Predictor
from client.scoring import score
from shared.errors import InputError, ReleaseError
from shared.tasks import Window

FIRST_DAYS = Window(start="2026-01-01", end="2026-01-11")


@pytest.fixture
def works(tmp_path: Path) -> Works:
    made = build_works(tmp_path)
    rows = tmp_path / "rows.parquet"
    machine_rows(310).write_parquet(rows)
    settings = made.home.settings_file
    settings.write_text(settings.read_text().replace("rows.parquet", str(rows)))
    return made


def test_every_row_of_the_window_is_scored_in_order(works: Works, tmp_path: Path) -> None:
    works.publish(seed=1)
    works.check()
    found = score(works.place, FIRST_DAYS, tmp_path / "scores.parquet")
    kept = pl.read_parquet(tmp_path / "scores.parquet")
    frame = machine_rows(310).filter(pl.col("at").dt.day() <= 10)
    assert found.rows == len(kept) == len(frame) == 100
    assert kept.columns == ["runs", "stops"]
    assert np.allclose(kept.sum_horizontal().to_numpy(), 1, atol=1e-5)
    row = frame.row(42, named=True)
    alone = Predictor(works.home).predict({name: row[name] for name in ("load", "hour", "site")})
    assert kept["stops"][42] == pytest.approx(alone.scores["stops"], abs=1e-5)
    assert found.release == 1
    assert 0 < found.p50_us <= found.p99_us


def test_before_the_first_release_there_is_nothing_to_score_with(works: Works, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no release to answer with yet; `covey-agent update`"):
        score(works.place, Window(), tmp_path / "scores.parquet")


def test_a_place_that_cannot_be_written_is_named(works: Works, tmp_path: Path) -> None:
    works.publish(seed=1)
    works.check()
    with pytest.raises(InputError, match=r"nowhere/scores\.parquet cannot be written"):
        score(works.place, Window(), tmp_path / "nowhere" / "scores.parquet")
