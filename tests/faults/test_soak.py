"""A minute of the soak: an agent that is asked all the time while everything around it breaks."""

from pathlib import Path

import pytest

from simulations.soak import report
from simulations.soak.schedule import CYCLE, draw
from simulations.soak.story import Soak


def test_a_schedule_is_drawn_from_its_seed_and_the_coordinator_always_returns() -> None:
    assert draw(600, seed=1) == draw(600, seed=1) != draw(600, seed=2)
    acts = [moment.act for moment in draw(600, seed=1)]
    assert len(acts) == 2 * len(CYCLE)
    assert [act for act in acts if act in ("leave", "return")] == ["leave", "return"] * 2


@pytest.mark.proof
def test_one_minute_of_kills_swaps_and_absence(tmp_path: Path) -> None:
    seen = Soak(tmp_path / "s", seconds=60, rate=100, seed=3, say=lambda _: None).run()
    figures = {str(row["name"]).removeprefix("device.soak."): row["value"] for row in report.rows(seen)}
    assert figures["mixed"] == 0
    assert float(figures["availability"]) >= report.AVAILABILITY
    assert figures["kill"] == figures["restarts"] == 3
    assert float(figures["epsilon.ledger"]) >= float(figures["epsilon.owed"]) > 0
