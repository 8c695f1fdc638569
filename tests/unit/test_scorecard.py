"""Who wins for whom, and in which words: weights of roles, ties, and the simple model that wins them."""

import pytest

from server.estimates import Estimate
from server.scorecard import CRITERIA, ROLES, Criterion, Entrant, dominates, score, weights_of
from shared.errors import InputError


def entrant(version: int, *, parameters: int = 100, **figures: float | tuple[float, float, float] | None) -> Entrant:
    """A version with the named figures, exact or as (low, value, high); what is not named is the same for all."""
    known: dict[Criterion, Estimate | None] = dict.fromkeys(CRITERIA, exactly(1.0))
    for name, figure in figures.items():
        bounded = figure if isinstance(figure, tuple) else (figure, figure, figure)
        known[name] = None if figure is None else Estimate(low=bounded[0], value=bounded[1], high=bounded[2])  # type: ignore[index]
    return Entrant(version=version, parameters=parameters, figures=known)


def exactly(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)


def test_a_simple_model_wins_what_bounds_leave_a_tie() -> None:
    complex_one = entrant(1, parameters=5000, accuracy=(0.78, 0.80, 0.82))
    simple = entrant(2, parameters=50, accuracy=(0.77, 0.79, 0.81))
    found = score([complex_one, simple], {"accuracy": 1})
    assert found.places[0].version == 1
    assert found.winner == 2
    assert "the simpler one wins" in found.why
    assert "50 parameters instead of 5,000" in found.why
    assert {place.version: place.dominated_by for place in found.places} == {1: (2,), 2: ()}


def test_a_complex_model_earns_its_place_beyond_the_bounds() -> None:
    complex_one = entrant(1, parameters=5000, accuracy=(0.85, 0.87, 0.89))
    simple = entrant(2, parameters=50, accuracy=(0.77, 0.79, 0.81))
    found = score([complex_one, simple], {"accuracy": 1})
    assert (found.winner, found.why) == (1, "version 1 scores highest")
    assert all(place.front for place in found.places)


def test_a_tie_must_hold_in_all_that_weighs_and_in_nothing_else() -> None:
    complex_one = entrant(1, parameters=5000, accuracy=(0.78, 0.80, 0.82), latency=10.0)
    simple = entrant(2, parameters=50, accuracy=(0.77, 0.79, 0.81), latency=90.0)
    assert score([complex_one, simple], {"accuracy": 1}).winner == 2
    assert score([complex_one, simple], {"accuracy": 1, "latency": 1}).winner == 1


@pytest.mark.parametrize("name", CRITERIA)
def test_each_criterion_has_its_direction(name: Criterion) -> None:
    high, low = entrant(1, **{name: 2.0}), entrant(2, **{name: 1.0})
    better = high if name == "accuracy" else low
    assert score([high, low], {name: 1}).winner == better.version
    assert dominates(better, low if better is high else high)


def test_what_nobody_measured_never_wins_and_never_dominates() -> None:
    unknown, known = entrant(1, accuracy=None), entrant(2, accuracy=0.5)
    found = score([unknown, known], {"accuracy": 1})
    assert found.winner == 2
    assert dominates(known, unknown)
    assert not dominates(unknown, known)


def test_noise_moves_no_score_and_makes_no_winner() -> None:
    first = entrant(1, accuracy=(0.78, 0.80, 0.82), latency=10.0, size=1000.0)
    second = entrant(2, accuracy=(0.77, 0.79, 0.81), latency=10.4, size=1009.0)
    worse = entrant(3, accuracy=(0.58, 0.60, 0.62), latency=20.0, size=2000.0)
    found = score([first, second, worse], {"accuracy": 1, "latency": 1, "size": 1})
    assert {place.version: place.score for place in found.places} == {1: 1.0, 2: 1.0, 3: 0.0}
    assert not dominates(first, second)
    assert found.why == "version 1 scores highest; 1 other ties with it and is no simpler"


def test_a_version_that_was_never_evaluated_wins_nothing_on_the_others_alone() -> None:
    unknown = entrant(1, accuracy=None, fairness=None, latency=1.0, size=1.0, freshness=1.0)
    known = entrant(2, accuracy=0.7, latency=9.0, size=9.0, freshness=9.0)
    found = score([unknown, known], weights_of(["operator"]))
    assert found.places[1].score > found.places[0].score
    assert (found.winner, found.why) == (2, "version 2 scores highest; never evaluated, hence behind: 1")
    assert score([unknown, known], {"latency": 1}).winner == 1


def test_dominated_versions_name_who_dominates_them() -> None:
    found = score(
        [
            entrant(1, accuracy=0.9),
            entrant(2, accuracy=0.8),
            entrant(3, accuracy=0.7),
            entrant(4, accuracy=0.6, size=0.5),
        ],
        {"accuracy": 1},
    )
    assert {place.version: place.dominated_by for place in found.places} == {1: (), 2: (1,), 3: (1, 2), 4: ()}


def test_roles_want_different_things() -> None:
    fast, private = entrant(1, latency=1.0, privacy=9.0), entrant(2, latency=9.0, privacy=1.0)
    assert score([fast, private], weights_of(["operator"])).winner == 1
    assert score([fast, private], weights_of(["privacy"])).winner == 2


def test_weights_of_several_roles_are_their_mean() -> None:
    both = weights_of(["operator", "privacy"])
    for name in CRITERIA:
        shares = [ROLES[role].get(name, 0) / sum(ROLES[role].values()) for role in ("operator", "privacy")]
        assert both[name] == pytest.approx(sum(shares) / 2)
    assert weights_of([]) == dict.fromkeys(CRITERIA, 1.0)
    assert weights_of(["ml"], {"size": 1.0}) == {"size": 1.0}


def test_a_score_lies_between_the_worst_and_the_best() -> None:
    found = score([entrant(1, accuracy=0.6), entrant(2, accuracy=0.7), entrant(3, accuracy=0.8)], {"accuracy": 2})
    assert [(place.version, place.score) for place in found.places] == [(3, 1.0), (2, pytest.approx(0.5)), (1, 0.0)]
    assert score([entrant(1)], {"accuracy": 1}).places[0].score == 1.0


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(InputError, match="no version to compare"):
        score([], {"accuracy": 1})
    with pytest.raises(InputError, match="one of them must be above 0"):
        score([entrant(1)], {"accuracy": 0})
