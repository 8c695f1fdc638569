"""The cipher stream: AES-256-CTR as published, normals and Poisson samples as stated, no two devices alike."""

import numpy as np
import pytest

from shared.noise import CipherStream, system_stream


def test_the_keystream_is_aes_256_in_counter_mode() -> None:
    """The first block is AES-256(key, 0); the cipher and key are those of NIST SP 800-38A, example F.5.5."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    assert block.update(bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")).hex() == "0bdf7df1591716335e9a8b15c860c502"
    assert CipherStream(key).words(2).tobytes() == block.update(bytes(16))


def test_normals_are_normal() -> None:
    from scipy import stats

    sample = CipherStream(bytes(32)).normals(200_001)
    assert sample.shape == (200_001,)
    assert stats.kstest(sample, "norm").pvalue > 1e-3
    assert abs(stats.kurtosis(sample)) < 0.05
    assert np.abs(sample).max() > 4


@pytest.mark.parametrize("rate", [0.03125, 0.5, 0.9])
def test_a_poisson_sample_takes_each_row_on_its_own(rate: float) -> None:
    stream = CipherStream(bytes(32))
    counts = np.array([len(stream.poisson_sample(1000, rate)) for _ in range(2000)])
    assert counts.mean() == pytest.approx(1000 * rate, rel=0.02)
    assert counts.var() == pytest.approx(1000 * rate * (1 - rate), rel=0.15)


def test_edges_of_a_sample() -> None:
    stream = CipherStream(bytes(32))
    assert len(stream.poisson_sample(0, 0.5)) == 0
    assert stream.poisson_sample(5, 1.0).tolist() == [0, 1, 2, 3, 4]


def test_keys_that_agree_in_32_bits_give_different_noise() -> None:
    """PyTorch's generator fails this: it keeps 32 bits of its seed."""
    import torch

    def draw(seed: int) -> list[float]:
        return torch.randn(3, generator=torch.Generator().manual_seed(seed)).tolist()

    assert draw(7) == draw(7 + 2**32)
    one, other = (7).to_bytes(32, "little"), (7 + 2**32).to_bytes(32, "little")
    assert CipherStream(one).normals(3).tolist() != CipherStream(other).normals(3).tolist()


def test_every_device_draws_its_own() -> None:
    assert system_stream().words(4).tolist() != system_stream().words(4).tolist()


def test_normals_are_one_stream_however_they_are_asked_for() -> None:
    """So that two trainers that ask for noise in other portions get the same."""
    split, whole = CipherStream(bytes(32)), CipherStream(bytes(32))
    counts = (3, 0, 1, 8191, 8193, 2, 20_000, 7)
    parts = np.concatenate([split.normals(count) for count in counts])
    assert np.array_equal(parts, whole.normals(sum(counts)))
    assert np.array_equal(split.words(4), whole.words(4))


def test_a_pair_points_where_its_word_says() -> None:
    """Box and Muller's formula, written out: the radius from 53 bits, the direction from all of the other word."""
    import math

    stream, twin = CipherStream(bytes(32)), CipherStream(bytes(32))
    pairs, words = stream.normals(8192).reshape(-1, 2), twin.words(8192).tolist()
    for index in range(0, 4096, 64):
        radius = math.sqrt(-2 * math.log(((words[index] >> 11) + 1) * 2.0**-53))
        turn = words[4096 + index]
        part = (turn & (2**52 - 1)) - (2**52 if turn >> 51 & 1 else 0)
        angle = 2 * math.pi * ((turn >> 52) + part / 2**52) / 4096
        assert pairs[index].tolist() == pytest.approx([radius * math.cos(angle), radius * math.sin(angle)], abs=1e-14)
