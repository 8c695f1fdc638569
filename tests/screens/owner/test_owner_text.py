"""Bars and cells keep their widths, whatever they are given, and nothing that a terminal obeys reaches it."""

from hypothesis import example, given
from hypothesis import strategies as st

from client.tui.text import fit, meter, plain, swing, value

SHARES = st.floats(min_value=-3, max_value=3)


@given(SHARES, st.integers(1, 200))
def test_a_meter_is_exactly_as_wide_as_its_cell(share: float, width: int) -> None:
    assert meter(share, width, "$primary").cell_length == width


@given(st.floats(1e-9, 1), st.integers(2, 200))
def test_a_share_above_zero_always_shows(share: float, width: int) -> None:
    assert meter(share, width, "$primary").plain[0] in "━╸"
    assert not meter(0, width, "$primary").plain.strip("─")


@given(SHARES, st.integers(9, 120))
@example(1e-9, 9)
def test_a_swing_is_exactly_as_wide_as_its_cell_and_leans_its_way(share: float, width: int) -> None:
    drawn = swing(share, width).plain
    left, _, right = drawn.partition("│")
    assert len(drawn) == width
    assert bool(left.strip()) == (share < 0)
    assert bool(right.strip()) == (share > 0)


@given(st.text(), st.integers(0, 60), st.booleans())
def test_a_cell_is_exactly_as_wide_as_asked(words: str, width: int, right: bool) -> None:
    assert fit(plain(words), width, right=right).cell_length == width


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_shown(words: str) -> None:
    assert plain(f"\x1b[2J{words}\r\n").isprintable()


def test_missing_values_are_called_missing() -> None:
    assert [value(cell) for cell in (None, "", float("nan"), 0.5, "north")] == ["missing"] * 3 + ["0.5", "north"]
