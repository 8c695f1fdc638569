"""The discrete Gaussian: its probabilities, whole numbers only, and the same distribution as OpenDP's."""

import ast
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from client import discrete
from client.discrete import discrete_gaussian

DRAWS = 20_000


def probabilities(scale: float, reach: int) -> NDArray[np.float64]:
    """Of -reach to reach, and at last of everything beyond."""
    numbers = np.arange(-reach, reach + 1)
    far = np.arange(-40 * math.ceil(scale) - 40, 40 * math.ceil(scale) + 41)
    total = np.exp(-(far**2) / (2 * scale**2)).sum()
    inside = np.exp(-(numbers**2) / (2 * scale**2)) / total
    return np.append(inside, max(1 - inside.sum(), 1e-15))


def binned(draws: list[int], reach: int) -> NDArray[np.int64]:
    values = np.array(draws)
    inside = np.bincount(values[np.abs(values) <= reach] + reach, minlength=2 * reach + 1)
    return np.append(inside, (np.abs(values) > reach).sum())


@pytest.mark.parametrize(("scale", "reach"), [(0.4, 1), (0.7, 2), (1.0, 3), (3.3, 8), (14.0, 35)])
def test_every_integer_comes_as_often_as_it_should(scale: float, reach: int) -> None:
    expected = DRAWS * probabilities(scale, reach)
    found = binned(discrete_gaussian(DRAWS, scale=scale), reach)
    chi2 = ((found - expected) ** 2 / expected).sum()
    cells = len(expected) - 1
    # Wilson and Hilferty's cube root: six standard deviations, once in 10^9 runs.
    assert (chi2 / cells) ** (1 / 3) < 1 - 2 / (9 * cells) + 6 * math.sqrt(2 / (9 * cells))


@pytest.mark.parametrize("scale", [0.7, 14.0])
def test_it_is_distributed_as_opendps(scale: float) -> None:
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    oracle = make_gaussian(vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale=scale)
    ours = np.sort(discrete_gaussian(DRAWS, scale=scale))
    theirs = np.sort(oracle([0] * DRAWS))
    grid = np.arange(-200, 201)
    apart = (
        np.abs(np.searchsorted(ours, grid, side="right") - np.searchsorted(theirs, grid, side="right")).max() / DRAWS
    )
    assert apart < 3.3 * math.sqrt(2 / DRAWS)  # two samples of Kolmogorov and Smirnov, once in 10^9 runs


@pytest.mark.parametrize("scale", [1e-3, 1e9, 1e30, 14 * math.sqrt(5)])
def test_scales_that_floats_could_not_sample_exactly(scale: float) -> None:
    draws = discrete_gaussian(2000, scale=scale)
    assert all(type(draw) is int for draw in draws)
    spread = math.sqrt(sum(float(draw / scale) ** 2 for draw in draws) / len(draws))
    assert (draws == [0] * 2000) if scale < 0.1 else abs(spread - 1) < 6 / math.sqrt(4000)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        discrete_gaussian(1, scale=scale)


def test_a_coin_that_needs_more_digits_than_a_word_is_still_exact() -> None:
    """A chance agrees with the drawn digits for two words and is decided by the third."""
    p, q = (7 << 128) + (9 << 64) + 11, 1 << 192
    for last, expected in ((10, True), (11, False), (12, False)):
        assert discrete._bernoulli(p, q, iter([7, 9, last, 5])) is expected
    assert discrete._bernoulli(1, 1, iter([2**64 - 1]))


def test_no_number_is_favoured_where_a_range_does_not_divide_a_word() -> None:
    bound = 2**63 + 1
    assert discrete._below(bound, iter([2**64 - 1, bound, 5])) == 5


def test_the_arithmetic_is_in_whole_numbers() -> None:
    """No float, no division that rounds, no other library's randomness."""
    tree = ast.parse(Path(discrete.__file__).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("_")]
    assert not [n for f in functions for n in ast.walk(f) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    divisions = [
        ast.unparse(n) for f in functions for n in ast.walk(f) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)
    ]
    assert divisions == ["variance / width"]  # a Fraction
    assert isinstance(Fraction(14.0) ** 2 / 15, Fraction)
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"secrets"}


def test_a_forked_process_draws_its_own_numbers() -> None:
    discrete_gaussian(3, scale=1e6)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, repr(discrete_gaussian(8, scale=1e6)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10_000) != repr(discrete_gaussian(8, scale=1e6)).encode()
    os.close(reader)
    os.close(writer)
