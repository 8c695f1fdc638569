"""Compression keeps what it promises: bytes, error, no bias, and only of what was noised and paid for."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest
import zstandard

from shared import wire
from shared.compression import Compression, Noised, decode, encode, growth, most_bytes, public_seed
from shared.compression.lloyd import borders, centroids, distortion
from shared.compression.rotation import layout, rotate, rotate_back, signs
from shared.errors import WireError
from shared.noise import CipherStream
from shared.privacy import Cost, SampledGaussian

PAID = Cost(record=(SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16),))
PUBLISHED = {1: 0.5708, 2: 0.1331, 3: 0.0358, 4: 0.0096}
INT8 = Compression(kind="int8")
EDEN = {bits: Compression(kind="eden", bits=bits) for bits in PUBLISHED}
RAND_K = Compression(kind="rand-k", fraction=0.125)
ALL = [
    INT8,
    *EDEN.values(),
    RAND_K,
    dataclasses.replace(EDEN[2], feedback=True),
    dataclasses.replace(RAND_K, feedback=True),
]


def stream(*names: object) -> CipherStream:
    return CipherStream(hashlib.sha256(repr(names).encode()).digest())


def noised(values: np.ndarray) -> Noised:
    return Noised(values=values.astype(np.float32), cost=PAID)


def there_and_back(values: np.ndarray, spec: Compression, index: int = 0) -> np.ndarray:
    seed = public_seed(1, index, "device")
    data = encode(noised(values), spec, seed=seed, words=stream("words", index).words)
    assert len(data) <= most_bytes(spec, len(values))
    return decode(data, spec, size=len(values), seed=seed)


def error(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.sum((found.astype(np.float64) - true) ** 2) / np.sum(true.astype(np.float64) ** 2))


@pytest.mark.parametrize("bits", PUBLISHED)
def test_levels_are_the_means_of_their_cells(bits: int) -> None:
    draws = stream("draws").normals(1_000_000)
    cell = np.searchsorted(borders(bits), draws)
    sums, counts = (np.bincount(cell, weights=weights, minlength=2**bits) for weights in (draws, None))
    assert np.abs(sums / counts - centroids(bits)).max() < 6 / math.sqrt(counts.min())
    assert np.array_equal(centroids(bits), -centroids(bits)[::-1])
    assert distortion(bits) == pytest.approx(float(np.mean((draws - centroids(bits)[cell]) ** 2)), rel=0.01)


def test_one_bit_has_the_levels_that_can_be_written_down() -> None:
    assert centroids(1) == pytest.approx([-math.sqrt(2 / math.pi), math.sqrt(2 / math.pi)], abs=1e-12)
    assert distortion(1) == pytest.approx(1 - 2 / math.pi, abs=1e-12)


@pytest.mark.parametrize(("bits", "published"), PUBLISHED.items())
@pytest.mark.parametrize("size", [4096, 1 << 15])
def test_eden_has_its_published_error(bits: int, published: float, size: int) -> None:
    vectors = [
        np.exp(stream("log-normal", index).normals(size)).astype(np.float32) for index in range((1 << 18) // size)
    ]
    errors = [error(there_and_back(vector, EDEN[bits], index), vector) for index, vector in enumerate(vectors)]
    assert np.mean(errors) == pytest.approx(published, rel=0.02)
    assert distortion(bits) / (1 - distortion(bits)) == pytest.approx(published, rel=0.002)


@pytest.mark.parametrize("length", [32, 128, 2048, 4096])
def test_a_rotation_keeps_lengths_and_is_undone(length: int) -> None:
    rows = stream("rows").normals(3 * length).astype(np.float32).reshape(3, length)
    flips = signs(b"seed", 3 * length).reshape(2, 3, length)
    rotated = rotate(rows, flips)
    assert np.linalg.norm(rotated, axis=1) == pytest.approx(np.linalg.norm(rows, axis=1), rel=1e-5)
    assert np.abs(rotate_back(rotated, flips) - rows).max() < 1e-5
    spike = np.zeros_like(rows)
    spike[:, 5] = 1
    assert np.abs(rotate(spike, flips)).max() < 8 / math.sqrt(length)


def test_rotations_by_other_seeds_are_others() -> None:
    same, other = signs(b"seed", 1 << 14), signs(b"other", 1 << 14)
    assert np.array_equal(same, signs(b"seed", 1 << 14))
    assert abs(float(np.mean(same * other))) < 6 / math.sqrt(same.size)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 118, 4095, 4096, 4097, 12_354, 100_000])
def test_blocks_cover_a_vector_and_only_the_last_is_padded(size: int) -> None:
    blocks = layout(size, 3)
    assert sum(blocks[:-1]) < size <= sum(blocks)
    assert all(block == 1 << (block.bit_length() - 1) for block in blocks)


def test_three_bits_travel_in_an_eighth_of_float32_from_flights_on() -> None:
    sizes = [118, *range(200, 5000, 7), 12_354, 100_000, 105_866]
    assert all(most_bytes(EDEN[3], size) <= size / 2 for size in sizes)
    assert most_bytes(EDEN[3], 118) == 54


@pytest.mark.parametrize("spec", [INT8, EDEN[1], EDEN[3], RAND_K], ids=str)
@pytest.mark.parametrize("shape", ["normal", "two spikes", "halving", "ramp"])
def test_the_mean_of_many_is_the_update(spec: Compression, shape: str) -> None:
    size, times = 118, 500
    update = {
        "normal": stream("normal").normals(size),
        "two spikes": np.eye(size)[3] + np.eye(size)[70],
        "halving": 2.0 ** -np.arange(size),
        "ramp": np.arange(size) / size,
    }[shape].astype(np.float32)
    found = np.array([there_and_back(update, spec, index) for index in range(times)])
    spread = float(np.mean([error(one, update) for one in found]))
    assert error(found.mean(axis=0), update) < max(2 * spread / times, 1e-12)


def test_other_devices_round_otherwise() -> None:
    update = stream("update").normals(118)
    found = [
        decode(encode(noised(update), EDEN[1], seed=seed, words=stream(0).words), EDEN[1], size=118, seed=seed)
        for seed in (public_seed(1, 1, "a"), public_seed(1, 1, "b"), public_seed(1, 2, "a"), public_seed(2, 1, "a"))
    ]
    assert len({one.tobytes() for one in found}) == 4


@pytest.mark.parametrize("spec", ALL, ids=str)
@pytest.mark.parametrize("update", [np.zeros(118), np.eye(118)[7], np.full(118, 1e-38), np.full(118, 1e27)], ids=str)
def test_odd_updates_stay_finite_and_in_bounds(spec: Compression, update: np.ndarray) -> None:
    found = there_and_back(update, spec).astype(np.float64)
    assert np.linalg.norm(found) <= growth(spec, 118) * np.linalg.norm(update) * (1 + 1e-4) + 1e-37


def test_least_error_is_closer_and_never_longer() -> None:
    update = stream("update").normals(1 << 15)
    for bits, spec in EDEN.items():
        closer = there_and_back(update, dataclasses.replace(spec, feedback=True))
        assert error(closer, update) < error(there_and_back(update, spec), update)
        assert error(closer, update) == pytest.approx(distortion(bits), rel=0.05)
        assert np.linalg.norm(closer) <= np.linalg.norm(update)


def test_int8_travels_shorter_where_zstd_helps_and_never_longer() -> None:
    large = stream("large").normals(20_000)
    data = encode(noised(large), INT8, seed=b"", words=stream(1).words)
    assert len(data) < 0.95 * 20_000
    assert len(encode(noised(large[:118]), INT8, seed=b"", words=stream(1).words)) <= 122


def int8_of(frame: bytes, scale: float = 1.0) -> bytes:
    return np.float32(scale).astype("<f4").tobytes() + frame


def frame_of(flat: bytes, *, says: bool = True) -> bytes:
    form = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=says
    )
    return zstandard.ZstdCompressor(compression_params=form).compress(flat)


def under(seed: bytes) -> bytes:
    """The two bytes by which a seed is told from another."""
    return encode(noised(np.ones(1)), RAND_K, seed=seed, words=stream().words)[:2]


SEED = b"seed"
BOMB = frame_of(bytes(50_000_000))

HOSTILE = {
    "empty": (b"", INT8, "bytes"),
    "a zip bomb": (int8_of(BOMB), INT8, "bytes"),
    "a frame of fewer": (int8_of(frame_of(bytes(999))), INT8, "frame"),
    "a frame of more": (int8_of(frame_of(bytes(1001))), INT8, "frame"),
    "a frame that does not say": (int8_of(frame_of(bytes(1000), says=False)), INT8, "frame"),
    "trailing bytes": (int8_of(frame_of(bytes(1000)) + b"x"), INT8, "frame"),
    "a cut frame": (int8_of(frame_of(bytes(1000))[:-1]), INT8, "frame"),
    "no frame": (int8_of(b"\xff" * 40), INT8, "frame"),
    "NaN int8": (int8_of(bytes(1000), math.nan), INT8, "scale"),
    "infinite int8": (int8_of(bytes(1000), math.inf), INT8, "scale"),
    "negative int8": (int8_of(bytes(1000), -1.0), INT8, "scale"),
    "overflowing int8": (int8_of(b"\x7f" * 1000, 3e38), INT8, "scale"),
    "the byte -128": (int8_of(b"\x80" * 1000), INT8, "byte"),
    "short eden": (bytes(most_bytes(EDEN[3], 1000) - 1), EDEN[3], "bytes"),
    "long eden": (bytes(most_bytes(EDEN[3], 1000) + 1), EDEN[3], "bytes"),
    "NaN eden": (under(SEED) + int8_of(bytes(384), math.nan), EDEN[3], "scale"),
    "infinite eden": (under(SEED) + int8_of(bytes(384), math.inf), EDEN[3], "scale"),
    "negative eden": (under(SEED) + int8_of(bytes(384), -1.0), EDEN[3], "scale"),
    "overflowing eden": (under(SEED) + int8_of(bytes(384), 3e38), EDEN[3], "scale"),
    "eden of another seed": (under(b"other") + int8_of(bytes(384)), EDEN[3], "seed"),
    "rand-k of another seed": (under(b"other") + bytes(500), RAND_K, "seed"),
    "short rand-k": (bytes(496), RAND_K, "bytes"),
    "NaN rand-k": (under(SEED) + np.full(125, np.nan, "<f4").tobytes(), RAND_K, "finite"),
    "overflowing rand-k": (under(SEED) + np.full(125, 3e38, "<f4").tobytes(), RAND_K, "finite"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_by_name(name: str) -> None:
    data, spec, word = HOSTILE[name]
    with pytest.raises(WireError, match=f"{spec.kind}.*{word}"):
        decode(data, spec, size=1000, seed=SEED)


def test_a_bomb_that_fits_the_length_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 MB in a frame short enough to travel: it is refused by what it says, before anything is unpacked."""
    assert len(BOMB) < 5000

    def never(*_: object, **__: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(zstandard, "ZstdDecompressor", never)
    with pytest.raises(WireError, match="frame that is not of 5000 bytes"):
        decode(int8_of(BOMB), INT8, size=5000, seed=b"")


def test_a_frame_that_lies_about_its_size_is_refused() -> None:
    honest = frame_of(bytes(range(100)) * 2)
    lying = honest[:1] + bytes([254]) + honest[2:]
    assert zstandard.get_frame_parameters(lying, format=zstandard.FORMAT_ZSTD1_MAGICLESS).content_size == 254
    with pytest.raises(WireError, match="frame"):
        decode(int8_of(lying), INT8, size=254, seed=b"")


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "eden"}, {"kind": "eden", "bits": 0}, {"kind": "eden", "bits": 5}, {"kind": "int8", "bits": 3},
        {"kind": "eden", "bits": 3, "fraction": 0.5}, {"kind": "rand-k"}, {"kind": "rand-k", "fraction": 0.0},
        {"kind": "rand-k", "fraction": 1.5}, {"kind": "int8", "feedback": True}, {"kind": "top-k", "fraction": 0.1},
        {"kind": "eden", "bits": True}, {"kind": "rand-k", "fraction": math.nan},
    ],
    ids=str,
)  # fmt: skip
def test_a_compression_that_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(WireError):
        wire.decode(Compression, fields)


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_a_compression_travels_as_json(spec: Compression) -> None:
    assert wire.from_json(Compression, wire.to_json(spec)) == spec


@pytest.mark.parametrize("trust", ["sums", "coordinator"])
def test_an_update_whose_noise_is_not_whole_is_never_compressed(trust: str) -> None:
    cost = Cost(record=PAID.record, device=PAID.record, trust=trust)
    with pytest.raises(ValueError, match="holds against everyone"):
        Noised(values=np.ones(4, np.float32), cost=cost)


@pytest.mark.parametrize(
    "values",
    [np.array([1, np.nan], np.float32), np.array([np.inf], np.float32), np.full(9, 3e38, np.float32), np.ones((2, 2), np.float32),
     np.ones(3), np.ones(0, np.float32)],
    ids=["nan", "inf", "huge", "square", "float64", "empty"],
)  # fmt: skip
def test_an_update_that_no_trainer_returns_is_not_compressed(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an update is"):
        Noised(values=values, cost=PAID)
