"""The coordinator's own noise: what it costs, how correlated noise cancels, and how the bound follows the updates."""

import math
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from machines import small_task
from scipy.linalg import toeplitz

from server.central import bound, noisy_mean, noisy_share, round_of
from shared.central import CentralRound, cost, inverse_root, root, sensitivity, update_noise, within
from shared.modes import Central
from shared.privacy import SampledGaussian
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Window
from shared.training import Training

TRAINING = Training(
    rounds=6, sample_rate=1.0, steps=1, normalizer=100.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=2.0,
    max_update_norm=0.5,
)  # fmt: skip


def plan_of(central: CentralRound, **changes: object) -> RoundPlan:
    reserved = central.participations if central.noise == "correlated" else None
    plan = RoundPlan(
        run_id=1, number=1, task="machines", revision=1, base_version=1, window=Window(), sample_rate=1.0, steps=1,
        normalizer=100.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=2.0, max_update_norm=0.5,
        mode="central", central=central, reserved=reserved,
    )  # fmt: skip
    return replace(plan, **changes)


def test_the_square_root_of_the_prefix_sums_is_one() -> None:
    n = 12
    matrix = np.tril(toeplitz(root(n)))
    assert matrix @ matrix == pytest.approx(np.tril(np.ones((n, n))))
    assert np.tril(toeplitz(inverse_root(n))) @ matrix == pytest.approx(np.eye(n))


@pytest.mark.parametrize(("rounds", "times", "apart"), [(6, 1, 1), (7, 2, 1), (7, 2, 3), (8, 3, 2), (9, 3, 1)])
def test_no_way_of_taking_part_adds_more_than_the_sensitivity(rounds: int, times: int, apart: int) -> None:
    matrix = np.tril(toeplitz(root(rounds)))
    worst = 0.0
    for parts in combinations(range(rounds), times):
        if all(later - earlier >= apart for earlier, later in pairwise(parts)):
            # Each update may point anywhere; all in one direction is the worst, as the matrix has no negative entry.
            worst = max(worst, float(np.linalg.norm(matrix[:, parts].sum(axis=1))))
    form = CentralRound(unit="device", noise="correlated", rounds=rounds, participations=times, separation=apart)
    assert sensitivity(form) == pytest.approx(worst)


def test_correlated_noise_cancels_in_the_sum_of_all_rounds() -> None:
    rounds, key = 64, b"k" * 32
    zero = [np.zeros(4000, np.float32)]
    total = np.zeros(4000)
    singles: list[float] = []
    for step in range(1, rounds + 1):
        form = CentralRound(unit="device", noise="correlated", step=step, rounds=rounds)
        noise = noisy_mean(plan_of(form), zero, divisor=1, key=key)
        singles.append(float(noise.std()))
        total += noise
    expected = 2.0 * 0.5 * float(np.linalg.norm(root(rounds)))
    assert total.std() == pytest.approx(expected, rel=0.06)
    assert total.std() < 0.35 * math.sqrt(rounds) * min(singles)


def test_a_coordinator_that_was_started_anew_goes_on_with_the_same_noise() -> None:
    form = CentralRound(unit="device", noise="correlated", step=3, rounds=6)
    zero = [np.zeros(50, np.float32)]
    first, again = (noisy_mean(plan_of(form), zero, divisor=1, key=b"a" * 32) for _ in range(2))
    other = noisy_mean(plan_of(form), zero, divisor=1, key=b"b" * 32)
    assert (first == again).all()
    assert (first != other).all()


def test_independent_noise_is_new_each_time_and_as_large_as_charged() -> None:
    form = CentralRound(unit="device", noise="independent")
    zero = [np.zeros(20_000, np.float32)]
    first, again = (noisy_mean(plan_of(form), zero, divisor=1, key=b"a" * 32) for _ in range(2))
    assert (first != again).any()
    assert first.std() == pytest.approx(2.0 * 0.5, rel=0.05)
    rows = noisy_mean(plan_of(replace(form, unit="record")), zero, divisor=1, key=b"a" * 32)
    assert rows.std() == pytest.approx(2.0 * 1.0 / 100.0, rel=0.05)


def test_what_a_row_and_a_device_pay() -> None:
    rows = plan_of(CentralRound(unit="record", noise="independent")).cost
    assert rows.trust == "coordinator"
    assert rows.record == (SampledGaussian(noise_multiplier=2.0, sample_rate=1.0, steps=1),)
    assert rows.device[0].noise_multiplier == pytest.approx(2.0 * 0.01 / 0.5)
    devices = plan_of(CentralRound(unit="device", noise="independent")).cost
    assert devices.device[0].noise_multiplier == 2.0
    assert devices.record[0].noise_multiplier == pytest.approx(2.0 / 0.02)


def test_rule_7_a_row_moves_an_update_that_is_clipped_as_a_whole_by_twice_its_bound() -> None:
    several = plan_of(CentralRound(unit="device", noise="independent"), steps=4).cost
    assert several.record[0].noise_multiplier == pytest.approx(several.device[0].noise_multiplier / 2)
    sampled = plan_of(CentralRound(unit="device", noise="independent"), sample_rate=0.5).cost
    assert sampled.record[0].noise_multiplier == pytest.approx(1.0)


def test_correlated_noise_is_charged_for_all_of_a_devices_rounds() -> None:
    form = CentralRound(unit="device", noise="correlated", rounds=6, participations=2, separation=3)
    assert cost(form, noise_multiplier=2.0, row_share=2.0).device[0].noise_multiplier == pytest.approx(
        2.0 / sensitivity(form)
    )


def test_a_count_of_the_bound_is_paid_for_by_more_noise_on_the_update() -> None:
    assert update_noise(2.0, None) == 2.0
    more = update_noise(2.0, 4.0)
    # Two Gaussian releases of sensitivities 1 and 1/2 together cost what one of noise 2.0 does.
    assert 1 / more**2 + (0.5 / 4.0) ** 2 == pytest.approx(1 / 2.0**2)
    with pytest.raises(ValueError, match="count_noise must be above 1"):
        update_noise(2.0, 1.0)


def test_the_bound_follows_the_quantile() -> None:
    form = CentralRound(unit="device", noise="independent", count_noise=5.0)
    result = RoundResult(
        plan=plan_of(form), cohort=("a",), returned=("a",), started_at=0.0, finished_at=1.0, outcome="committed",
        within=1.0,
    )  # fmt: skip
    assert bound(TRAINING, 0.5, None) == 0.5
    assert bound(TRAINING, 0.5, result) < 0.5
    assert bound(TRAINING, 0.5, replace(result, within=0.0)) > 0.5
    assert bound(TRAINING, None, result) == 0.5


def test_the_share_within_the_bound_is_noisy() -> None:
    form = CentralRound(unit="device", noise="independent", count_noise=2.0)
    shares = [noisy_share(plan_of(form), [True] * 80 + [False] * 20) or 0.0 for _ in range(200)]
    assert np.mean(shares) == pytest.approx(0.8, abs=0.02)
    assert np.std(shares) == pytest.approx(0.02, rel=0.4)
    assert noisy_share(plan_of(replace(form, count_noise=None)), []) is None


def test_a_round_keeps_to_the_tasks_terms() -> None:
    terms = Central(
        training=TRAINING, min_noise_multiplier=1.0, unit="device", noise="correlated", participations=2, separation=2
    )
    kept = round_of(terms, TRAINING, step=2, cohort=10)
    assert within(kept, terms)
    assert not within(replace(kept, participations=3), terms)
    assert not within(replace(kept, separation=1), terms)
    assert not within(CentralRound(unit="device", noise="independent"), terms)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": 7}, "step must lie"),
        ({"participations": 4, "separation": 3}, "do not fit"),
        ({"unit": "record"}, "whole devices"),
        ({"count_noise": 3.0}, "fixed bound"),
    ],
)
def test_terms_that_nobody_can_account_for_are_refused(changes: dict[str, object], words: str) -> None:
    form = CentralRound(unit="device", noise="correlated", rounds=6)
    with pytest.raises(ValueError, match=words):
        replace(form, **changes)


def test_a_task_may_not_offer_central_rows_in_several_steps() -> None:
    with pytest.raises(ValueError, match="one step over all rows"):
        Central(training=replace(TRAINING, steps=2), min_noise_multiplier=1.0, unit="record")
    assert small_task(central=Central(training=TRAINING, min_noise_multiplier=1.0)).terms_of("central")


def test_a_step_so_small_that_no_rows_part_can_be_told_is_no_plan() -> None:
    with pytest.raises(ValueError, match="too small"):
        plan_of(CentralRound(unit="device", noise="independent"), learning_rate=5e-324)
