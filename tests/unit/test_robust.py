"""Each rule of `server.robust` against a slow and plain reading of its definition."""

import itertools
from statistics import fmean, median

import numpy as np
import pytest
from numpy.typing import NDArray

from server.robust import aggregate, by_owner, cast_votes
from shared import wire
from shared.aggregation import Aggregation
from shared.errors import InputError

Votes = NDArray[np.float32]


def votes_of(count: int, size: int = 6, *, seed: int = 0) -> Votes:
    return np.random.default_rng(seed).normal(0, 1, (count, size)).astype(np.float32)


def columns(votes: Votes) -> list[list[float]]:
    return [[float(value) for value in column] for column in votes.T]


def squared(one: Votes, other: Votes) -> float:
    return sum((float(a) - float(b)) ** 2 for a, b in zip(one, other, strict=True))


def krum_scores(votes: Votes, f: int) -> list[float]:
    """Blanchard et al. (2017): over each vector, the sum of the squared distances to its n - f - 2 closest others."""
    near = len(votes) - f - 2
    return [sum(sorted(squared(v, w) for j, w in enumerate(votes) if j != i)[:near]) for i, v in enumerate(votes)]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_mean_counts_every_vote_the_same(count: int) -> None:
    votes = votes_of(count)
    assert aggregate(votes, Aggregation()) == pytest.approx([fmean(column) for column in columns(votes)])


@pytest.mark.parametrize(("count", "f", "trim"), [(3, 1, None), (8, 2, None), (9, 2, 4), (5, 0, None), (7, 0, 2)])
def test_the_trimmed_mean_leaves_out_both_ends_of_each_coordinate(count: int, f: int, trim: int | None) -> None:
    votes, cut = votes_of(count), f if trim is None else trim
    plain = [fmean(sorted(column)[cut : count - cut]) for column in columns(votes)]
    rule = Aggregation(kind="trimmed-mean", assumed_byzantine=f, trim=trim)
    assert aggregate(votes, rule) == pytest.approx(plain)


@pytest.mark.parametrize("count", [5, 6])
def test_the_median_is_each_coordinates(count: int) -> None:
    votes = votes_of(count)
    rule = Aggregation(kind="median", assumed_byzantine=2)
    assert aggregate(votes, rule) == pytest.approx([median(column) for column in columns(votes)])


@pytest.mark.parametrize("bound", [None, 0.5, 1e6])
def test_the_norm_bound_scales_long_votes_down(bound: float | None) -> None:
    votes = votes_of(5) * np.array([[0.1], [1], [10], [3], [0.5]], np.float32)
    norms = [squared(vote, np.zeros_like(vote)) ** 0.5 for vote in votes]
    limit = median(norms) if bound is None else bound
    scaled = [vote * min(1.0, limit / norm) for vote, norm in zip(votes, norms, strict=True)]
    rule = Aggregation(kind="norm-bound", assumed_byzantine=2, max_norm=bound)
    assert aggregate(votes, rule) == pytest.approx(np.mean(scaled, axis=0), abs=1e-6)


def test_a_vote_of_zeros_is_not_divided_by_its_norm() -> None:
    votes = np.zeros((3, 2), np.float32)
    assert aggregate(votes, Aggregation(kind="norm-bound")).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("count", "f"), [(3, 0), (5, 1), (8, 2), (12, 4)])
def test_krum_takes_the_vote_with_the_best_score(count: int, f: int) -> None:
    votes = votes_of(count)
    scores = krum_scores(votes, f)
    chosen = aggregate(votes, Aggregation(kind="krum", assumed_byzantine=f))
    assert chosen.tolist() == votes[scores.index(min(scores))].tolist()


@pytest.mark.parametrize(("count", "f"), [(3, 0), (5, 1), (8, 2), (12, 4)])
def test_multi_krum_is_the_mean_of_the_best_scores(count: int, f: int) -> None:
    votes = votes_of(count)
    scores = krum_scores(votes, f)
    best = sorted(range(count), key=lambda index: scores[index])[: count - f]
    plain = [fmean(float(votes[index][place]) for index in best) for place in range(6)]
    assert aggregate(votes, Aggregation(kind="multi-krum", assumed_byzantine=f)) == pytest.approx(plain)


def test_krum_tells_near_votes_apart_that_are_long() -> None:
    votes = np.full((6, 4), 1e6, np.float32)
    votes[:, 0] += np.array([0, 1, 2, 3, 90, 91], np.float32)
    assert aggregate(votes, Aggregation(kind="krum", assumed_byzantine=1))[0] == 1e6 + 1


@pytest.mark.parametrize("count", [3, 4, 9])
def test_no_point_near_the_geometric_median_is_nearer_to_all(count: int) -> None:
    votes = votes_of(count)
    found = aggregate(votes, Aggregation(kind="geometric-median", assumed_byzantine=1))

    def far(point: NDArray[np.float64]) -> float:
        return sum(squared(vote, point) ** 0.5 for vote in votes)

    random = np.random.default_rng(1)
    for length in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            assert far(found) <= far(found + length * random.normal(0, 1, 6)) + 1e-9
    assert all(far(found) <= far(vote) + 1e-6 for vote in votes)


def test_the_geometric_median_of_one_point_is_that_point() -> None:
    votes = np.full((4, 3), 0.25, np.float32)
    assert aggregate(votes, Aggregation(kind="geometric-median", assumed_byzantine=1)).tolist() == [0.25] * 3


RULES = [
    (Aggregation(kind="trimmed-mean", assumed_byzantine=2), 5),
    (Aggregation(kind="trimmed-mean", assumed_byzantine=1, trim=3), 7),
    (Aggregation(kind="median", assumed_byzantine=2), 5),
    (Aggregation(kind="geometric-median", assumed_byzantine=2), 5),
    (Aggregation(kind="norm-bound", assumed_byzantine=2), 5),
    (Aggregation(kind="krum", assumed_byzantine=2), 7),
    (Aggregation(kind="multi-krum", assumed_byzantine=2), 7),
    (Aggregation(), 1),
]


@pytest.mark.parametrize(("rule", "fewest"), RULES, ids=str)
def test_a_rule_is_defined_from_its_fewest_votes_on_and_says_so_below(rule: Aggregation, fewest: int) -> None:
    assert rule.fewest == fewest
    assert aggregate(votes_of(fewest), rule).shape == (6,)
    with pytest.raises(InputError, match=f"{rule.kind}.* is defined for {fewest} updates or more, got {fewest - 1}"):
        aggregate(votes_of(fewest - 1), rule)


@pytest.mark.parametrize(("rule", "fewest"), RULES, ids=str)
def test_the_smallest_cohort_can_lose_all_hostile_ones_and_still_decide(rule: Aggregation, fewest: int) -> None:
    assert rule.smallest_cohort == fewest + rule.assumed_byzantine
    assert aggregate(votes_of(rule.smallest_cohort - rule.assumed_byzantine), rule).shape == (6,)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"kind": "mean", "assumed_byzantine": 1},
        {"kind": "median", "assumed_byzantine": -1},
        {"kind": "median", "trim": 2},
        {"kind": "trimmed-mean", "assumed_byzantine": 2, "trim": 1},
        {"kind": "krum", "max_norm": 1.0},
        {"kind": "norm-bound", "max_norm": 0.0},
        {"kind": "norm-bound", "max_norm": float("nan")},
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(nonsense: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"assumed_byzantine|trim|max_norm"):
        Aggregation(**nonsense)  # type: ignore[arg-type]


def test_a_rule_travels_as_json() -> None:
    for rule, _ in RULES:
        assert wire.from_json(Aggregation, wire.to_json(rule)) == rule


def test_what_needs_to_see_each_update_says_so() -> None:
    assert not Aggregation().sees_each
    assert all(rule.sees_each for rule, _ in RULES[:-1])
    assert Aggregation(by_owner=True).sees_each


def test_an_owner_has_one_vote_and_it_is_the_mean_of_their_devices() -> None:
    updates = votes_of(5)
    votes = by_owner(updates, ["zoe", "amy", "zoe", "bob", "zoe"])
    assert votes.shape == (3, 6)
    assert votes[0].tolist() == updates[1].tolist()
    assert votes[1].tolist() == updates[3].tolist()
    assert votes[2] == pytest.approx(np.mean(updates[[0, 2, 4]], axis=0), abs=1e-6)


def test_every_update_needs_an_owner() -> None:
    with pytest.raises(InputError, match="3 updates cannot belong to 2 owners"):
        by_owner(votes_of(3), ["amy", "bob"])


def test_votes_stand_in_the_order_of_names_however_they_came_in() -> None:
    updates = dict(zip("dcba", votes_of(4), strict=True))
    for names in itertools.islice(itertools.permutations("abcd"), 6):
        cast = cast_votes({name: updates[name] for name in names}, {}, rule=Aggregation(), size=6)
        assert cast.tolist() == [updates[name].tolist() for name in "abcd"]


def test_a_device_without_an_owner_votes_for_itself_and_cannot_pose_as_one() -> None:
    updates = dict(zip(("ada", "ben", "cyd", "dot"), votes_of(4), strict=True))
    rule = Aggregation(by_owner=True)
    assert len(cast_votes(updates, {"ada": "eve", "ben": "eve"}, rule=rule, size=6)) == 3
    assert len(cast_votes(updates, {"ada": "ben", "ben": ""}, rule=rule, size=6)) == 4
    assert len(cast_votes(updates, {"ada": "eve", "ben": "eve"}, rule=Aggregation(), size=6)) == 4


@pytest.mark.parametrize("rule", [Aggregation(), Aggregation(by_owner=True)])
def test_where_nobody_answered_there_are_no_votes(rule: Aggregation) -> None:
    assert cast_votes({}, {}, rule=rule, size=6).shape == (0, 6)
