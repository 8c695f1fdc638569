"""The audit's arithmetic: exact epsilons as published and as dp-accounting has them, bounds that are below the truth."""

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from scipy.stats import binom, norm

from simulations.audit import bounds
from simulations.audit.accountant import HISTORIES, exact_epsilon, sampled_once
from simulations.audit.findings import Case, at_least, at_most, near, unrelated

DELTA = 1e-5


def gaussian_pair(rows: int, mu: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    coins = random.random(rows) < 0.5
    return random.normal(size=rows) + mu * coins, coins


@pytest.mark.parametrize("mu", [0.05, 0.5, 1.0])
def test_the_epsilon_of_a_gaussian_is_the_one_that_dp_accounting_finds(mu: float) -> None:
    distribution = privacy_loss_distribution.from_gaussian_mechanism(1 / mu, value_discretization_interval=1e-4)
    found = bounds.gaussian_epsilon(mu, delta=DELTA)
    assert found == pytest.approx(distribution.get_epsilon_for_delta(DELTA), abs=2e-3)
    below = math.exp(found) * norm.cdf(-mu / 2 - found / mu)
    assert norm.cdf(mu / 2 - found / mu) - below == pytest.approx(DELTA, rel=1e-6)


def test_the_epsilon_of_four_hundred_steps_is_the_tabulated_one() -> None:
    """Sigma 20, 400 steps: mu is 1, and epsilon 4.3772 at 1e-5."""
    assert bounds.gaussian_epsilon(1.0, delta=DELTA) == pytest.approx(4.3772, abs=1e-4)


def test_no_signal_and_no_noise_are_the_two_ends() -> None:
    assert bounds.gaussian_epsilon(0.0, delta=DELTA) == 0.0
    assert bounds.gaussian_epsilon(math.inf, delta=DELTA) == math.inf
    coins = np.arange(100) % 2 == 0
    assert bounds.fit(coins.astype(float), coins).mu == math.inf
    assert bounds.by_fit(bounds.fit(coins.astype(float), coins), delta=DELTA) == math.inf


@pytest.mark.parametrize(("noise", "rate"), [(1.0, 0.2), (2.0, 0.9)])
def test_one_sampled_step_in_closed_form_is_what_dp_accounting_finds(noise: float, rate: float) -> None:
    distribution = privacy_loss_distribution.from_gaussian_mechanism(noise, sampling_prob=rate)
    expected = distribution.get_epsilon_for_delta(DELTA)
    assert sampled_once(noise, rate, delta=DELTA) == pytest.approx(expected, abs=1e-3)


def test_the_exact_epsilon_of_sampling_every_row_is_the_gaussians() -> None:
    assert exact_epsilon(HISTORIES["a count a month"], delta=DELTA) == pytest.approx(
        bounds.gaussian_epsilon(math.sqrt(12) / 10, delta=DELTA)
    )


def test_a_fit_finds_what_is_there_and_errs_as_it_says() -> None:
    found = [bounds.fit(*gaussian_pair(1000, 1.0, seed)) for seed in range(400)]
    mus = np.array([one.mu for one in found])
    assert np.mean(mus) == pytest.approx(1.0, abs=0.02)
    assert np.std(mus) == pytest.approx(np.mean([one.error for one in found]), rel=0.15)


@pytest.mark.parametrize("bound", [bounds.by_clopper_pearson, bounds.by_one_run])
def test_a_lower_bound_is_below_the_truth_as_often_as_it_promises(bound: object) -> None:
    truth = bounds.gaussian_epsilon(1.0, delta=DELTA)
    found = [bound(*gaussian_pair(1000, 1.0, seed), delta=DELTA) for seed in range(40)]  # type: ignore[operator]
    assert np.mean(np.array(found) > truth) <= 0.05
    assert np.median(found) > 0.5


@pytest.mark.parametrize("bound", [bounds.by_clopper_pearson, bounds.by_one_run])
def test_a_lower_bound_of_randomised_response_is_close_and_below(bound: object) -> None:
    """A score that is the coin itself, told wrong once in 1 + e^1: epsilon is 1 exactly, and all guesses are equal."""
    found: list[float] = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        coins = random.random(2000) < 0.5
        wrong = random.random(2000) < 1 / (1 + math.e)
        found.append(bound((coins ^ wrong) + random.random(2000) / 2, coins, delta=1e-12))  # type: ignore[operator]
    assert np.mean(np.array(found) > 1.0) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)
    assert np.mean(found) > 0.7


def test_scores_that_tell_nothing_disprove_nothing() -> None:
    scores, coins = gaussian_pair(2000, 0.0, 3)
    assert bounds.by_one_run(scores, coins, delta=DELTA) == 0.0
    assert bounds.by_clopper_pearson(scores, coins, delta=DELTA) == 0.0


def test_without_delta_the_one_run_p_value_is_a_binomial_tail() -> None:
    """Theorem 5.2 at delta 0: guesses are right no more often than a coin that falls right with e^eps / (1 + e^eps)."""
    expected = binom.sf(149, 200, math.e / (1 + math.e))
    assert bounds.one_run_p_value(1000, 200, 150, epsilon=1.0, delta=0.0) == pytest.approx(expected)
    assert bounds.one_run_p_value(1000, 200, 150, epsilon=1.0, delta=1e-4) > expected
    assert bounds.one_run_p_value(1000, 200, 150, epsilon=2.0, delta=1e-4) > 0.99


def test_the_slope_of_the_one_run_p_value_is_the_largest_mean_of_a_tail() -> None:
    """The same, written out: the largest over i of P(right - i <= X < right) / i."""
    guesses, right, rate = 40, 35, 1 / (1 + math.exp(-0.5))
    tail = sum(math.comb(guesses, k) * rate**k * (1 - rate) ** (guesses - k) for k in range(right, guesses + 1))
    means, seen = [0.0], 0.0
    for i in range(1, right + 1):
        k = right - i
        seen += math.comb(guesses, k) * rate**k * (1 - rate) ** (guesses - k)
        means.append(seen / i)
    expected = tail + 2 * 100 * 1e-3 * max(means)
    assert bounds.one_run_p_value(100, guesses, right, epsilon=0.5, delta=1e-3) == pytest.approx(expected, rel=1e-9)


def test_what_is_no_number_does_not_hold() -> None:
    assert not near("mu", 1.0, math.nan, error=1.0).holds
    assert not at_most("epsilon", 1.0, math.nan).holds
    assert not at_least("ledger", 1.0, math.nan).holds
    assert near("mu", 1.0, 1.2, error=0.1).holds
    assert not near("mu", 1.0, 0.6, error=0.1).holds


def test_vectors_that_never_vary_are_not_taken_for_independent() -> None:
    assert not unrelated("noise", np.zeros((2, 100))).holds
    one = np.random.default_rng(0).normal(size=100)
    assert not unrelated("noise", np.stack([one, -one])).holds
    assert unrelated("noise", np.random.default_rng(0).normal(size=(5, 1000))).holds


def test_a_mutant_that_passes_every_check_is_not_as_it_should_be() -> None:
    holds, fails = near("mu", 1.0, 1.0, error=0.1), near("mu", 1.0, 2.0, error=0.1)
    assert Case(target="light", findings=(holds,)).as_it_should
    assert not Case(target="light", findings=(holds, fails)).as_it_should
    assert not Case(target="light", mutant="no noise", findings=(holds,)).as_it_should
    assert Case(target="light", mutant="no noise", findings=(holds, fails)).caught_by == (fails,)
