"""The virtual clock goes one way, and what happens at one time happens in the order in which it was set."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.pace.clock import Clock

SECONDS = st.floats(min_value=0, max_value=1e6, allow_nan=False)
MOVES = st.lists(
    st.one_of(st.tuples(st.just("after"), SECONDS), st.tuples(st.just("until"), SECONDS), st.just(("next", 0.0)))
)


@given(MOVES)
def test_the_clock_never_goes_back(moves: list[tuple[str, float]]) -> None:
    clock: Clock[float] = Clock()
    for move, seconds in moves:
        before = clock.now
        if move == "after":
            clock.after(seconds, clock.now + seconds)
        elif move == "until":
            for due in clock.until(seconds):
                assert before <= due == clock.now
        elif len(clock):
            assert set(clock.together()) == {clock.now}
        assert clock.now >= before


@given(st.lists(st.integers(0, 3), min_size=1))
def test_ties_keep_their_order(times: list[int]) -> None:
    clock: Clock[int] = Clock()
    for index, time in enumerate(times):
        clock.after(float(time), index)
    found = [clock.together() for _ in range(len(set(times)))]
    assert [index for some in found for index in some] == sorted(range(len(times)), key=lambda index: times[index])
    assert len(clock) == 0


@given(st.lists(SECONDS), SECONDS)
def test_until_leaves_what_comes_later(times: list[float], moment: float) -> None:
    clock: Clock[float] = Clock()
    for time in times:
        clock.after(time, time)
    assert list(clock.until(moment)) == sorted(time for time in times if time <= moment)
    assert clock.now == moment
    assert len(clock) == sum(time > moment for time in times)


@pytest.mark.parametrize("seconds", [-1e-9, math.nan, math.inf])
def test_what_is_past_or_never_comes_cannot_be_set(seconds: float) -> None:
    with pytest.raises(ValueError, match="from now on"):
        Clock().after(seconds, None)
