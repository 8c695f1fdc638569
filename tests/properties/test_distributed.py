"""Noise in shares: its divergences, computed exactly, never exceed those of the Gaussian that is charged."""

import math
import warnings
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared import accounting
from shared.distributed import (
    DistributedNoise,
    closeness,
    device_event,
    noise_multiplier,
    record_distance,
    record_event,
    share_scale,
)
from shared.privacy import SampledGaussian
from shared.secagg.choosing import Demand, choose
from shared.secagg.encoding import Encoding

ORDERS = (1.01, 1.5, 2.0, 3.0, 7.5, 16.0, 64.0, 256.0)
Law = NDArray[np.float64]
"""Natural logarithms of probabilities, the same integers in all laws of one test."""

DEMANDS = {
    "flights, 8 devices": Demand(
        length=118, bound=64.0, record_clip=1.0, devices=8, threshold=6, colluders=1, noise_multiplier=1.2
    ),
    "flights, 35 devices": Demand(
        length=118, bound=64.0, record_clip=1.0, devices=35, threshold=24, colluders=4, noise_multiplier=1.2
    ),
    "a million values, 1000 devices": Demand(
        length=10**6, bound=32.0, record_clip=1.0, devices=1000, threshold=700, colluders=100, noise_multiplier=1.2
    ),
}


def shares_of_one(scale: float, reach: int) -> Law:
    """The law of one discrete Gaussian at -reach..reach."""
    numbers = np.arange(-reach, reach + 1)
    law = -(numbers**2) / (2 * scale**2)
    return law - np.logaddexp.reduce(law)


@lru_cache(maxsize=64)
def shares(count: int, scale: float, reach: int) -> Law:
    """The law of a sum of `count` discrete Gaussians at -reach..reach, by exact convolution of logarithms."""
    numbers = np.arange(-reach, reach + 1)
    one = shares_of_one(scale, reach)
    # Row z, column x: the chance that the last share is z - x.
    last = numbers[:, None] - numbers
    step = np.where(np.abs(last) <= reach, one[np.clip(last + reach, 0, 2 * reach)], -np.inf)
    total = one
    for _ in range(count - 1):
        total = np.logaddexp.reduce(total + step, axis=1)
    return total


def moved(law: Law, by: int) -> Law:
    """The law of `by` more, on the same integers; what falls outside is as unlikely as the ends."""
    return np.roll(law, by)


def divergence(p: Law, q: Law, order: float, inside: slice) -> float:
    """Renyi's, in nats. The sum is over positive terms, so leaving out the ends only makes it smaller by nothing seen."""
    return float(np.logaddexp.reduce(order * p[inside] + (1 - order) * q[inside])) / (order - 1)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("scale", [0.5, 0.6, 0.8, 1.0])
def test_a_sum_is_as_close_to_a_discrete_gaussian_as_lemma_1_says(count: int, scale: float) -> None:
    reach = 14
    numbers = np.arange(-reach, reach + 1)
    ratio = (shares(count, scale, 60)[60 - reach : 60 + reach + 1]) + numbers**2 / (2 * count * scale**2)
    tau = closeness(count, scale)
    published = 10 * sum(math.exp(-2 * math.pi**2 * scale**2 * k / (k + 1)) for k in range(1, count))
    assert np.ptp(ratio) <= tau + 1e-12
    assert tau <= published
    assert scale > 0.6 or np.ptp(ratio) > tau / 4  # the bound is about something


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [0.5, 0.7, 1.3, 3.0])
@pytest.mark.parametrize("shift", [1, 2, 5])
def test_no_order_of_a_shifted_sum_exceeds_the_bound(count: int, scale: float, shift: int) -> None:
    law = shares(count, scale, 70)
    tau, variance = closeness(count, scale), count * scale**2
    for order in (1.01, 1.5, 2.0, 3.0, 7.5):
        exact = divergence(law, moved(law, shift), order, slice(shift, -shift))
        assert exact <= order * shift**2 / (2 * variance) + tau + 1e-9


def rounded(law: Law, at: float) -> Law:
    """The law of noise upon `at`, rounded at random."""
    down = math.floor(at)
    chance = at - down
    if chance in {0.0, 1.0}:  # a tiny negative number is a whole unit above its floor, to a float
        return moved(law, down + int(chance))
    return np.logaddexp(math.log1p(-chance) + moved(law, down), math.log(chance) + moved(law, down + 1))


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 3),
    scale=st.sampled_from([0.5, 0.8, 1.5, 4.0]),
    at=st.floats(-3, 3),
    apart=st.one_of(st.floats(0, 4), st.floats(0, 1e-6)),
)
def test_rounding_at_random_never_exceeds_what_is_charged(count: int, scale: float, at: float, apart: float) -> None:
    """One coordinate, exactly: noise and rounding on both sides, in both directions, at orders that are no integers too."""
    law = shares(count, scale, 60)
    z = noise_multiplier(distance=apart, dimension=1, shares=count, share_scale=scale)
    p, q = rounded(law, at), rounded(law, at + apart)
    for order in ORDERS[:5]:
        for one, other in ((p, q), (q, p)):
            assert divergence(one, other, order, slice(10, -10)) <= order / (2 * z**2) + 1e-9


@pytest.mark.parametrize("dimension", [64, 16_384, 2**20])
@pytest.mark.parametrize("at", [0.0, 0.5, 0.9])
def test_rounding_in_many_coordinates_never_exceeds_bound_b(dimension: int, at: float) -> None:
    """Coordinates are independent, so a vector's divergence is exactly the sum of its coordinates'."""
    scale, distance = 3000.0, 2500.0
    law = shares_of_one(scale, 36_000)
    z = noise_multiplier(distance=distance, dimension=dimension, shares=1, share_scale=scale)
    assert z > scale / (distance + math.sqrt(dimension)) or dimension == 64  # else bound A is what is tested
    for spread in (dimension, 64):
        p, q = rounded(law, at), rounded(law, at + distance / math.sqrt(spread))
        for order in (2.0, 16.0, 64.0):
            exact = spread * max(divergence(p, q, order, slice(200, -200)), divergence(q, p, order, slice(200, -200)))
            # 2^20 sums of 72,000 logarithms that nearly cancel are off by about 1e-8 altogether.
            assert exact <= order / (2 * z**2) + 1e-7


@pytest.mark.proof
@pytest.mark.parametrize("spread", [64, 1024, 2**14, 2**18, 2**20])
@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize(("scale", "distance"), [(600.0, 500.0), (3000.0, 2500.0), (3000.0, 300.0)])
def test_bound_b_up_to_the_largest_order_of_the_ledger(spread: int, at: float, scale: float, distance: float) -> None:
    law = shares_of_one(scale, 60 * int(scale))
    z = noise_multiplier(distance=distance, dimension=spread, shares=1, share_scale=scale)
    p, q = rounded(law, at), rounded(law, at + distance / math.sqrt(spread))
    inside = slice(200, -200)
    for order in (2.0, 3.0, 8.0, 32.0, 128.0, 512.0, 1024.0):
        if order * distance / math.sqrt(spread) < 40 * scale:  # else what matters lies beyond the ends
            exact = spread * max(divergence(p, q, order, inside), divergence(q, p, order, inside))
            assert exact <= order / (2 * z**2) + 1e-6


@pytest.mark.parametrize("rate", [0.03125, 0.3, 0.9])
@pytest.mark.parametrize(("count", "scale"), [(1, 0.7), (2, 1.0), (4, 1.0), (3, 2.5)])
def test_sampling_amplifies_as_the_ledger_counts_it(rate: float, count: int, scale: float) -> None:
    """In both directions: a row that is sometimes in the batch, beside one that never is."""
    law = shares(count, scale, 80)
    z = noise_multiplier(distance=1.6, dimension=1, shares=count, share_scale=scale)
    without, with_row = rounded(law, 0.3), rounded(law, 1.9)
    mixed = np.logaddexp(math.log1p(-rate) + without, math.log(rate) + with_row)
    charged = accounting.renyi([SampledGaussian(noise_multiplier=z, sample_rate=rate, steps=1)])
    for index, order in enumerate(accounting.ORDERS[:9].tolist()):
        inside = slice(10, -10)
        assert divergence(mixed, without, order, inside) <= charged[index] + 1e-9
        assert divergence(without, mixed, order, inside) <= charged[index] + 1e-9


@pytest.mark.parametrize("name", DEMANDS)
def test_the_charge_is_within_one_percent_of_the_continuous_gaussians(name: str) -> None:
    noise = choose(DEMANDS[name])
    continuous = math.sqrt(noise.honest) * noise.share_scale * noise.encoding.granularity / noise.record_clip
    z = record_event(noise).noise_multiplier
    assert 0.99 * continuous <= z <= continuous
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dp_accounting
        from dp_accounting.rdp import RdpAccountant

    oracle = RdpAccountant(orders=accounting.ORDERS.tolist())
    oracle.compose(dp_accounting.GaussianDpEvent(continuous))
    ours, theirs = accounting.epsilon([record_event(noise)], delta=1e-5), oracle.get_epsilon(1e-5)
    assert theirs <= ours <= 1.015 * theirs


def example(**changes: float) -> DistributedNoise:
    fields = {"share_scale": 300.0, "devices": 35, "threshold": 24, "colluders": 4, "record_clip": 1.0} | changes
    how = Encoding(length=118, bound=8.0, precision=10, block=1, bits=30)
    return DistributedNoise(encoding=how, **fields)


@settings(max_examples=50, deadline=None)
@given(
    target=st.floats(0.3, 20), threshold=st.integers(2, 60), colluders=st.integers(0, 20), precision=st.integers(0, 16)
)
def test_a_share_is_just_large_enough_for_the_worst_case(
    target: float, threshold: int, colluders: int, precision: int
) -> None:
    colluders = min(colluders, threshold - 1)
    how = Encoding(length=118, bound=8.0, precision=precision, block=1, bits=30)
    scale = share_scale(
        noise_multiplier=target, encoding=how, record_clip=1.0, threshold=threshold, colluders=colluders
    )
    worst = {"distance": record_distance(how, 1.0), "dimension": 118, "shares": threshold - colluders}
    assert noise_multiplier(**worst, share_scale=scale) >= target
    assert scale <= 0.51 or noise_multiplier(**worst, share_scale=scale * (1 - 1e-6)) < target


def test_more_shares_and_larger_shares_protect_more() -> None:
    for field, values in (("share_scale", (10.0, 100.0, 600.0)), ("threshold", (12, 24, 35))):
        reached = [record_event(example(**{field: value})).noise_multiplier for value in values]
        assert all(a < b for a, b in pairwise(reached))
    reached = [record_event(example(colluders=c)).noise_multiplier for c in (0, 4, 20)]
    assert all(a > b for a, b in pairwise(reached))


def test_shares_sized_for_all_devices_are_caught() -> None:
    """The mutant that forgets dropouts and colluders: its worst case is charged, and is too weak."""
    how = example().encoding
    scale = share_scale(noise_multiplier=1.2, encoding=how, record_clip=1.0, threshold=35, colluders=0)
    assert record_event(example(share_scale=scale)).noise_multiplier < 0.8 * 1.2


def test_a_device_alone_and_a_whole_device_are_charged_for_what_they_are() -> None:
    noise = example()
    together, alone = record_event(noise), record_event(noise, alone=True)
    assert alone.noise_multiplier < together.noise_multiplier / math.sqrt(noise.honest) * 1.05
    # The whole vector's bound is eight times the record's clip.
    ratio = together.noise_multiplier / device_event(noise).noise_multiplier
    assert 7.9 < ratio < 8.1
    event = record_event(noise, sample_rate=0.25, steps=20)
    assert (event.sample_rate, event.steps) == (0.25, 20)
    assert device_event(noise, steps=20).sample_rate == 1.0


def test_what_rounding_and_arithmetic_add_is_charged() -> None:
    noise = example(share_scale=10.0)
    plain = math.sqrt(noise.honest) * 10.0 / 1024
    assert record_event(noise).noise_multiplier <= plain / (1 + math.sqrt(118) / 1024)
    wide = replace(noise, encoding=replace(noise.encoding, bound=8000.0))
    assert record_event(wide).noise_multiplier < record_event(noise).noise_multiplier


@pytest.mark.parametrize(
    "changes",
    [
        {"share_scale": 0.4},
        {"share_scale": 1e5},
        {"share_scale": math.nan},
        {"devices": 1 << 40},
        {"colluders": 24},
        {"threshold": 36},
        {"record_clip": 0.0},
    ],
)
def test_noise_of_which_nothing_is_known_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"share_scale|colluders|record_clip"):
        example(**changes)
