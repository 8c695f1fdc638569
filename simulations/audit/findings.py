"""What a check expected and what it saw, and what a whole audit found of one target or of one mutant of it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SURE = 7.0
"""Standard errors that chance exceeds once in 10^11, for checks of what the operating system drew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure: what theory says of it, what was seen, and between which bounds that holds."""

    check: str
    expected: float
    seen: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether it lies within its bounds; what is no number does not."""
        return bool(self.low <= self.seen <= self.high)


def near(check: str, expected: float, seen: float, *, error: float, within: float = 3.0) -> Finding:
    """Two-sided: too little is as wrong as too much. `error` is a standard error, `within` how many are allowed."""
    reach = within * error
    return Finding(check=check, expected=expected, seen=seen, low=expected - reach, high=expected + reach)


def at_most(check: str, limit: float, seen: float) -> Finding:
    """One-sided, from above."""
    return Finding(check=check, expected=limit, seen=seen, high=limit)


def at_least(check: str, limit: float, seen: float) -> Finding:
    """One-sided, from below, but for what arithmetic rounds."""
    return Finding(check=check, expected=limit, seen=seen, low=limit * (1 - 1e-9))


def unrelated(check: str, vectors: NDArray[np.floating], *, within: float = SURE) -> Finding:
    """Independent Gaussian vectors, shape `(vectors, n)`: no two have more in common than chance gives.

    What is seen is the largest correlation, in its standard errors of 1/sqrt(n).
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=1, keepdims=True, dtype=np.float64)
    lengths = np.linalg.norm(centred, axis=1)
    flat = lengths == 0
    centred /= np.where(flat, 1.0, lengths)[:, None]
    # A vector that does not vary at all tells of every other like it.
    related = centred @ centred.T + np.logical_and.outer(flat, flat)
    largest = float(np.abs(related[np.triu_indices(len(vectors), 1)]).max()) * math.sqrt(vectors.shape[1])
    return Finding(check=check, expected=0.0, seen=largest, high=within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One target, as it ships or with one `mutant` in it, and what the checks found."""

    target: str
    mutant: str = ""
    findings: tuple[Finding, ...]

    @property
    def caught_by(self) -> tuple[Finding, ...]:
        """The findings that do not hold."""
        return tuple(one for one in self.findings if not one.holds)

    @property
    def as_it_should(self) -> bool:
        """A target passes every check; a mutant does not."""
        return bool(self.caught_by) == bool(self.mutant)
