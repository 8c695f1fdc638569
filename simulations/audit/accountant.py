"""Whether the ledger's epsilon is ever below the exact one; and accountants that are, which must be caught."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from scipy.stats import norm

from shared import accounting
from shared.privacy import Cost, SampledGaussian
from simulations.audit.bounds import gaussian_epsilon, root
from simulations.audit.canaries import DELTA
from simulations.audit.findings import Case, at_least
from simulations.audit.trainers import spent

History = Sequence[SampledGaussian]
Accountant = Callable[[History, float], float]


def _rounds(noise: float, rate: float, steps: int, *, rounds: int = 1) -> tuple[SampledGaussian, ...]:
    return (SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=steps),) * rounds


HISTORIES: dict[str, tuple[SampledGaussian, ...]] = {
    "one count": _rounds(20.0, 1.0, 1),
    "a count a month": _rounds(10.0, 1.0, 1, rounds=12),
    "one sampled step": _rounds(1.0, 0.2, 1),
    "a campaign": _rounds(1.6, 1 / 16, 16, rounds=20),
    "a campaign and counts": (*_rounds(1.6, 1 / 16, 16, rounds=20), *_rounds(20.0, 1.0, 1, rounds=12)),
    "a third of the rows": _rounds(4.0, 0.3, 10, rounds=10),
    "Abadi et al. (2016)": _rounds(4.0, 0.01, 100, rounds=100),
    "much of little noise": _rounds(0.8, 0.02, 10, rounds=10),
}


def exact_epsilon(history: History, *, delta: float) -> float:
    """The smallest epsilon that holds: in closed form where there is one, else within 1e-3 by dp-accounting's PLD.

    PLD composes the distribution of the privacy loss itself (Koskela et al., 2020, "Computing Tight Differential Privacy
    Guarantees Using FFT"), on a grid rounded up (Doroshenko et al., 2022, "Connect the Dots").
    """
    total = Counter[tuple[float, float]]()
    for one in history:
        total[one.noise_multiplier, one.sample_rate] += one.steps
    if all(rate == 1.0 for _, rate in total):
        return gaussian_epsilon(math.sqrt(sum(steps / noise**2 for (noise, _), steps in total.items())), delta=delta)
    if sum(total.values()) == 1:
        return sampled_once(*next(iter(total)), delta=delta)
    return _composed(tuple(sorted((*pair, steps) for pair, steps in total.items())), delta)


def sampled_once(noise: float, rate: float, *, delta: float) -> float:
    """One step of the Poisson-sampled Gaussian, in closed form.

    The worse of the two directions is the row's removal: the mixture (1 - q) N(0, s^2) + q N(1, s^2) against N(0, s^2).
    Their densities' ratio rises, so the worst event is a half-line, from where it reaches exp(epsilon).
    """

    def excess(epsilon: float) -> float:
        start = 0.5 + noise**2 * math.log(math.expm1(epsilon) / rate + 1)
        out, moved = float(norm.sf(start / noise)), float(norm.sf((start - 1) / noise))
        return rate * moved + (1 - rate) * out - math.exp(epsilon) * out - delta

    return root(excess, 1 / (2 * noise**2) + 8 / noise + 8) if excess(0.0) > 0 else 0.0


@lru_cache(maxsize=64)
def _composed(total: tuple[tuple[float, float, int], ...], delta: float) -> float:
    from dp_accounting import NeighboringRelation, dp_event
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    for noise, rate, steps in total:
        gaussian = dp_event.GaussianDpEvent(noise)
        sampled = dp_event.PoissonSampledDpEvent(rate, gaussian) if rate < 1 else gaussian
        accountant.compose(dp_event.SelfComposedDpEvent(sampled, steps))
    return float(accountant.get_epsilon(delta))


def by_the_ledger(history: History, delta: float) -> float:
    """What a device's own ledger says, one round an event."""
    return spent([Cost(record=(one,)) for one in history], delta)


def rebuilt(history: History, delta: float) -> float:
    """A new accountant each round, as Flower's example of Opacus has: only the last round is remembered."""
    return accounting.epsilon(history[-1:], delta=delta)


def amplified(history: History, delta: float) -> float:
    """As if being one of half the devices were chance to a coordinator that chose them."""
    return accounting.epsilon([replace(one, sample_rate=one.sample_rate / 2) for one in history], delta=delta)


def a_delta_each(history: History, delta: float) -> float:
    """A delta for each round, told as if it were for all of them."""
    return accounting.epsilon(history, delta=min(0.5, delta * len(history)))


def one_step_a_round(history: History, delta: float) -> float:
    """The rounds are counted, but not their steps."""
    return accounting.epsilon([replace(one, steps=1) for one in history], delta=delta)


def rounded_rate(history: History, delta: float) -> float:
    """The sample rate by whole batches in the data, rounded up."""
    events = [replace(one, sample_rate=1 / math.ceil(1 / one.sample_rate)) for one in history]
    return accounting.epsilon(events, delta=delta)


def central_limit(history: History, delta: float) -> float:
    """Composition by the central limit theorem (Bu et al., 2020, "Deep Learning with Gaussian Differential Privacy"), which
    is an approximation and no bound: q sqrt(T (exp(1 / sigma^2) - 1)).
    """  # noqa: D205 - one sentence
    squares = [
        one.steps * (one.sample_rate**2 * math.expm1(one.noise_multiplier**-2) if one.sample_rate < 1 else one.noise_multiplier**-2)
        for one in history
    ]  # fmt: skip
    return gaussian_epsilon(math.sqrt(sum(squares)), delta=delta)


MUTANTS: dict[str, Accountant] = {
    "engine rebuilt each round": rebuilt,
    "steps left out": one_step_a_round,
    "sample rate off by rounding": rounded_rate,
    "amplified by the choice of a cohort": amplified,
    "a delta for each round": a_delta_each,
    "central limit theorem": central_limit,
}


def cases() -> Iterator[Case]:
    """The ledger, then each mutant of its accountant, over all of `HISTORIES`."""
    for mutant, accountant in {"": by_the_ledger, **MUTANTS}.items():
        findings = [
            at_least(name, exact_epsilon(history, delta=DELTA), accountant(history, DELTA))
            for name, history in HISTORIES.items()
        ]
        yield Case(target="accountant", mutant=mutant, findings=tuple(findings))
