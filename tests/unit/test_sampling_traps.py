"""Two ways to be wrong about chance that no loss curve shows: samples rounded from N q, and seeds of 32 bits."""

from collections.abc import Callable

import numpy as np
import torch

from shared.noise import CipherStream, system_stream


def poisson(stream: CipherStream, rows: int, rate: float) -> int:
    return len(stream.poisson_sample(rows, rate))


def rounded(stream: CipherStream, rows: int, rate: float) -> int:
    """The mutant: as many rows as N q, rounded. What it tells of N is no mechanism at all."""
    return len(stream.words(round(rows * rate)))


def varies_as_a_poisson_sample(draw: Callable[[CipherStream, int, float], int]) -> bool:
    """Sizes spread like a binomial's, and a device of one row takes part at times: one row more is never for sure."""
    stream, rows, rate = CipherStream(bytes(32)), 40, 0.25
    sizes = [draw(stream, rows, rate) for _ in range(4000)]
    alone = np.mean([draw(stream, 1, rate) for _ in range(4000)])
    return bool(
        abs(np.mean(sizes) - rows * rate) < 0.2
        and abs(np.var(sizes) / (rows * rate * (1 - rate)) - 1) < 0.15
        and abs(alone - rate) < 0.03
    )


def test_a_sample_is_drawn_row_by_row_never_rounded_from_how_many_there_are() -> None:
    assert varies_as_a_poisson_sample(poisson)
    assert not varies_as_a_poisson_sample(rounded)


def cipher_draws(seed: int) -> np.ndarray:
    return CipherStream(seed.to_bytes(32, "big")).normals(64)


def torch_draws(seed: int) -> np.ndarray:
    """The mutant: Opacus's own noise, from PyTorch's generator."""
    return torch.normal(0.0, 1.0, (64,), generator=torch.Generator().manual_seed(seed)).numpy()


def tells_devices_apart(draws: Callable[[int], np.ndarray]) -> bool:
    """Two devices whose seeds agree in 32 bits draw differently, else one device's noise subtracts another's."""
    return not any(np.array_equal(draws(7), draws(7 + (high << 32))) for high in (1, 2, 5))


def test_seeds_that_agree_in_32_bits_make_different_noise() -> None:
    assert tells_devices_apart(cipher_draws)
    assert not tells_devices_apart(torch_draws)


def test_two_devices_never_share_a_stream() -> None:
    one, other = system_stream(), system_stream()
    torch.manual_seed(0)
    assert not np.array_equal(one.normals(64), other.normals(64))
