"""Properties of secure aggregation: sums, packing, shares, masks and graphs for any numbers."""

from fractions import Fraction
from itertools import combinations
from math import comb, log2

import numpy as np
import pytest
from aggregating import Flock, setting, sum_of, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import UnsafeAggregation, WireError
from shared.secagg import graph, masks, shamir
from shared.secagg.packing import lane, pack, packed_size, unpack


@settings(max_examples=15, deadline=None)
@given(count=st.integers(3, 6), bits=st.integers(1, 64), length=st.integers(1, 70), seed=st.integers(0, 2**32))
def test_the_sum_is_that_of_the_inputs_modulo_two_to_the_bits(count: int, bits: int, length: int, seed: int) -> None:
    chosen = setting(bits=bits, length=length)
    inputs = vectors(chosen, count, seed)
    assert Flock(count, chosen).run(inputs).values.tolist() == sum_of(chosen, inputs)


@settings(max_examples=200, deadline=None)
@given(bits=st.integers(1, 64), length=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_packed_vectors_come_back_and_take_no_more_than_their_bits(bits: int, length: int, seed: int) -> None:
    vector = vectors(setting(bits=bits, length=length), 1, seed)[0]
    packed = pack(vector, bits)
    assert np.array_equal(unpack(packed, length, bits), vector)
    rows = 8 * lane(bits).itemsize
    assert len(packed) == packed_size(length, bits) < (length + rows) * bits / 8 + 1


@settings(max_examples=100, deadline=None)
@given(bits=st.integers(1, 64), length=st.integers(1, 100), data=st.data())
def test_bytes_unpack_to_one_vector_only(bits: int, length: int, data: st.DataObject) -> None:
    size = packed_size(length, bits)
    packed = data.draw(st.binary(min_size=size, max_size=size))
    try:
        vector = unpack(packed, length, bits)
    except WireError:
        return
    assert pack(vector, bits) == packed


@settings(max_examples=60, deadline=None)
@given(raw=st.integers(0, shamir.PRIME - 1), count=st.integers(1, 6), data=st.data())
def test_any_threshold_of_shares_gives_the_secret_back_and_fewer_do_not(
    raw: int, count: int, data: st.DataObject
) -> None:
    secret = raw.to_bytes(32, "little")
    threshold = data.draw(st.integers(1, count))
    points = data.draw(st.lists(st.integers(1, 2**16), min_size=count, max_size=count, unique=True))
    shares = dict(zip(points, shamir.split(secret, threshold=threshold, points=points), strict=True))
    for some in combinations(points, threshold):
        assert shamir.join({point: shares[point] for point in some}) == secret
    if threshold > 1:
        assert shamir.join({point: shares[point] for point in points[: threshold - 1]}) != secret


@given(points=st.lists(st.integers(-3, 5), max_size=5), threshold=st.integers(-1, 6))
def test_points_that_cannot_serve_are_refused(points: list[int], threshold: int) -> None:
    usable = len(set(points)) == len(points) and all(point > 0 for point in points) and 1 <= threshold <= len(points)
    if not usable:
        with pytest.raises(ValueError, match="distinct points"):
            shamir.split(bytes(32), threshold=threshold, points=points)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 40_000), bits=st.sampled_from([20, 40]), seed=st.integers(0, 2**32))
def test_masks_add_up_to_nothing_between_the_two_of_a_pair(length: int, bits: int, seed: int) -> None:
    vector = vectors(setting(bits=bits, length=length), 1, seed)[0]
    masked = vector.copy()
    one = masks.pair_mask(b"s" * 32, setting=b"c", me="a", other="b")
    two = masks.pair_mask(b"s" * 32, setting=b"c", me="b", other="a")
    masks.apply(masked, [one])
    assert length < 20 or not np.array_equal(masked, vector)
    start = masked[:7].copy()
    masks.apply(masked, [two])
    assert np.array_equal(masked, vector)
    short = vector[:7].copy()
    masks.apply(short, [one])
    assert np.array_equal(short, start)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(3, 400), share=st.floats(0.05, 1), seed=st.binary(min_size=32, max_size=32))
def test_a_graph_is_the_same_from_both_ends(count: int, share: float, seed: bytes) -> None:
    degree = max(1, int(share * (count - 1)))
    near = [set(graph.neighbours(seed, position=i, count=count, degree=degree).tolist()) for i in range(count)]
    assert all(i not in near[i] for i in range(count))
    assert all((j in near[i]) == (i in near[j]) for i in range(count) for j in near[i])
    if degree == count - 1:
        assert all(len(some) == count - 1 for some in near)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(3, 3000), colluders=st.floats(0, 0.25), dropouts=st.floats(0, 0.33))
def test_every_shape_that_the_coordinator_finds_passes_the_devices_check(
    count: int, colluders: float, dropouts: float
) -> None:
    shape = graph.shape_for(count, colluders=colluders, dropouts=dropouts)
    graph.check(shape, count=count, colluders=colluders)
    weaker = graph.Shape(threshold=2 * count // 3, degree=shape.degree, shares=shape.shares)
    with pytest.raises(UnsafeAggregation, match="more than two thirds"):
        graph.check(weaker, count=count, colluders=colluders)


def test_a_thousand_members_have_under_two_hundred_neighbours_and_their_number_is_what_the_shape_says() -> None:
    shape = graph.shape_for(1000, colluders=0.05, dropouts=0.3)
    assert shape.degree < 200
    found = [len(graph.neighbours(b"g" * 32, position=i, count=1000, degree=shape.degree)) for i in range(1000)]
    # The mean of half a million independent pairs: six standard errors are 3.3.
    assert abs(np.mean(found) - shape.degree) < 3.4


@pytest.mark.parametrize(("degree", "shares"), [(188, 50), (40, 58), (0, 58), (5000, 58), (998, 8)])
def test_too_few_shares_or_neighbours_are_refused(degree: int, shares: int) -> None:
    with pytest.raises(UnsafeAggregation, match="do not protect"):
        graph.check(graph.Shape(threshold=667, degree=degree, shares=shares), count=1000, colluders=0.05)


def test_a_small_cohort_is_complete() -> None:
    with pytest.raises(UnsafeAggregation, match="do not protect"):
        graph.check(graph.Shape(threshold=81, degree=118, shares=81), count=120, colluders=0.05)


@given(count=st.integers(3, 5000), colluders=st.floats(0, 0.33))
def test_two_survivor_sets_have_an_honest_member_in_common_who_signs_one(count: int, colluders: float) -> None:
    many = graph.colluding(count, colluders)
    assert 2 * graph.least_threshold(count, many) - count > many
    assert graph.least_honest(count, colluders=colluders) >= 1


def test_the_tails_are_those_of_exact_arithmetic() -> None:
    chance = Fraction(3, 16)
    exact = sum(comb(40, k) * chance**k * (1 - chance) ** (40 - k) for k in range(21, 41))
    assert graph._log2_tails(40, 3 / 16)[21] == pytest.approx(log2(exact), abs=1e-9)
