"""What a rule promises holds whatever the hostile votes are, up to the number that it assumes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from server.robust import aggregate, by_owner
from shared.aggregation import Aggregation, Rule

Votes = NDArray[np.float32]
SIZE = 3

any_vote = st.floats(-(2.0**100), 2.0**100, width=32)
honest_value = st.floats(-8, 8, width=32)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Votes, Votes, list[int]]:
    """Honest votes, hostile ones of which there are fewer, and the order in which all of them come."""
    hostile = draw(st.integers(0, 4))
    count = hostile + draw(st.integers(1, 5))
    honest = draw(arrays(np.float32, (count, SIZE), elements=honest_value))
    lies = draw(arrays(np.float32, (hostile, SIZE), elements=any_vote))
    return honest, lies, draw(st.permutations(range(count + hostile)))


def combined(kind: Rule, round_: tuple[Votes, Votes, list[int]]) -> NDArray[np.float64]:
    honest, lies, order = round_
    votes = np.concatenate([honest, lies])[order]
    return aggregate(votes, Aggregation(kind=kind, assumed_byzantine=len(lies)))


@pytest.mark.parametrize("kind", ["trimmed-mean", "median"])
@given(round_=rounds())
def test_each_coordinate_stays_among_the_honest(kind: Rule, round_: tuple[Votes, Votes, list[int]]) -> None:
    result, honest = combined(kind, round_), round_[0].astype(np.float64)
    assert (result >= honest.min(axis=0) - 1e-12).all()
    assert (result <= honest.max(axis=0) + 1e-12).all()


@given(round_=rounds())
def test_nothing_is_longer_than_the_longest_honest_vote_under_a_norm_bound(
    round_: tuple[Votes, Votes, list[int]],
) -> None:
    longest = np.linalg.norm(round_[0].astype(np.float64), axis=1).max()
    assert np.linalg.norm(combined("norm-bound", round_)) <= longest * (1 + 1e-6) + 1e-12


@given(round_=rounds())
def test_the_geometric_median_stays_near_the_honest(round_: tuple[Votes, Votes, list[int]]) -> None:
    """Within 2 (n - f) / (n - 2 f) times the farthest honest vote (Cohen et al., 2016, bound it so)."""
    honest, lies, _ = round_
    n, f = len(honest) + len(lies), len(lies)
    centre = honest.astype(np.float64).mean(axis=0)
    reach = np.linalg.norm(honest - centre, axis=1).max()
    apart = np.linalg.norm(combined("geometric-median", round_) - centre)
    assert apart <= 2 * (n - f) / (n - 2 * f) * reach + 1e-3


@given(
    honest=arrays(np.float32, (6, SIZE), elements=st.floats(-1, 1, width=32)),
    lies=arrays(np.float32, (2, SIZE), elements=st.floats(-1, 1, width=32)),
    away=st.floats(20, 1e6, width=32),
    order=st.permutations(range(8)),
)
def test_krum_picks_an_honest_vote_where_the_hostile_are_far_off(
    honest: Votes, lies: Votes, away: float, order: list[int]
) -> None:
    votes = np.concatenate([honest, lies + np.float32(away)])[order]
    chosen = aggregate(votes, Aggregation(kind="krum", assumed_byzantine=2))
    assert chosen.tolist() in honest.astype(np.float64).tolist()
    several = aggregate(votes, Aggregation(kind="multi-krum", assumed_byzantine=2))
    assert several == pytest.approx(honest.mean(axis=0, dtype=np.float64), abs=1e-6)


@pytest.mark.parametrize("kind", ["median", "trimmed-mean", "norm-bound"])
@given(round_=rounds(), data=st.data())
def test_the_order_of_votes_decides_nothing(
    kind: Rule, round_: tuple[Votes, Votes, list[int]], data: st.DataObject
) -> None:
    honest, lies, order = round_
    again = data.draw(st.permutations(order))
    assert combined(kind, round_) == pytest.approx(combined(kind, (honest, lies, again)), rel=1e-9, abs=1e-9)


@given(
    owned=arrays(np.float32, (4, SIZE), elements=honest_value),
    lie=arrays(np.float32, (SIZE,), elements=honest_value),
    sybils=st.integers(1, 50),
)
def test_more_devices_of_one_owner_move_nothing_more(owned: Votes, lie: Votes, sybils: int) -> None:
    owners = ["amy", "bob", "cyd", "dan"]
    one = by_owner(np.vstack([owned, lie]), [*owners, "eve"])
    many = by_owner(np.vstack([owned, *[lie] * sybils]), [*owners, *["eve"] * sybils])
    assert many == pytest.approx(one, abs=1e-6)
