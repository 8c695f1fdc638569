"""Exact epsilons, to hold an accountant against: closed forms, and a contour integral for what has none.

For a loss L with moments `M(s) = E exp(s L)` under the first of two neighbouring distributions, delta at epsilon is
`E (1 - exp(epsilon - L))+`. Of that function `1 / (s (s + 1))` is the Laplace transform, so for any a > 0

    delta = 1/pi  int_0^inf  Re  M(s) exp(-s epsilon) / (s (s + 1))  dt,      s = a + i t,

and moments of composed events multiply. Along the line on which the integrand is smallest it falls off like a Gaussian,
and the trapezoidal rule is good to nine digits. Nothing is rounded to a grid of losses: that is what makes it a check.
(The idea of working with moments instead of losses is that of Zhu, Dong & Wang, 2022, "Optimal Accounting of
Differential Privacy via Characteristic Function".)
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import log_ndtr, ndtr

from shared.privacy import SampledGaussian

MOST_NODES = 4000
"""On the contour; a few rare and small steps need more, because their losses are nearly discrete."""

VANISHING = 1e-12
"""Beside the integrand's largest value, no area is told from zero below this."""

NEVER = -300.0
"""The logarithm of a delta that nobody asks for; losses that are bounded come to it without a saddle point."""

_SIDES = ("removed", "added")


def gaussian(strength: float, *, delta: float) -> float:
    """Epsilon of Gaussians whose sum of `steps / noise_multiplier^2` is `strength`^2 (Balle & Wang, 2018, theorem 8)."""

    def excess(epsilon: float) -> float:
        apart = epsilon / strength
        lost = math.exp(epsilon + float(log_ndtr(-apart - strength / 2)))
        return float(ndtr(strength / 2 - apart)) - lost - delta

    return _root(excess, 1.0)


def one_step(noise_multiplier: float, sample_rate: float, *, delta: float) -> float:
    """Epsilon of a single sampled Gaussian, for a row that is removed or added, whichever is worse."""
    scale, rate = noise_multiplier, sample_rate

    def excess(epsilon: float) -> float:
        edge = _where(epsilon, scale, rate)
        removed = (1 - rate) * ndtr(-edge / scale) + rate * ndtr((1 - edge) / scale)
        removed -= math.exp(epsilon) * ndtr(-edge / scale)
        if math.exp(-epsilon) <= 1 - rate:
            return float(removed) - delta
        edge = _where(-epsilon, scale, rate)
        mixture = (1 - rate) * ndtr(edge / scale) + rate * ndtr((edge - 1) / scale)
        return max(float(removed), float(ndtr(edge / scale) - math.exp(epsilon) * mixture)) - delta

    return _root(excess, 1.0)


def composed(history: Sequence[SampledGaussian], *, delta: float, below: float) -> float:
    """Epsilon of composed events, known to lie in (0, `below`); raise `ValueError` if the contour needs too many nodes."""
    found = [0.0]
    for side in _SIDES:

        def excess(epsilon: float, side: str = side) -> float:
            return _log_delta(history, epsilon, side) - math.log(delta)

        low = below / 64
        if excess(low) > 0:
            found.append(_between(excess, low, below))
    return max(found)


def _where(epsilon: float, scale: float, rate: float) -> float:
    """The outcome at which the loss of a removed row is `epsilon`."""
    return scale**2 * math.log((math.exp(epsilon) - 1 + rate) / rate) + 0.5


def _root(excess: Callable[[float], float], high: float) -> float:
    if excess(0.0) <= 0:
        return 0.0
    while excess(high) > 0:
        high *= 2
    return _between(excess, 0.0, high)


def _between(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where a continuous function changes its sign."""
    root: Any = optimize.brentq(excess, low, high, xtol=1e-11)
    return float(root)


def _log_delta(history: Sequence[SampledGaussian], epsilon: float, side: str) -> float:
    """Logarithm of delta at `epsilon`, on the line through the integrand's saddle point."""

    def height(log_a: float) -> float:
        a = math.exp(log_a)
        value = _log_moments(history, a, np.zeros(1), side)[0].real - a * epsilon - math.log(a * (1 + a))
        return float(value) if math.isfinite(value) else 1e300

    places = np.linspace(math.log(1e-2), math.log(3000), 40)
    best = int(np.argmin([height(place) for place in places]))
    around = places[max(0, best - 1)], places[min(39, best + 1)]
    lowest: Any = optimize.minimize_scalar(height, bounds=around, method="bounded", options={"xatol": 1e-4})
    saddle = float(lowest.x)
    a, top = math.exp(saddle), height(saddle)
    if top < NEVER:
        return top

    def integrand(t: NDArray[np.float64]) -> NDArray[np.float64]:
        s = a + 1j * t
        return np.exp(_log_moments(history, a, t, side) - s * epsilon - np.log(s * (s + 1)) - top)

    end = a / 8
    while abs(integrand(np.array([end]))[0]) > 1e-13:
        end *= 1.3
        if end > 1e7:
            raise ValueError("the integrand does not fall off")
    # The sum may spread wider than the fall-off lets on: where few rare losses make up most of its variance.
    bend = (height(math.log(a * 1.01)) + height(math.log(a / 1.01)) - 2 * top) / (a * math.log(1.01)) ** 2
    step = min(a / 4, end / 64, 1 / (3 * math.sqrt(bend)))
    nodes = np.arange(0.0, end, step)
    if len(nodes) > MOST_NODES:
        raise ValueError(f"{len(nodes)} nodes are too many")
    values = np.concatenate([integrand(part).real for part in np.array_split(nodes, -(-len(nodes) // 64))])
    area = float(values.sum() - values[0] / 2) * step / math.pi
    return top + math.log(max(area, VANISHING))


def _log_moments(
    history: Sequence[SampledGaussian], a: float, t: NDArray[np.float64], side: str
) -> NDArray[np.complex128]:
    """Logarithm of the composed `M(a + i t)` at each of `t`."""
    s: NDArray[np.complex128] = (a + 1j * t).astype(np.complex128)
    total = np.zeros(t.shape, dtype=np.complex128)
    for event in history:
        if event.sample_rate == 1.0:
            total += event.steps * (s * s + s) / (2 * event.noise_multiplier**2)
        else:
            total += event.steps * _log_moment(event.noise_multiplier, event.sample_rate, s, side)
    return total


def _log_moment(scale: float, rate: float, s: NDArray[np.complex128], side: str) -> NDArray[np.complex128]:
    """Logarithm of one sampled Gaussian's M, by the trapezoidal rule over outcomes."""
    power = s + 1 if side == "removed" else -s
    fastest = max(1.0, float(np.abs(s.imag).max())) / scale**2 + 40 / scale
    width = min(scale / 8, scale**2 / 4, 2 * math.pi / fastest)
    # A large real power moves the integrand's mass to where the row's own noise would have to be that far off.
    x = np.arange(-12 * scale - 1, max(0.0, float(power.real[0])) + 1 + 12 * scale, width)
    weight, apart = -(x**2) / (2 * scale**2), (2 * x - 1) / (2 * scale**2)
    loss = np.logaddexp(math.log1p(-rate), math.log(rate) + apart)
    exponent = weight + float(power.real[0]) * loss
    top = float(exponent.max())
    waves = np.exp(1j * power.imag[:, None] * loss[None, :])
    return np.log(waves @ np.exp(exponent - top) / np.exp(weight).sum()) + top
