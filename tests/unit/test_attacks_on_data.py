"""The attacks on data themselves: each finds what is there to be found, and nothing where there is nothing."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binom

from client.inputs import Examples
from shared.accounting import epsilon
from shared.architecture import initial_weights
from shared.privacy import SampledGaussian
from shared.secagg.encoding import Encoding
from simulations.attacks import inversion, leaks, shadows, views
from simulations.attacks.adversary import Adversary
from simulations.attacks.digits import CLASSES, SIDE, digits_task, draw
from simulations.attacks.inversion import Leak
from simulations.attacks.membership import likelihood_ratios, rates
from simulations.attacks.odds import CONFIDENCE, Count, grouped, most, most_after_gaussian
from simulations.attacks.plans import DELTA, noise_for, plan_for
from simulations.attacks.views import View

TASK = digits_task()


@pytest.fixture(scope="module")
def adversary() -> Adversary:
    return Adversary(TASK, initial_weights(TASK), clip=1.0)


@pytest.fixture(scope="module")
def rows() -> Examples:
    return draw(20, seed=7)


def noise(rows: int, spread: float) -> np.ndarray:
    length = len(initial_weights(TASK))
    return np.random.default_rng(0).normal(0, spread, (rows, length))


def test_pictures_come_again_from_their_seed_alone() -> None:
    first, again, other = draw(30, seed=1), draw(30, seed=1), draw(30, seed=2)
    assert np.array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.inputs, other.inputs)
    assert first.inputs.shape == (30, SIDE * SIDE)
    assert np.abs(first.inputs).max() <= 1
    assert np.bincount(first.labels).tolist() == [3] * CLASSES


def test_digits_look_like_their_own_kind() -> None:
    """The nearest mean picture tells most of them: they are pictures of something."""
    known, new = draw(500, seed=3), draw(200, seed=4)
    means = np.stack([known.inputs[known.labels == digit].mean(0) for digit in range(CLASSES)])
    nearest = ((new.inputs[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (nearest == new.labels).mean() > 0.6


@pytest.mark.parametrize(("wanted", "rate", "steps"), [(8.0, 1.0, 1), (2.0, 0.25, 400), (0.5, 0.01, 10)])
def test_noise_is_as_much_as_epsilon_takes_and_no_more(wanted: float, rate: float, steps: int) -> None:
    found = noise_for(wanted, sample_rate=rate, steps=steps)
    told = epsilon([SampledGaussian(noise_multiplier=found, sample_rate=rate, steps=steps)], delta=DELTA)
    assert wanted - 1e-3 < told <= wanted


@pytest.mark.parametrize(("hits", "tries"), [(0, 10), (3, 10), (10, 10), (38, 38_400)])
def test_the_ends_of_an_interval_are_where_the_count_would_just_surprise(hits: int, tries: int) -> None:
    low, high = Count(hits=hits, tries=tries).interval
    doubt = (1 - CONFIDENCE) / 2
    assert low == 0 if hits == 0 else binom.sf(hits - 1, tries, low) == pytest.approx(doubt)
    assert high == 1 if hits == tries else binom.cdf(hits, tries, high) == pytest.approx(doubt)


@pytest.mark.parametrize("blind", [0.1, 0.01, 1e-4])
@pytest.mark.parametrize("multiplier", [0.6, 2.0, 20.0])
def test_the_most_after_a_gaussian_is_above_what_the_best_guess_gets(blind: float, multiplier: float) -> None:
    """The best test of two Gaussians (Neyman and Pearson) never exceeds it, and it is the closed form's value."""
    normal, found = NormalDist(), most_after_gaussian(blind, multiplier)
    assert normal.cdf(normal.inv_cdf(blind) + 1 / multiplier) < found <= 1
    apart = math.sqrt(-2 * math.log(blind)) - 1 / multiplier
    assert found == pytest.approx(math.exp(-(apart**2) / 2) if apart > 0 else 1.0, rel=1e-3)


def test_what_tells_nothing_leaves_a_guess_blind() -> None:
    orders = np.array([2.0, 1e6])
    assert most(0.03, orders, np.zeros(2)) == pytest.approx(0.03, rel=1e-4)
    assert most(0.03, orders, np.full(2, 1e9)) == 1
    assert most(0.0, orders, np.ones(2)) == 0


def test_an_update_without_noise_gives_away_label_and_row(adversary: Adversary, rows: Examples) -> None:
    """The clip changes nothing: what it leaves is the direction."""
    view = views.local(TASK, rows, math.inf)
    assert np.abs(view.seen - adversary.gradients(rows)).max() < 0.02
    assert np.array_equal(adversary.labels(view), rows.labels)
    assert np.array_equal(adversary.choose(view, adversary.gradients(rows)), np.arange(20))


def test_an_update_without_noise_gives_away_the_picture(adversary: Adversary, rows: Examples) -> None:
    found = inversion.leak(
        adversary, views.local(TASK, rows, math.inf), rows, adversary.gradients(rows), pictures=8
    )  # fmt: skip
    assert found.gain > 10
    assert found.correlation > 0.95


def test_nothing_but_noise_gives_away_nothing(adversary: Adversary) -> None:
    """And the attacker who sees it is not worse off than one who looks away."""
    many = draw(200, seed=8)
    view = View(name="noise", epsilon=None, seen=noise(200, 50.0), noise=50.0, multiplier=math.inf)
    found = inversion.leak(adversary, view, many, adversary.gradients(many), pictures=10)
    assert found.labels.interval[0] <= 0.1 <= found.labels.interval[1]
    assert found.chosen.interval[0] <= 0.01 <= found.chosen.interval[1]
    assert abs(found.gain) < 0.05


def test_noise_in_an_update_is_as_large_as_the_attacker_takes_it_for(adversary: Adversary, rows: Examples) -> None:
    view = views.local(TASK, rows, 8.0)
    assert np.std(view.seen - adversary.gradients(rows)) == pytest.approx(view.noise, rel=0.02)
    assert view.multiplier * math.sqrt(views.STEPS) == pytest.approx(noise_for(8.0, sample_rate=1.0, steps=views.STEPS))


def test_a_sum_is_the_devices_sum_and_carries_the_noise_that_was_charged(rows: Examples) -> None:
    parts = views.updates(TASK, rows)
    true = parts.sum(axis=1) / -plan_for(TASK, steps=1).row_move
    assert np.abs(views.summed(TASK, parts, math.inf).seen - true).max() < 1e-4
    noisy = views.summed(TASK, parts, 2.0)
    assert np.std(noisy.seen - true) == pytest.approx(noisy.noise, rel=0.02)
    assert noisy.noise >= noisy.multiplier >= noise_for(2.0, sample_rate=1.0, steps=1) * (1 - 1e-6)


def test_every_update_could_be_behind_a_masked_vector() -> None:
    """What the masks add does not depend on what is masked, and every residue comes as often as any other."""
    encoding = Encoding(length=40_000, bound=1.0, precision=10, block=1, bits=20)
    whole = np.uint64(2**20 - 1)
    one, other = np.zeros(40_000, np.uint64), np.random.default_rng(0).integers(0, 2**20, 40_000, dtype=np.uint64)
    added = views.hide(one, encoding, 0)
    assert np.array_equal((views.hide(other, encoding, 0) - other) & whole, added)
    assert not np.array_equal(views.hide(one, encoding, 1), added)
    counts = np.bincount((added >> np.uint64(12)).astype(int), minlength=256)
    assert ((counts - 156.25) ** 2 / 156.25).sum() < 400  # of 255 degrees of freedom: six standard deviations


def test_a_masked_vector_says_nothing_of_its_row(adversary: Adversary) -> None:
    many = draw(1000, seed=9)
    gradients = adversary.gradients(many)
    view = views.masked(TASK, -gradients * plan_for(TASK, steps=1).row_move)
    share = Count(hits=int((adversary.labels(view) == many.labels).sum()), tries=1000)
    assert share.interval[0] <= 0.1 <= share.interval[1]
    related = np.corrcoef(view.seen.ravel(), gradients.ravel())[0, 1]
    assert abs(related) < 6.5 / math.sqrt(view.seen.size)


def test_figures_of_pictures_are_what_they_say() -> None:
    true = np.array([[1.0, -1.0, 1.0, -1.0]])
    assert inversion.psnr(true, true)[0] == pytest.approx(100)
    assert inversion.psnr(true * 0.8, true)[0] == pytest.approx(20)
    assert inversion.correlation(0.1 * true + 0.5, true)[0] == pytest.approx(1)
    assert inversion.correlation(-true, true)[0] == pytest.approx(-1)


def test_tries_that_sway_together_are_worth_fewer() -> None:
    alone = grouped(np.array([3, 5, 4, 4]), np.array([10, 10, 10, 10]))
    assert alone.interval == Count(hits=16, tries=40).interval
    together = grouped(np.array([0, 8, 0, 8]), np.array([10, 10, 10, 10]))
    assert together.effect == pytest.approx(64 / (40 * 0.4 * 0.6))
    assert together.interval[0] < alone.interval[0] < 0.4 < alone.interval[1] < together.interval[1]


def some_scores(models: int, rows: int, *, leak: float) -> tuple[np.ndarray, np.ndarray]:
    """Each row has a hardness of its own, by which no member is told from others."""
    random = np.random.default_rng(5)
    members = shadows.coins(models, rows, seed=1)
    return random.normal(0, 1, (models, rows)) + random.normal(0, 5, rows) + leak * members, members


def attacked(models: int, rows: int, *, leak: float) -> tuple[np.ndarray, np.ndarray]:
    """Ratios of the later half of the models, and which rows are members there."""
    (scores, members), half = some_scores(models, rows, leak=leak), models // 2
    return likelihood_ratios(scores[half:], scores[:half], members[:half]), members[half:]


def test_a_score_is_weighed_by_the_shadows_of_its_row() -> None:
    scores, members = some_scores(12, 3, leak=1.0)
    found = likelihood_ratios(scores[8:], scores[:8], members[:8])
    inside, outside = (scores[:8][chosen[:, 1], 1] for chosen in (members[:8], ~members[:8]))
    expected = [NormalDist(part.mean(), part.std(ddof=1)).pdf(scores[10, 1]) for part in (inside, outside)]
    assert found[2, 1] == pytest.approx(math.log(expected[0] / expected[1]))


def test_a_planted_leak_is_found() -> None:
    ratios, members = attacked(128, 200, leak=3.0)
    found = rates(ratios, members, false_rate=0.01)
    best = 1 - NormalDist().cdf(NormalDist().inv_cdf(0.99) - 3.0)
    assert best - 0.12 < found.found.share < best + 0.03
    assert found.false.interval[0] <= 0.01 <= found.false.interval[1]


def test_where_nothing_leaks_nothing_is_found() -> None:
    ratios, members = attacked(128, 200, leak=0.0)
    for rate in (0.001, 0.01, 0.1):
        found = rates(ratios, members, false_rate=rate)
        assert found.found.interval[0] <= rate <= found.found.interval[1]
        assert found.false.tries + found.found.tries == 12_800


def test_too_few_shadows_are_refused() -> None:
    scores, members = some_scores(3, 5, leak=0.0)
    with pytest.raises(ValueError, match="two shadows or more"):
        likelihood_ratios(scores, scores, members)


def test_a_coin_decides_which_row_teaches_which_model() -> None:
    members = shadows.coins(100, 400, seed=0)
    assert Count(hits=int(members.sum()), tries=members.size).interval[0] <= 0.5
    assert abs(np.corrcoef(members[:, 0], members[:, 1])[0, 1]) < 0.5
    assert members.sum(0).std() > 2  # five, were it a coin; none, were it exactly half


def test_a_ledger_that_lies_is_seen_in_the_table() -> None:
    """Scores that tell members for certain, under a plan that was charged epsilon 2."""
    scores, members = some_scores(128, 200, leak=10.0)
    task = replace(TASK, name="lie")
    plan = plan_for(task, noise_multiplier=noise_for(2.0, sample_rate=1.0, steps=1))
    lies, honest = (
        shadows.judge(2.0, plan, some, members) for some in (scores, scores - 10.0 * members)
    )  # fmt: skip
    assert lies.auc > 0.99
    told, truth = ({row["name"]: row["meets"] for row in leaks.rows([], [one])} for one in (lies, honest))
    assert not told["device.membership.2.tpr-at-0.01"]
    assert truth["device.membership.2.tpr-at-0.01"]


def a_leak(**changes: object) -> Leak:
    settings: dict[str, object] = {
        "view": "its update", "epsilon": 2.0, "multiplier": 2.15, "others": 0, "labels": Count(hits=15, tries=100),
        "chosen": Count(hits=1, tries=100), "psnr": 12.0, "gain": 0.1, "gain_error": 0.1, "correlation": 0.7,
        "example": np.zeros((3, SIDE * SIDE)),
    }  # fmt: skip
    return Leak(**(settings | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, set()),
        ({"gain": 3.0}, {"gain"}),
        ({"labels": Count(hits=60, tries=100)}, {"label"}),
        ({"chosen": Count(hits=30, tries=100)}, {"chosen"}),
        ({"epsilon": None, "multiplier": math.inf, "chosen": Count(hits=12, tries=100)}, {"chosen"}),
        ({"epsilon": math.inf, "multiplier": 1e-12}, {"gain", "label", "chosen"}),
        ({"epsilon": math.inf, "multiplier": 1e-12, "others": 9}, set()),
    ],
)
def test_a_row_says_what_was_missed(changes: dict[str, object], missed: set[str]) -> None:
    rows = leaks.rows([a_leak(**changes)], [])
    assert {str(row["name"]).rsplit(".", 1)[1] for row in rows if row["meets"] is False} == missed
    assert all({"name", "value", "unit", "target", "meets"} <= set(row) for row in rows)


def test_the_tables_show_every_view() -> None:
    scores, members = some_scores(32, 60, leak=0.0)
    plan = plan_for(TASK, noise_multiplier=2.0)
    seen = [a_leak(), a_leak(view="its masked vector", epsilon=None, multiplier=math.inf)]
    text = leaks.tables(seen, [shadows.judge(2.0, plan, scores, members)])
    assert "its masked vector  -" in text
    assert f"{members[16:].sum()} members and {(~members[16:]).sum()} others" in text


@pytest.mark.proof
def test_the_table() -> None:
    """Without noise both attacks work; with it neither finds more than was charged; a masked vector says nothing."""
    told: list[str] = []
    seen = inversion.attack(told.append, rows=300, pictures=10)
    members = shadows.attack(told.append, models=128)
    rows = {row["name"]: row for row in leaks.rows(seen, members)}
    assert [name for name, row in rows.items() if row["meets"] is False] == []
    assert rows["device.inversion.its-update.inf.gain"]["value"] > 10
    assert rows["device.inversion.a-sum-of-10.inf.chosen"]["value"] > 0.8
    assert abs(rows["device.inversion.its-masked-vector.-.gain"]["value"]) < 0.05
    free, private = members[0], members[-1]
    assert free.rates[0].found.interval[0] > max(5 * free.rates[0].false.share, free.rates[0].false.interval[1])
    assert private.rates[0].found.interval[0] <= private.rates[0].false.interval[1]
    assert private.auc < 0.55
    assert free.auc > 0.7
    assert len(told) == 7 + 3 * 2
