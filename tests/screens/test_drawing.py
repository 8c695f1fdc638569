"""Tables and charts keep their widths and their cursor, whatever they are given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import story
from textual.app import App, ComposeResult

from server.tui.charts import bar, columns, segments, spark, stacks
from server.tui.glyphs import in_ascii
from server.tui.histograms import Pair, as_columns, as_rows, compare, ruler
from server.tui.shiftbar import position, scale
from server.tui.table import Column, Row, Table
from server.tui.words import age, lasting, size, tally
from shared.drift import Histogram
from shared.tasks import read_task

SHARES = st.floats(min_value=-1, max_value=3)


class Bench(App[None]):
    """One table on an empty screen."""

    def compose(self) -> ComposeResult:
        yield Table((Column("Name", 8), Column("Rarely", 20, rank=2), Column("Often", 8, rank=1, right=True)))


def rows(count: int) -> list[Row]:
    return [Row(str(index), (f"row {index}", "seldom", str(index))) for index in range(count)]


@given(SHARES, st.integers(min_value=1, max_value=200))
def test_a_bar_is_exactly_as_wide_as_its_cell(share: float, width: int) -> None:
    assert bar(share, width, "$primary").cell_length == width


@given(st.lists(st.tuples(st.floats(0, 1), st.just("━"), st.just("$primary")), max_size=4), SHARES, st.integers(1, 99))
def test_stacked_shares_are_exactly_as_wide_as_their_cell(
    parts: list[tuple[float, str, str]], limit: float, width: int
) -> None:
    assert segments(parts, width, limit=abs(limit)).cell_length == width


@given(st.lists(st.floats(0, 1e9), max_size=50), st.integers(1, 9))
def test_columns_are_as_high_as_asked(values: list[float], height: int) -> None:
    drawn = columns(values, height=height, top=max(values, default=0.0), tone="$primary")
    assert [len(line.plain) for line in drawn] == [len(values)] * height


@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4), min_size=1, max_size=30), st.integers(1, 9))
def test_stacked_columns_are_as_wide_and_high_as_asked(values: list[list[int]], height: int) -> None:
    top = max(1, *(sum(parts) for parts in values))
    toned = [[(float(part), "█▒"[place % 2], "$success") for place, part in enumerate(parts)] for parts in values]
    drawn = stacks(toned, height=height, top=top, cell=2, gap=1)
    assert [row.cell_length for row in drawn] == [3 * len(values)] * height


def test_stacked_columns_of_blocks_show_each_part_to_half_a_line() -> None:
    drawn = stacks([[(3, "█", "$success"), (1, "█", "$warning")], [(4, "█", "$success")]], height=2, top=4)
    assert [row.plain for row in drawn] == ["▄█", "██"]
    assert [str(span.style) for span in drawn[0].spans] == ["$success on $warning", "$success"]


def test_parts_with_glyphs_of_their_own_stay_apart_without_colours() -> None:
    drawn = stacks([[(2, "█", "$success"), (1, "▒", "$warning"), (1, "!", "$error")]], height=4, top=4)
    assert [row.plain for row in drawn] == ["!", "▒", "█", "█"]
    assert [in_ascii(row.plain) for row in drawn] == ["!", ":", "#", "#"]


PAIR = Pair(labels=("0", "10", "20", "none"), then=(0.5, 0.3, 0.2, 0.0), now=(0.1, 0.2, 0.7, 0.0))


@pytest.mark.parametrize(("height", "rows"), [(9, 8), (4, 4), (3, 2)])
def test_a_histogram_has_two_rows_a_bin_or_one_or_only_the_bins_that_moved(height: int, rows: int) -> None:
    drawn = [row.plain for row in as_rows(PAIR, 60, height)[1:]]
    assert len([row for row in drawn if "more bins" not in row]) == rows
    assert any("50 →  10 %" in row for row in drawn)
    assert all(len(row) <= 60 for row in drawn)


@pytest.mark.parametrize("height", [14, 9, 4])
def test_two_windows_are_told_apart_without_colours(height: int) -> None:
    task = read_task(story.TASK)
    then, now = (
        Histogram(name="hour", edges=tuple(map(float, range(7))), counts=counts, noise=1.0)
        for counts in ((400.0, 300.0, 200.0, 50.0, 30.0, 20.0), (200.0, 300.0, 400.0, 50.0, 30.0, 20.0))
    )
    head, *rows = compare(then, now, task, 70, height).plain.split("\n")
    marks = [word for word in head.split() if not word[0].isalnum() or word.endswith(":")]
    assert len({in_ascii(mark) for mark in marks}) == 2
    assert height == 4 or all(any(mark in row for row in rows) for mark in marks)


def test_columns_of_two_windows_stand_beside_each_other() -> None:
    *_, foot, labels = as_columns(PAIR, 40, 3)
    assert foot.plain.startswith("████▅▅▅▅") or foot.plain[:8].strip()
    assert labels.plain.split() == ["0", "10", "20", "none"]


def test_a_value_above_zero_always_shows() -> None:
    assert spark([0.0, 1e-9, 1.0], 3).plain == " ▁█"
    assert bar(1e-9, 10, "$primary").plain.startswith("╸")
    assert position(1e-9, 30) == 1


@given(st.integers(1, 200))
def test_a_scale_never_passes_its_width(width: int) -> None:
    assert len(scale(width).plain) <= width


def test_labels_that_would_touch_are_left_out() -> None:
    assert ruler(("0", "100", "200", "300"), 3).split() == ["0", "100", "300"]


async def test_a_table_drops_its_least_important_columns_first() -> None:
    app = Bench()
    async with app.run_test(size=(60, 10)) as pilot:
        table = app.query_one(Table)
        assert [index for index, _ in table.fitting()] == [0, 1, 2]
        await pilot.resize_terminal(30, 10)
        await pilot.pause()
        assert [index for index, _ in table.fitting()] == [0, 2]
        await pilot.resize_terminal(12, 10)
        await pilot.pause()
        assert [index for index, _ in table.fitting()] == [0]


async def test_the_cursor_stays_with_its_row_when_rows_come_and_go() -> None:
    app = Bench()
    async with app.run_test() as pilot:
        table = app.query_one(Table)
        table.show(rows(9))
        table.select("4")
        table.show(rows(9)[3:])
        assert table.key == "4"
        table.show(rows(3))
        assert table.key == "1"
        await pilot.pause()


async def test_the_cursor_stays_in_sight_and_within_the_rows() -> None:
    app = Bench()
    async with app.run_test(size=(60, 10)) as pilot:
        table = app.query_one(Table)
        table.show(rows(10_000))
        table.focus()
        await pilot.press("end")
        assert table.key == "9999"
        assert "row 9999" in table.render_line(9).text
        await pilot.press("j")
        assert table.key == "9999"
        await pilot.press("home", "k")
        assert table.key == "0"
        assert "row 0" in table.render_line(1).text


async def test_a_click_moves_the_cursor() -> None:
    app = Bench()
    async with app.run_test(size=(60, 10)) as pilot:
        app.query_one(Table).show(rows(5))
        await pilot.pause()
        await pilot.click(Table, offset=(3, 4))
        assert app.query_one(Table).key == "3"


def test_figures_read_as_people_write_them() -> None:
    assert [age(each) for each in (3, 49, 125, 2_830, 7_300, 200_000)] == [
        "<10 s",
        "40 s",
        "2 min",
        "40 min",
        "2 h",
        "2 d",
    ]
    assert [lasting(8.24), lasting(125), lasting(4_000)] == ["8.2 s", "2 min 05 s", "1 h 06 min"]
    assert lasting(300) == "5 min"
    assert [size(12), size(14_212), size(2_400_000)] == ["12 B", "14.2 kB", "2.4 MB"]
    assert tally({"consent": 1, "budget": 2}) == "budget 2, consent"
