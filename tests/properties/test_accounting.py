"""The accountant agrees with dp-accounting, and its admission is a filter."""

from itertools import pairwise

import dp_accounting
import numpy as np
import pytest
from dp_accounting import NeighboringRelation, pld, rdp
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import accounting
from shared.errors import BudgetExhausted
from shared.privacy import PrivacyBudget, SampledGaussian

DELTA = 1e-5
REFERENCE = SampledGaussian(noise_multiplier=1.5, sample_rate=0.04, steps=2250)

noises = st.floats(0.5, 20.0)
rates = st.one_of(st.just(1.0), st.floats(1e-3, 0.5))
events = st.builds(SampledGaussian, noise_multiplier=noises, sample_rate=rates, steps=st.integers(1, 500))
histories = st.lists(events, min_size=1, max_size=4)


def as_dp_event(event: SampledGaussian) -> dp_accounting.DpEvent:
    gaussian = dp_accounting.GaussianDpEvent(event.noise_multiplier)
    sampled = dp_accounting.PoissonSampledDpEvent(event.sample_rate, gaussian) if event.sample_rate < 1 else gaussian
    return dp_accounting.SelfComposedDpEvent(sampled, event.steps)


def rdp_epsilon(history: list[SampledGaussian], delta: float) -> float:
    accountant = rdp.RdpAccountant(accounting.ORDERS.tolist(), NeighboringRelation.ADD_OR_REMOVE_ONE)
    for event in history:
        accountant.compose(as_dp_event(event))
    return float(accountant.get_epsilon(delta))


def pld_epsilon(history: list[SampledGaussian], delta: float) -> float:
    accountant = pld.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    for event in history:
        accountant.compose(as_dp_event(event))
    return float(accountant.get_epsilon(delta))


def event(noise: float, rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=steps)


@settings(max_examples=25, deadline=None)
@given(history=histories, delta=st.sampled_from([1e-3, 1e-5, 1e-8]))
def test_epsilon_is_the_one_that_dp_accounting_finds(history: list[SampledGaussian], delta: float) -> None:
    assert accounting.epsilon(history, delta=delta) == pytest.approx(rdp_epsilon(history, delta), rel=1e-6, abs=1e-9)


def test_epsilon_of_the_published_reference_campaign() -> None:
    assert accounting.epsilon([REFERENCE], delta=DELTA) == pytest.approx(7.3293, abs=1e-3)


@pytest.mark.parametrize(
    "spent", [REFERENCE, event(1.6, 1 / 16, 320), event(1.2, 1 / 32, 320), event(20.0, 1.0, 1), event(10.0, 1.0, 12)]
)
def test_epsilon_is_never_below_the_exact_one(spent: SampledGaussian) -> None:
    assert accounting.epsilon([spent], delta=DELTA) >= pld_epsilon([spent], DELTA)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(1, 2249), max_size=20))
def test_any_split_of_the_steps_over_restarts_costs_the_same(cuts: list[int]) -> None:
    bounds = [0, *sorted(set(cuts)), REFERENCE.steps]
    parts = [event(1.5, 0.04, end - start) for start, end in pairwise(bounds)]
    whole = accounting.epsilon([REFERENCE], delta=DELTA)
    assert accounting.epsilon(parts, delta=DELTA) == pytest.approx(whole, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(spent=events, more=st.integers(1, 100))
def test_more_steps_cost_more(spent: SampledGaussian, more: int) -> None:
    longer = event(spent.noise_multiplier, spent.sample_rate, spent.steps + more)
    assert (accounting.renyi([longer]) >= accounting.renyi([spent])).all()
    assert accounting.epsilon([longer], delta=DELTA) >= accounting.epsilon([spent], delta=DELTA)


@settings(max_examples=60, deadline=None)
@given(spent=events, factor=st.floats(1.01, 3.0))
def test_less_noise_costs_more(spent: SampledGaussian, factor: float) -> None:
    quieter = event(spent.noise_multiplier / factor, spent.sample_rate, spent.steps)
    assert accounting.epsilon([quieter], delta=DELTA) >= accounting.epsilon([spent], delta=DELTA)


@settings(max_examples=60, deadline=None)
@given(noise=noises, rate=rates, factor=st.floats(1.01, 3.0), steps=st.integers(1, 500))
def test_a_larger_sample_costs_more(noise: float, rate: float, factor: float, steps: int) -> None:
    costs = [accounting.epsilon([event(noise, q, steps)], delta=DELTA) for q in (rate, min(1.0, rate * factor))]
    # Sampling every row is computed in closed form, so the two meet up to rounding.
    assert costs[0] <= costs[1] * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(history=st.lists(events, max_size=3), asked=events, slack=st.floats(1e-6, 0.5))
def test_admission_raises_exactly_above_the_budget(
    history: list[SampledGaussian], asked: SampledGaussian, slack: float
) -> None:
    after = accounting.epsilon([*history, asked], delta=DELTA)
    enough = PrivacyBudget(epsilon=max(after, 1e-9), delta=DELTA)
    assert accounting.admit([*history, asked], enough) == after
    if after > 1e-6:
        with pytest.raises(BudgetExhausted, match="the budget grants"):
            accounting.admit([*history, asked], PrivacyBudget(epsilon=after * (1 - slack), delta=DELTA))


def test_nothing_spent_costs_nothing() -> None:
    assert accounting.epsilon([], delta=DELTA) == 0.0


def test_the_grid_of_orders_is_the_promised_one() -> None:
    promised = [*range(2, 64), *range(64, 256, 8), *range(256, 1025, 64)]
    assert np.array_equal(accounting.ORDERS, promised)
