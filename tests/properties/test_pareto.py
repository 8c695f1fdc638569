"""The Pareto front, whatever the figures: never empty, never dominated, and the same in every order."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from server.estimates import Estimate
from server.scorecard import CRITERIA, HIGHER, Entrant, dominates, dominators, score, tied

# Few different values, so that ties, equal figures and circles of overlapping bounds are common.
VALUES = st.integers(0, 6).map(float)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    low, value, high = sorted(draw(st.tuples(VALUES, VALUES, VALUES)))
    return Estimate(low=low, value=value, high=high)


@st.composite
def fields(draw: st.DrawFn) -> list[Entrant]:
    """One to seven versions."""
    figures = st.fixed_dictionaries({name: st.one_of(st.none(), estimates()) for name in CRITERIA})
    many = draw(st.lists(st.tuples(st.sampled_from([10, 20, 30]), figures), min_size=1, max_size=7))
    return [Entrant(version=n, parameters=size, figures=found) for n, (size, found) in enumerate(many, start=1)]


weights = st.dictionaries(st.sampled_from(CRITERIA), st.floats(0.1, 10), min_size=1)


def front(entrants: list[Entrant]) -> set[int]:
    return {each.version for each in entrants if not dominators(each, entrants)}


@settings(max_examples=300, deadline=None)
@given(entrants=fields())
def test_the_front_is_never_empty_and_nobody_dominates_it(entrants: list[Entrant]) -> None:
    found = front(entrants)
    assert found
    by_version = {each.version: each for each in entrants}
    for each in entrants:
        named = dominators(each, entrants)
        assert (each.version in found) == (not named)
        assert all(dominates(by_version[number], each) for number in named)


@settings(max_examples=300, deadline=None)
@given(entrants=fields())
def test_no_version_dominates_itself_or_in_a_circle(entrants: list[Entrant]) -> None:
    below = {each.version: {other.version for other in entrants if dominates(each, other)} for each in entrants}
    left = set(below)
    while left:
        ends = {version for version in left if not below[version] & left}
        assert ends, f"{left} dominate each other in a circle"
        left -= ends


@settings(max_examples=200, deadline=None)
@given(entrants=fields(), weighed=weights, order=st.randoms(use_true_random=False))
def test_the_order_of_versions_decides_nothing(
    entrants: list[Entrant], weighed: dict[str, float], order: Random
) -> None:
    shuffled = list(entrants)
    order.shuffle(shuffled)
    assert front(shuffled) == front(entrants)
    one, other = score(entrants, weighed), score(shuffled, weighed)  # type: ignore[arg-type]
    assert {place.version: place.dominated_by for place in one.places} == {
        place.version: place.dominated_by for place in other.places
    }
    assert one.winner == other.winner


@settings(max_examples=200, deadline=None)
@given(entrants=fields(), weighed=weights)
def test_the_winner_is_the_best_or_a_simpler_one_that_ties_with_it(
    entrants: list[Entrant], weighed: dict[str, float]
) -> None:
    found = score(entrants, weighed)  # type: ignore[arg-type]
    by_version = {each.version: each for each in entrants}
    best, winner = by_version[found.places[0].version], by_version[found.winner]
    assert winner is best or (winner.parameters < best.parameters and tied(winner, best, weighed))  # type: ignore[arg-type]
    assert all(0 <= place.score <= 1 + 1e-12 for place in found.places)


@settings(max_examples=200, deadline=None)
@given(entrants=fields(), better=st.sampled_from(CRITERIA))
def test_a_version_made_better_in_one_thing_dominates_itself_as_it_was(entrants: list[Entrant], better: str) -> None:
    for each in entrants:
        was = each.figures[better]  # type: ignore[index]
        if was is None:
            continue
        step = 10.0 if better in HIGHER else -10.0
        now = Estimate(value=was.value + step, low=was.low + step, high=was.high + step)
        improved = Entrant(version=99, parameters=each.parameters, figures={**each.figures, better: now})  # type: ignore[dict-item]
        assert dominates(improved, each)
        assert not dominates(each, improved)
