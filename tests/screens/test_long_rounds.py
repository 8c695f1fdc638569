"""Rounds that last minutes or hours: their lengths read whole at every size, and nothing reads as a power of ten."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import story
from screens.conftest import Open, settled, text_of, until

from server.config import Federation
from server.store import Store
from server.tui.roundchart import MARGIN, round_chart
from server.tui.words import brief, plain, within

TOOK = {1: 45.0, 2: 125.0, 3: 1_000.0, 4: 3_599.0, 5: 4_200.0, 6: 36_300.0}
"""Seconds of each round."""
READS = ("45.0 s", "2 min 05 s", "17 min", "60 min", "1 h 10 min", "10 h")
POWER = re.compile(r"\de[+-]\d")


def slow_campaign(home: Path) -> None:
    """A campaign whose rounds last from seconds to hours."""
    store = Store(Federation(home).database)
    task, began = store.task("flights"), story.NOW - 60
    base = store.versions()[-1].number
    run = story.campaign(store, task, window=story.SECOND, base=base, began=began, rounds=0)
    for number, took in TOOK.items():
        whole = story.round_of(task, run, number, base + number - 1, story.SECOND, began)
        result = replace(whole, finished_at=began + took)
        store.commit_round(result, weights=story.weights(base + number), momentum=b"", revision=task.revision)
    store.close()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_how_long_rounds_took_is_never_cut(opened: Open, idle: Path, size: tuple[int, int]) -> None:
    slow_campaign(idle)
    async with opened(idle).run_test(size=size) as pilot:
        app = await settled(pilot)
        await pilot.press("2")
        await until(pilot, lambda: "Took" in text_of(app))
        said = text_of(app)
        shown = [row for row in said.split("\n") if "✓ committed" in row]
        assert len(shown) == len(TOOK)
        [heading] = [row for row in said.split("\n") if "Took" in row]
        assert "Refused, failed " in heading
        assert "…" not in heading
        assert all(f" {word}  " in row for word, row in zip(reversed(READS), shown, strict=True))
        assert not POWER.search(said)
        assert size == (80, 24) or "  10 h ▏" in said


@given(st.floats(0, 3.5e7))
def test_a_length_of_time_takes_six_cells(seconds: float) -> None:
    assert len(brief(seconds)) <= 6
    assert len(within(seconds, 10)) <= 10


def test_lengths_of_time_are_told_in_a_fitting_unit() -> None:
    assert [brief(each) for each in (0, 0.004, 0.052, 8.24, 59.6, 120, 999.4)] == [
        "0 s", "0 s", "0.05 s", "8.2 s", "60 s", "120 s", "999 s",
    ]  # fmt: skip
    assert [brief(each) for each in (999.6, 2_100, 5_969, 5_971, 9_000, 360_000)] == [
        "17 min", "35 min", "99 min", "1.7 h", "2.5 h", "100 h",
    ]  # fmt: skip


@given(st.floats(-1e15, 1e15), st.integers(1, 10))
def test_a_figure_is_no_power_of_ten_and_keeps_its_value(value: float, digits: int) -> None:
    shown = plain(value, digits)
    assert not POWER.search(shown)
    assert float(shown) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


def test_figures_keep_their_whole_part_and_drop_empty_decimals() -> None:
    assert [plain(each, 2) for each in (0.0, 0.052, 8.0, 9.96, 120.0, 12_345.0)] == [
        "0",
        "0.052",
        "8",
        "10",
        "120",
        "12345",
    ]
    assert [plain(each) for each in (8.0, 1e-05, 2_500_000.0, float("inf"))] == ["8", "0.00001", "2500000", "inf"]


@pytest.mark.parametrize("took", [0.5, 120.0, 1_234.0, 86_400.0])
def test_the_scale_of_a_chart_stays_beside_its_columns(idle: Path, took: float) -> None:
    store = Store(Federation(idle).database)
    result = story.round_of(store.task("flights"), 1, 1, 1, story.FIRST, 0.0)
    store.close()
    drawn = round_chart([replace(result, finished_at=took)], 3, 60, 12).plain.split("\n")
    places = {row.index("▏") for row in drawn if "▏" in row}
    assert places == {MARGIN - 1}
