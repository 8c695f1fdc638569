"""Who is whose neighbour, and how many of them it takes: the graph and its thresholds.

In a cohort of up to 128 all are neighbours. In a large one each pair is, independently, with probability
degree / (n - 1): an Erdos-Renyi graph drawn from the digest of the key list, as Bell et al. 2020 (section 3) draw
theirs, but checked against a coordinator that *chooses* who drops out after it has seen the graph: their k-regular
ring can be cut by dropping k well-chosen members, an independent graph cannot.

Nothing about the draw can be chosen once the keys are known, except by trying other lists (leave somebody out, give a
colluder other keys). So a list counts as one query to a random oracle, a bad graph has probability <= 2**-120, and
2**80 tries find one with probability <= 2**-40. The three ways to fail, summed over the members:

- colluders: at most `shares - 1 - stray` of a member's neighbours collude (tail of Binomial(colluders, p));
- partition: of two parts of the honest survivors that no edge joins, whoever is dropped, the smaller has at most
  `stray` members (union bound over all parts and all sets of dropped). So few cannot be unmasked: a seed needs
  `shares` surviving holders, more than colluders and part together. A sum that can be learned thus has at least
  `least_honest` honest members in it, which is what noise must be sized for;
- dropouts: at least `shares` neighbours of each member survive (tail of Binomial(survivors, p)): 2**-40, because
  nothing but the round is lost.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from shared.errors import UnsafeAggregation

PRIVACY_BITS = 120
"""2**-40 after a coordinator has tried 2**80 lists."""

FAILURE_BITS = 40
COMPLETE = 128
"""Up to so many members all are neighbours: that is cheap, and holds against any third of them."""

_MARGIN = 0.01
"""The coordinator aims this much (in bits) beyond what a device checks, so that no rounding makes them differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many survivors a cohort needs, how many neighbours a member has on average, how many shares make a secret."""

    threshold: int
    degree: int
    shares: int


def colluding(count: int, fraction: float) -> int:
    """How many of `count` members may collude: the declared fraction, rounded up."""
    return math.ceil(count * fraction - 1e-9)


def least_threshold(count: int, colluders: int = 0) -> int:
    """The fewest survivors of a cohort, above two thirds; no two sets of so many can both get honest signatures.

    Bonawitz et al. 2017, section 6.2: 2 * threshold > count + colluders.
    """
    return max(2 * count // 3, (count + colluders) // 2) + 1


def stray(count: int) -> int:
    """How many honest survivors a coordinator can cut off from the sum, at most, by choosing who drops out."""
    return 0 if count <= COMPLETE else max(8, count // 200)


def least_honest(count: int, *, colluders: float) -> int:
    """How many honest devices' vectors (and shares of noise) are in any sum that can be learned."""
    many = colluding(count, colluders)
    return least_threshold(count, many) - many - stray(count)


def complete(count: int, *, colluders: float, least: int = 0) -> Shape:
    """The shape in which all are neighbours, and as many shares make a secret as there must be survivors."""
    threshold = max(least, least_threshold(count, colluding(count, colluders)))
    return Shape(threshold=threshold, degree=count - 1, shares=threshold)


@lru_cache(maxsize=64)
def shape_for(count: int, *, colluders: float, dropouts: float, least: int = 0) -> Shape:
    """The smallest graph for `count` members that fails with probability <= 2**-40; complete where none is smaller.

    At least `least` members, and more than two thirds, must survive.
    """
    threshold = max(least, least_threshold(count, colluding(count, colluders)))
    low, high = (1 if count > COMPLETE else count - 1), count - 1
    while low < high:
        degree = (low + high) // 2
        if _fit(count, degree, colluders, dropouts, threshold):
            high = degree
        else:
            low = degree + 1
    found = _fit(count, low, colluders, dropouts, threshold) if low < count - 1 else None
    return found or complete(count, colluders=colluders, least=least)


def raised(shape: Shape, *, threshold: int, count: int) -> Shape:
    """The same shape where a sum must be of at least `threshold` members; no less protects than before."""
    if threshold <= shape.threshold:
        return shape
    shares = threshold if shape.degree == count - 1 else shape.shares
    return Shape(threshold=threshold, degree=shape.degree, shares=shares)


def check(shape: Shape, *, count: int, colluders: float, least: int = 0) -> None:
    """Raise `UnsafeAggregation` unless a graph of this shape protects sums of `least` members against colluders."""
    many = colluding(count, colluders)
    fewest = max(least, least_threshold(count, many))
    if not fewest <= shape.threshold <= count:
        raise UnsafeAggregation(f"{shape.threshold} survivors of {count} are too few; it takes more than two thirds, and {fewest} here")  # fmt: skip
    if shape.degree == count - 1:
        if shape.shares != shape.threshold:
            raise UnsafeAggregation(f"among {count} neighbours {shape.threshold} shares must make a secret, not {shape.shares}")  # fmt: skip
    elif count <= COMPLETE or not 0 < shape.degree < count or privacy_bits(shape, count=count, colluders=colluders) < PRIVACY_BITS:  # fmt: skip
        raise UnsafeAggregation(f"{shape.degree} neighbours and {shape.shares} shares do not protect {count} members against {many} colluders")  # fmt: skip


def privacy_bits(shape: Shape, *, count: int, colluders: float) -> float:
    """Minus the binary logarithm of the probability that a sparse graph of this shape is bad for privacy."""
    bad = _log2_bad(count, shape.degree, colluders=colluders, threshold=shape.threshold)
    return -float(bad[min(max(shape.shares - stray(count), 0), len(bad) - 1)])


def seed_of(cohort: bytes) -> bytes:
    """The key that draws the graph, from the digest of the key list."""
    return hashlib.sha256(b"covey secagg graph v1\n" + cohort).digest()


def neighbours(seed: bytes, *, position: int, count: int, degree: int) -> NDArray[np.intp]:
    """The positions of a member's neighbours, ascending; the same edge from either end.

    A pair (low, high) is one block under AES-256, and an edge if its first 64 bits lie below degree / (count - 1).
    """
    others = np.delete(np.arange(count), position)
    if degree == count - 1:
        return others
    blocks = np.empty((count - 1, 2), dtype="<u8")
    np.minimum(others, position, out=blocks[:, 0], casting="unsafe")
    np.maximum(others, position, out=blocks[:, 1], casting="unsafe")
    cipher = Cipher(algorithms.AES256(seed), modes.ECB())  # noqa: S305 - a random function on pairs, not encryption
    drawn = np.frombuffer(cipher.encryptor().update(blocks.tobytes()), dtype="<u8")[::2]
    return others[drawn < np.uint64((degree << 64) // (count - 1))]


def _fit(count: int, degree: int, colluders: float, dropouts: float, threshold: int) -> Shape | None:
    """The shape of this degree that protects, if members may also drop out."""
    bad = _log2_bad(count, degree, colluders=colluders, threshold=threshold)
    enough = np.flatnonzero(bad <= -PRIVACY_BITS - _MARGIN)
    if not len(enough):
        return None
    shares = stray(count) + int(enough[0])
    staying = count - 1 - math.floor(count * dropouts + 1e-9)
    tails = _log2_tails(staying, 1 - degree / (count - 1))
    fails = math.log2(count) + tails[max(staying - shares + 1, 0)]
    return Shape(threshold=threshold, degree=degree, shares=shares) if fails <= -FAILURE_BITS - _MARGIN else None


def _log2_bad(count: int, degree: int, *, colluders: float, threshold: int) -> NDArray[np.float64]:
    """log2 of the probability of a bad graph, by how many more than `stray` shares make a secret: 0, 1, ..."""
    many, chance = colluding(count, colluders), degree / (count - 1)
    cut = _log2_partitions(count, many, threshold, chance)
    return np.logaddexp2(math.log2(count) + _log2_tails(many, chance), cut)


def _log2_partitions(count: int, many: int, threshold: int, chance: float) -> float:
    """log2 of the expected number of parts of more than `stray` honest survivors that no edge joins to the others."""
    honest = count - many
    part = np.arange(stray(count) + 1, honest // 2 + 1)
    rest = np.maximum(part, threshold - many - part)
    logs = _log2_factorials(count)
    choices = logs[honest] - logs[part] - logs[honest - part] + (honest - part) + math.log2(honest)
    return float(np.logaddexp2.reduce(choices + part * rest * math.log2(1 - chance)))


def _log2_tails(trials: int, chance: float) -> NDArray[np.float64]:
    """log2 of the probability that a binomial variable is at least 0, 1, ..., trials, trials + 1 (that is never)."""
    hits, logs = np.arange(trials + 1), _log2_factorials(trials)
    terms = logs[trials] - logs[hits] - logs[trials - hits]
    terms += hits * math.log2(chance) + (trials - hits) * math.log2(1 - chance)
    return np.append(np.logaddexp2.accumulate(terms[::-1])[::-1], -math.inf)


@lru_cache(maxsize=8)
def _log2_factorials(most: int) -> NDArray[np.float64]:
    return np.concatenate(([0.0], np.cumsum(np.log2(np.arange(1, most + 1)))))
