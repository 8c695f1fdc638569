"""Both accountants against exact epsilons: never below, and privacy loss distributions within a thousandth above."""

import subprocess
import sys

import dp_accounting
import pytest
from dp_accounting import NeighboringRelation, pld
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import accounting
from shared import pld as ours
from shared.privacy import SampledGaussian
from simulations.benchmarks import exact
from simulations.benchmarks.accounting import CASES, Case

TOLERANCE = 1e-3

noises = st.floats(0.4, 30.0)
rates = st.floats(1e-4, 0.95)
deltas = st.sampled_from([1e-3, 1e-5, 1e-8, 1e-10])


def event(noise: float, rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=steps)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_table_of_agreement(case: Case) -> None:
    known, tight = case.exact, ours.epsilon(case.history, delta=case.delta)
    assert known <= tight <= known + TOLERANCE
    assert tight <= accounting.epsilon(case.history, delta=case.delta)


@pytest.mark.proof
@pytest.mark.parametrize("delta", [1e-5, 1e-8])
@pytest.mark.parametrize("noise", [0.6, 1.2, 3.0, 12.0])
@pytest.mark.parametrize("rate", [0.001, 1 / 32, 0.1, 0.4])
@pytest.mark.parametrize("steps", [320, 3840, 100_000])
def test_campaigns_of_every_size(rate: float, noise: float, steps: int, delta: float) -> None:
    history = [event(noise, rate, steps)]
    filtered = accounting.epsilon(history, delta=delta)
    if filtered > ours.MOST_EPSILON:
        assert ours.epsilon(history, delta=delta) == filtered
        return
    try:
        known = exact.composed(history, delta=delta, below=filtered)
    except ValueError:  # the contour is too long: few steps that seldom touch a row
        known = 0.0
        assert steps * rate < 10
    tight = ours.epsilon(history, delta=delta)
    assert known <= tight <= filtered
    if known and (delta >= 1e-6 or steps < 10_000):
        assert tight <= known + TOLERANCE


@settings(max_examples=150, deadline=None)
@given(strength=st.floats(0.01, 12.0), delta=deltas)
def test_the_filter_is_never_below_gaussians(strength: float, delta: float) -> None:
    assert accounting.epsilon([event(1 / strength, 1.0, 1)], delta=delta) >= exact.gaussian(strength, delta=delta)


@settings(max_examples=150, deadline=None)
@given(noise=noises, rate=rates, delta=deltas)
def test_the_filter_is_never_below_a_single_step(noise: float, rate: float, delta: float) -> None:
    assert accounting.epsilon([event(noise, rate, 1)], delta=delta) >= exact.one_step(noise, rate, delta=delta)


@settings(max_examples=12, deadline=None)
@given(strength=st.floats(0.01, 8.0), delta=st.sampled_from([1e-3, 1e-5, 1e-8]))
def test_distributions_tell_gaussians(strength: float, delta: float) -> None:
    known = exact.gaussian(strength, delta=delta)
    assert known <= ours.epsilon([event(1 / strength, 1.0, 1)], delta=delta) <= known + TOLERANCE


@settings(max_examples=12, deadline=None)
@given(noise=noises, rate=rates, delta=st.sampled_from([1e-3, 1e-5, 1e-8]))
def test_distributions_tell_a_single_step(noise: float, rate: float, delta: float) -> None:
    known = exact.one_step(noise, rate, delta=delta)
    assert known <= ours.epsilon([event(noise, rate, 1)], delta=delta) <= known + TOLERANCE


@settings(max_examples=8, deadline=None)
@given(cut=st.integers(1, 319), times=st.integers(1, 5))
def test_any_split_and_any_order_cost_the_same(cut: int, times: int) -> None:
    parts = [event(1.2, 1 / 32, cut), event(10.0, 1.0, times), event(1.2, 1 / 32, 320 - cut)]
    whole = [event(1.2, 1 / 32, 320), event(10.0, 1.0, times)]
    assert ours.epsilon(parts, delta=1e-5) == ours.epsilon(reversed(whole), delta=1e-5)


def test_counts_of_all_rows_are_one_gaussian() -> None:
    """Composed one by one by dp-accounting they come to the same, and take longer."""
    accountant = pld.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    for noise, times in ((10.0, 12), (14.0, 5)):
        accountant.compose(dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(noise), times))
    history = [event(10.0, 1.0, 12), event(14.0, 1.0, 5)]
    assert ours.epsilon(history, delta=1e-5) == pytest.approx(accountant.get_epsilon(1e-5), abs=1e-3)


def test_a_fixed_grid_would_say_too_much_of_a_million_steps() -> None:
    """Which is why the grid follows the number of steps."""
    history = [event(1.0, 1e-4, 10**6)]
    accountant = pld.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    rare = dp_accounting.PoissonSampledDpEvent(1e-4, dp_accounting.GaussianDpEvent(1.0))
    accountant.compose(dp_accounting.SelfComposedDpEvent(rare, 10**6))
    known = exact.composed(history, delta=1e-5, below=1.0)
    assert accountant.get_epsilon(1e-5) > known + 20 * TOLERANCE


def test_nothing_and_too_much_are_told_without_distributions() -> None:
    assert ours.epsilon([], delta=1e-5) == 0.0
    wild = [event(0.01, 1.0, 1)]
    assert ours.epsilon(wild, delta=1e-5) == accounting.epsilon(wild, delta=1e-5)
    tiny = [event(1.0, 0.5, 100)]
    assert ours.epsilon(tiny, delta=1e-15) == accounting.epsilon(tiny, delta=1e-15)


def test_a_rate_too_small_for_rounding_still_costs_something() -> None:
    """The sum's own terms cancel to zero at such rates; what is left of them here does not."""
    least = accounting.renyi([event(1.0, 1e-9, 1)])
    assert (least > 0).all()
    assert least[0] == pytest.approx(1e-18 * (2.718281828459045 - 1), rel=1e-6)


def test_the_accountant_needs_no_dp_accounting_and_says_what_does() -> None:
    program = (
        "import sys; sys.modules['dp_accounting'] = None; sys.modules['scipy'] = None\n"
        "from shared import accounting, pld\n"
        "from shared.errors import InputError\n"
        "from shared.privacy import SampledGaussian\n"
        "history = [SampledGaussian(noise_multiplier=1.2, sample_rate=0.1, steps=10)]\n"
        "assert accounting.epsilon(history, delta=1e-5) > 0\n"
        "try:\n    pld.epsilon(history, delta=1e-5)\n"
        "except InputError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install '.[full]'" in done.stdout
