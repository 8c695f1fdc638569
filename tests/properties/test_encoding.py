"""Updates as integers: no rounding goes beyond what is charged, no sum wraps more often than computed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from client.contribution import contribution
from shared.distributed import DistributedNoise, record_event
from shared.errors import InputError
from shared.noise import CipherStream
from shared.secagg import encoding as coding
from shared.secagg.choosing import Demand, choose, excess
from shared.secagg.encoding import Encoding, decode, encode, residues, rotate, unrotate
from shared.secagg.sizing import LOG2_WRAP, bits_needed, log2_wrap

SEED = b"the public rotation of some plan"
FLIGHTS = Demand(length=118, bound=64.0, record_clip=1.0, devices=35, threshold=24, colluders=4, noise_multiplier=1.2)
WORST_WORDS = np.array([0, 1 << 63, (1 << 64) - 1], dtype=np.uint64)


class Same:
    """Gives the same words to whoever asks: how two neighbours are coupled."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def words(self, count: int) -> NDArray[np.uint64]:
        return self._words[:count]


def grid(length: int, **changes: float) -> Encoding:
    fields = {"bound": 8.0, "precision": 4, "block": 1, "bits": 40} | changes
    return Encoding(length=length, **fields)


@pytest.mark.parametrize("width", [1, 5, 6, 7, 12])
def test_the_transform_is_hadamards_in_every_block(width: int) -> None:
    block = 1 << width
    vector = CipherStream(bytes(32)).normals(2 * block)
    expected = vector.reshape(2, block) @ coding._hadamard(width) / math.sqrt(block)
    assert coding._transform(vector, block) == pytest.approx(expected.reshape(-1), abs=1e-12)


@pytest.mark.parametrize("block", [1, 2, 64, 128, 4096])
def test_a_rotation_moves_no_distance_and_can_be_undone(block: int) -> None:
    a, b = CipherStream(bytes(32)).normals(2 * 8192).reshape(2, 8192)
    turned = rotate(a, block=block, seed=SEED), rotate(b, block=block, seed=SEED)
    assert np.linalg.norm(turned[0] - turned[1]) == pytest.approx(np.linalg.norm(a - b), rel=1e-13)
    assert unrotate(turned[0], block=block, seed=SEED) == pytest.approx(a, abs=1e-12)
    assert block == 1 or not np.allclose(turned[0], rotate(a, block=block, seed=SEED[::-1]))


def test_a_rotation_spreads_one_large_value_evenly() -> None:
    spike = np.zeros(1024)
    spike[17] = 32.0
    assert np.abs(rotate(spike, block=1024, seed=SEED)) == pytest.approx(1.0)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), block=st.sampled_from([1, 16]), precision=st.integers(-2, 12))
def test_no_pair_of_neighbours_and_no_words_go_beyond_the_charged_distance(
    data: st.DataObject, block: int, precision: int
) -> None:
    """Neighbours straddle the grid wherever an adversary wants them to; the words are the adversary's as well."""
    how = grid(32, block=block, precision=precision)
    unit = how.granularity
    base = data.draw(arrays(np.float64, 32, elements=st.floats(-2, 2)))
    base = np.where(data.draw(arrays(np.bool_, 32)), np.round(base / unit) * unit, base)
    row = data.draw(arrays(np.float64, 32, elements=st.sampled_from([0.0, 1e-12, -1e-12, unit, 0.5, -1.0])))
    row /= max(1.0, float(np.linalg.norm(row)))
    words = WORST_WORDS[data.draw(arrays(np.intp, 32, elements=st.integers(0, 2)))]
    with_row, without = (encode(v, how, seed=SEED, source=Same(words)) for v in (base + row, base))
    apart = np.linalg.norm((with_row - without).astype(np.float64))
    assert apart <= np.linalg.norm(row) / unit + math.sqrt(32) + coding.ARITHMETIC * how.reach
    assert np.linalg.norm(with_row.astype(np.float64)) <= how.rounded_norm


def test_what_rounding_adds_is_reached_so_it_must_be_charged() -> None:
    """Two vectors 10^-9 apart round to integers sqrt(d) apart under some words; a sensitivity without that is a lie."""
    how = grid(64)
    base = np.zeros(64)
    moved = base + 1e-9
    words = np.zeros(64, dtype=np.uint64)
    a, b = (encode(v, how, seed=SEED, source=Same(words)) for v in (base, moved))
    assert np.linalg.norm((a - b).astype(np.float64)) == math.sqrt(64)


def test_rounding_is_unbiased_and_its_mean_square_is_as_charged() -> None:
    how, stream = grid(16, precision=1), CipherStream(bytes(32))
    vector = np.linspace(-1.9, 1.9, 16)
    drawn = np.array([encode(vector, how, seed=SEED, source=stream) for _ in range(8_000)]).astype(np.float64)
    assert np.abs(drawn.mean(axis=0) - 2 * vector).max() < 6.5 * 0.5 / math.sqrt(8_000)
    assert (drawn**2).sum(axis=1).mean() <= (2 * np.linalg.norm(vector)) ** 2 + 16 / 4


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-300, 1.0, 8.0, 8.0001, 1e30, 1e200, 1.7e308])
def test_clipping_keeps_every_vector_within_the_bound(value: float) -> None:
    clipped = coding._clip(np.full(9, value), 8.0)
    assert np.linalg.norm(clipped) <= 8.0 * (1 + 1e-15)
    assert np.linalg.norm(clipped) == pytest.approx(min(8.0, 3 * value), rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(a=arrays(np.float64, 6, elements=st.floats(-50, 50)), b=arrays(np.float64, 6, elements=st.floats(-50, 50)))
def test_clipping_brings_no_two_vectors_further_apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    apart = np.linalg.norm(coding._clip(a, 8.0) - coding._clip(b, 8.0))
    assert apart <= np.linalg.norm(a - b) + 1e-12


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_not_finite_counts_as_zero(bad: float) -> None:
    vector = np.ones(32)
    vector[3] = bad
    assert not encode(vector, grid(32), seed=SEED, source=CipherStream(bytes(32))).any()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(32,\)"):
        encode(np.ones(31), grid(32), seed=SEED, source=CipherStream(bytes(32)))
    with pytest.raises(ValueError, match=r"shape \(64,\)"):
        decode(np.zeros(63, np.uint64), grid(33, block=32), seed=SEED)


@pytest.mark.parametrize(
    "changes",
    [
        {"bound": 0.0},
        {"bound": math.nan},
        {"block": 12},
        {"block": 0},
        {"block": 64},
        {"block": 1 << 40},
        {"precision": 5000},
        {"precision": -5000},
        {"bits": 1},
        {"bits": 53},
        {"precision": 60},
    ],
)
def test_an_encoding_that_cannot_be_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"bound|block|bits|precision"):
        grid(32, **changes)


@pytest.mark.parametrize("block", [1, 64])
@pytest.mark.parametrize("bits", [16, 33, 52])
def test_a_sum_of_residues_decodes_to_the_sum(block: int, bits: int) -> None:
    how, stream = grid(100, block=block, bits=bits), CipherStream(bytes(32))
    updates = [8 * v / np.linalg.norm(v) for v in stream.normals(500).reshape(5, 100)]
    total = np.zeros(how.padded, np.uint64)
    for update in updates:
        total += residues(encode(update, how, seed=SEED, source=stream), how)
    found = decode(residues(total.view(np.int64), how), how, seed=SEED)
    assert np.linalg.norm(found - sum(updates)) < 5 * how.granularity * math.sqrt(how.padded)


@pytest.mark.parametrize("bits", [2, 17, 52])
def test_residues_keep_the_sign(bits: int) -> None:
    how = grid(4, bits=bits, precision=0)
    values = np.array([-(1 << (bits - 1)), -1, 0, (1 << (bits - 1)) - 1])
    assert decode(residues(values, how), how, seed=SEED).tolist() == values.tolist()


@pytest.mark.parametrize("bits", [4, 5, 6, 7])
def test_the_chance_to_wrap_is_never_more_than_computed(bits: int) -> None:
    """Exactly, by convolution, for three devices whose updates all sit at the bound and round up."""
    how = Encoding(length=1, bound=1.0, precision=0, block=1, bits=bits)
    scale, numbers = 2.0, np.arange(-60, 61)
    share = np.exp(-(numbers**2) / (2 * scale**2))
    share /= share.sum()
    total = np.convolve(np.convolve(share, share), share)
    sums = np.arange(-180, 181) + 3 * 1 + 3
    wrapped = total[(sums < -(1 << (bits - 1))) | (sums >= 1 << (bits - 1))].sum()
    assert wrapped <= 2 ** log2_wrap(how, devices=3, share_scale=scale)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 10**6),
    devices=st.integers(1, 2000),
    precision=st.integers(0, 16),
    block=st.sampled_from([1, 64, 8192]),
    scale=st.floats(0.5, 60_000),
)
def test_the_modulus_is_the_smallest_that_keeps_the_computed_bound(
    length: int, devices: int, precision: int, block: int, scale: float
) -> None:
    how = grid(length, precision=precision, block=block if block < 2 * length else 1)
    bits = bits_needed(how, devices=devices, share_scale=scale)
    assert log2_wrap(replace(how, bits=bits), devices=devices, share_scale=scale) <= LOG2_WRAP
    assert log2_wrap(replace(how, bits=bits - 1), devices=devices, share_scale=scale) > LOG2_WRAP


def test_a_sum_that_no_modulus_holds_is_said_to_be_so() -> None:
    with pytest.raises(InputError, match="Lower the plan's precision"):
        bits_needed(grid(4, bound=2.0**47, precision=2), devices=10**5, share_scale=1.0)


@pytest.mark.parametrize("devices", [8, 35])
def test_the_flights_plan_is_within_one_percent_of_continuous_noise(devices: int) -> None:
    threshold, colluders = 2 * devices // 3 + 1, max(1, devices // 10)
    demand = replace(FLIGHTS, devices=devices, threshold=threshold, colluders=colluders)
    noise = choose(demand)
    assert record_event(noise).noise_multiplier >= demand.noise_multiplier
    assert 0 <= excess(noise, demand.noise_multiplier) <= 0.01
    assert log2_wrap(noise.encoding, devices=devices, share_scale=noise.share_scale) <= LOG2_WRAP


def test_fewer_bits_cost_noise_never_privacy() -> None:
    plans = [choose(FLIGHTS, bits=bits) for bits in (16, 18, 20, 22)]
    costs = [excess(plan, 1.2) for plan in plans]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 2 * costs[-1]
    for plan, bits in zip(plans, (16, 18, 20, 22), strict=True):
        assert plan.encoding.bits <= bits
        assert record_event(plan).noise_multiplier >= 1.2


def test_what_cannot_be_had_is_said_to_be_so() -> None:
    with pytest.raises(InputError, match="4 bits"):
        choose(FLIGHTS, bits=4)


def test_a_rotation_is_chosen_where_it_saves_bytes_and_left_out_where_it_does_not() -> None:
    assert choose(FLIGHTS).encoding.block == 1
    large = choose(replace(FLIGHTS, length=105_866, devices=1000, threshold=700, colluders=100))
    assert large.encoding.block > 1
    assert large.encoding.padded < 1.02 * 105_866


@pytest.mark.parametrize("block", [1, 128])
def test_a_whole_round_gives_the_sum_and_the_noise_of_all_who_took_part(block: int) -> None:
    plan = choose(FLIGHTS)
    noise = replace(plan, encoding=replace(plan.encoding, block=block, bits=40))
    stream = CipherStream(b"the devices' own randomness, 32.")
    updates = stream.normals(35 * 118).reshape(35, 118)
    parts = [contribution(update, noise, seed=SEED, stream=stream) for update in updates]
    total = residues(np.sum(parts, axis=0, dtype=np.uint64).view(np.int64), noise.encoding)
    rest = decode(total, noise.encoding, seed=SEED) - updates.sum(axis=0)
    expected = math.sqrt(35) * noise.share_scale * noise.encoding.granularity
    assert rest.std() == pytest.approx(expected, rel=6 / math.sqrt(2 * 118))


def test_a_contribution_of_zeros_is_noise_alone_and_no_two_are_alike() -> None:
    noise: DistributedNoise = choose(FLIGHTS)
    stream = CipherStream(bytes(32))
    first, second = (contribution(np.zeros(118), noise, seed=SEED, stream=stream) for _ in range(2))
    assert (first != second).mean() > 0.9
