"""The simulation's engine gives each virtual device what the deployed light trainer gives: with and without noise."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from images import image_task
from machines import small_task

from client.inputs import Examples
from client.light import contribution, noise_only, train
from shared.architecture import initial_weights, size
from shared.errors import InputError
from shared.features import Number
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Task, Window
from simulations.fleet import engine, samples
from simulations.fleet.engine import Engine
from simulations.fleet.normals import VALUES, quick_normals, slices

TASKS = {
    "linear": small_task(),
    "mlp": replace(small_task(), architecture=Architecture(kind="mlp", hidden=(16, 8))),
    "deep": replace(small_task(), architecture=Architecture(kind="mlp", hidden=(3, 9, 5))),
    "cnn": image_task(),
    "cnn-dense": image_task(height=9, width=7, channels=(3, 4), hidden=(5,)),
    "cnn-slow": image_task(height=5, width=6, channels=(4, 2), hidden=(), stride=1),
    "cnn-one": image_task(height=3, width=7, channels=(2, 3, 4), hidden=(7, 3)),
}
ROWS = (80, 80, 0, 5, 33, 80, 1, 130)


def a_plan(**changes: float) -> RoundPlan:
    plan = RoundPlan(
        run_id=1, number=1, task="t", revision=1, base_version=1, window=Window(), sample_rate=0.2, steps=5,
        normalizer=16.0, learning_rate=0.3, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=1.0,
    )  # fmt: skip
    return replace(plan, **changes)


PLANS = {
    "poisson": a_plan(),
    "all-rows": a_plan(sample_rate=1.0, steps=3),
    "unbounded": a_plan(max_update_norm=1e6, learning_rate=1.0),
    "tight": a_plan(max_grad_norm=0.05, max_update_norm=0.01, steps=2),
    "rare": a_plan(sample_rate=0.01),
}


def some_rows(task: Task, counts: Sequence[int] = ROWS) -> list[Examples]:
    random = np.random.default_rng(1)
    classes = len(task.label.classes)
    return [
        Examples(
            inputs=random.uniform(-1, 1, (rows, task.inputs)).astype(np.float32),
            labels=random.integers(0, classes, rows),
        )
        for rows in counts
    ]


def some_weights(task: Task, scale: float = 1.0) -> np.ndarray:
    moved = initial_weights(task) + 0.1 * np.random.default_rng(2).standard_normal(size(task))
    return (scale * moved).astype(np.float32)


def streams(count: int, first: int = 0) -> list[CipherStream]:
    return [CipherStream((first + index).to_bytes(32, "little")) for index in range(count)]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_exact_noise_gives_the_deployed_trainers_update(task: Task, plan: RoundPlan) -> None:
    rows, weights = some_rows(task), some_weights(task)
    found = Engine(task).train(plan, weights, rows, streams(len(rows)), noise="exact")
    for update, own, stream in zip(found, rows, streams(len(rows)), strict=True):
        np.testing.assert_allclose(update, train(plan, task, weights, own, stream), rtol=0, atol=1e-6)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_no_noise_gives_what_a_device_adds_to_a_sum(task: Task, plan: RoundPlan) -> None:
    rows, weights = some_rows(task), some_weights(task)
    found = Engine(task).train(plan, weights, rows, streams(len(rows)), noise="none")
    for update, own, stream in zip(found, rows, streams(len(rows)), strict=True):
        np.testing.assert_allclose(update, contribution(plan, task, weights, own, stream), rtol=0, atol=1e-6)
        assert np.linalg.norm(update) <= plan.max_update_norm * (1 + 1e-5)


@pytest.mark.parametrize("scale", [1e3, 1e12, 1e25, 3e38])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_wild_weights_give_what_the_deployed_trainer_gives_of_them(task: Task, scale: float) -> None:
    with np.errstate(over="ignore"):
        weights = np.nan_to_num(some_weights(task, scale), posinf=3e38, neginf=-3e38)
    rows, plan = some_rows(task, (12, 0, 3)), a_plan(sample_rate=1.0, steps=2)
    exact = Engine(task).train(plan, weights, rows, streams(3), noise="exact")
    plain = Engine(task).train(plan, weights, rows, streams(3), noise="none")
    assert np.isfinite(exact).all()
    assert np.isfinite(plain).all()
    for index, own in enumerate(rows):
        expected = train(plan, task, weights, own, streams(3)[index])
        np.testing.assert_allclose(exact[index], expected, rtol=0, atol=1e-6)
        expected = contribution(plan, task, weights, own, streams(3)[index])
        np.testing.assert_allclose(plain[index], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("wild", [np.nan, np.inf, 3e38])
def test_a_wild_row_counts_as_zero_and_no_other_row_does(wild: float) -> None:
    task, plan = TASKS["mlp"], a_plan(sample_rate=1.0, steps=2)
    (rows,) = some_rows(task, (9,))
    rows.inputs[4] = wild
    without = Examples(inputs=np.delete(rows.inputs, 4, axis=0), labels=np.delete(rows.labels, 4))
    found, expected = Engine(task).train(plan, some_weights(task), [rows, without], streams(2), noise="none")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found, contribution(plan, task, some_weights(task), rows, streams(1)[0]), atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_sample_in_many_pieces_is_one_sample(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task, plan = TASKS[name], a_plan(sample_rate=0.9, steps=2)
    rows, weights = some_rows(task, (0, 40, 3, 90)), some_weights(task)
    monkeypatch.setattr(engine, "MOST_ROWS", 8)
    for noise, reference in (("exact", train), ("none", contribution)):
        found = Engine(task).train(plan, weights, rows, streams(4), noise=noise)
        for update, own, stream in zip(found, rows, streams(4), strict=True):
            np.testing.assert_allclose(update, reference(plan, task, weights, own, stream), rtol=0, atol=1e-6)


def wide_task() -> Task:
    """The network that the benchmarks train: 12,354 parameters."""
    return replace(
        small_task(),
        features=tuple(Number(name=f"x{i}", low=-1.0, high=1.0, missing=0.0) for i in range(30)),
        architecture=Architecture(kind="mlp", hidden=(128, 64)),
    )


@pytest.mark.parametrize("noise", ["exact", "quick", "none"])
@pytest.mark.parametrize("plan", [PLANS["poisson"], PLANS["all-rows"]], ids=["poisson", "all-rows"])
@pytest.mark.parametrize("name", ["linear", "wide", "cnn"])
def test_a_device_is_the_same_to_the_bit_whoever_is_beside_it(name: str, plan: RoundPlan, noise: engine.Noise) -> None:
    task = wide_task() if name == "wide" else TASKS[name]
    counts = len(ROWS) * (2 if name == "wide" else 6)
    rows, weights = some_rows(task, ROWS * (counts // len(ROWS))), some_weights(task)
    trainer = Engine(task)
    together = trainer.train(plan, weights, rows, streams(counts), noise=noise)
    again = trainer.train(plan, weights, rows, streams(counts), noise=noise)
    assert np.array_equal(together, again)
    for cuts in ((0, counts - 1, counts), (0, 1, 7, counts), tuple(range(counts + 1))):
        for first, last in pairwise(cuts):
            own = streams(last - first, first)
            some = Engine(task).train(plan, weights, rows[first:last], own, noise=noise)
            assert np.array_equal(some, together[first:last])


def test_quick_noise_takes_the_samples_that_no_noise_takes() -> None:
    task, plan = TASKS["mlp"], a_plan(noise_multiplier=1e-9)
    rows, weights = some_rows(task), some_weights(task)
    quick = Engine(task).train(plan, weights, rows, streams(len(rows)), noise="quick")
    plain = Engine(task).train(plan, weights, rows, streams(len(rows)), noise="none")
    # Contributions are clipped by a ten-thousandth more.
    np.testing.assert_allclose(quick, plain, rtol=0, atol=2e-4)
    assert np.abs(plain).max() > 0.05


def test_quick_noise_is_distributed_as_the_deployed_trainers() -> None:
    """Without rows an update is noise alone: 16 devices of each trainer, and each figure within six deviations."""
    task = wide_task()
    plan, devices = a_plan(max_update_norm=1e6, noise_multiplier=2.0), 16
    nothing = some_rows(task, (0,) * devices)
    quick = Engine(task).train(plan, initial_weights(task), nothing, streams(devices), noise="quick").ravel()
    real = np.concatenate([noise_only(plan, task, stream) for stream in streams(devices, 100)])
    sigma = plan.noise_multiplier * plan.max_grad_norm * plan.learning_rate / plan.normalizer * math.sqrt(plan.steps)
    count = len(quick)
    for sample in (quick / sigma, real / sigma):
        assert abs(sample.mean()) < 7 / math.sqrt(count)
        assert abs(sample.var() - 1) < 7 * math.sqrt(2 / count)
    assert kolmogorov(np.sort(quick), np.sort(real)) < math.sqrt(-math.log(1e-10 / 2) / count)
    assert abs(np.corrcoef(quick[:-1], quick[1:])[0, 1]) < 7 / math.sqrt(count)


def kolmogorov(one: np.ndarray, other: np.ndarray) -> float:
    """How far two sorted samples' distributions lie apart at most."""
    both = np.concatenate((one, other))
    below = [np.searchsorted(each, both, side="right") / len(each) for each in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def test_quick_noise_moves_a_devices_update_as_the_deployed_noise_does() -> None:
    """One step: what lies between an update and its noiseless one is the plan's noise, in both trainers."""
    task, plan = TASKS["mlp"], a_plan(steps=1, sample_rate=1.0, max_update_norm=1e6)
    rows, weights = some_rows(task, (40,) * 400), some_weights(task)
    share = plan.learning_rate / plan.normalizer * plan.noise_multiplier * plan.max_grad_norm
    without = Engine(task).train(replace(plan, noise_multiplier=1e-9), weights, rows, streams(400), noise="exact")
    left = [
        (Engine(task).train(plan, weights, rows, streams(400, 1000), noise=noise) - without).ravel() / share
        for noise in ("quick", "exact")
    ]
    for sample in left:
        assert abs(sample.mean()) < 7 / math.sqrt(len(sample))
        assert abs(sample.var() - 1) < 7 * math.sqrt(2 / len(sample))
    assert kolmogorov(*map(np.sort, left)) < math.sqrt(-math.log(1e-10 / 2) / len(left[0]))


def test_quick_normals_are_the_slices_of_a_normal_distribution() -> None:
    values = slices().astype(np.float64)
    assert len(values) == VALUES
    assert (np.diff(values) > 0).all()
    assert np.array_equal(values, -values[::-1])
    assert values.var() == pytest.approx(1, abs=1e-6)
    assert (values**4).mean() == pytest.approx(3, abs=1e-3)
    halves = np.array([0.6744897502, 1.2815515655, 1.9599639845, 3.0902323062])
    places = np.searchsorted(values, halves) / VALUES
    np.testing.assert_allclose(places, [0.75, 0.9, 0.975, 0.999], atol=2 / VALUES)


def test_quick_normals_take_sixteen_bits_each_from_the_stream() -> None:
    first, second = streams(1)[0], streams(1)[0]
    out = np.empty(10, np.float32)
    quick_normals(first, slices() * np.float32(2), out)
    assert np.array_equal(out, 2 * slices()[second.words(3).view(np.uint16)[:10]])
    assert np.array_equal(first.words(5), second.words(5))


def test_without_a_clip_it_is_plain_descent() -> None:
    task, plan = TASKS["mlp"], a_plan(sample_rate=1.0, steps=4, max_grad_norm=math.inf, max_update_norm=1e6)
    rows, weights = some_rows(task, (20, 7, 0, 20)), some_weights(task)
    found = Engine(task).train(plan, weights, rows, streams(4), noise="none")
    for update, own in zip(found, rows, strict=True):
        wide = replace(plan, max_grad_norm=1e9)
        np.testing.assert_allclose(update, contribution(wide, task, weights, own, streams(1)[0]), rtol=0, atol=1e-6)


def test_without_a_clip_an_update_that_overflows_is_zero() -> None:
    task, plan = TASKS["mlp"], a_plan(sample_rate=1.0, steps=2, max_grad_norm=math.inf)
    good, bad = some_rows(task, (8, 8))
    bad.inputs[3] = np.inf
    found = Engine(task).train(plan, some_weights(task), [good, bad], streams(2), noise="none")
    assert np.abs(found[0]).max() > 0
    assert not found[1].any()


def test_an_update_may_be_written_where_the_caller_says() -> None:
    task, rows = TASKS["linear"], some_rows(TASKS["linear"])
    out = np.full((len(rows), size(task)), np.nan, np.float32)
    found = Engine(task).train(a_plan(), some_weights(task), rows, streams(len(rows)), noise="none", out=out)
    assert found is out
    again = Engine(task).train(a_plan(), some_weights(task), rows, streams(len(rows)), noise="none")
    assert np.array_equal(out, again)


def test_devices_without_any_rows_and_no_devices_are_no_trouble() -> None:
    task = TASKS["mlp"]
    assert Engine(task).train(a_plan(), some_weights(task), [], [], noise="quick").shape == (0, size(task))
    nothing = some_rows(task, (0, 0))
    assert not Engine(task).train(a_plan(), some_weights(task), nothing, streams(2), noise="none").any()
    assert Engine(task).train(a_plan(), some_weights(task), nothing, streams(2), noise="quick").all()


def test_rows_and_weights_are_left_as_they_were() -> None:
    task, plan = TASKS["mlp"], PLANS["all-rows"]
    rows, weights = some_rows(task), some_weights(task)
    kept = [each.inputs.copy() for each in rows], weights.copy()
    for each in (*[own.inputs for own in rows], weights):
        each.flags.writeable = False
    Engine(task).train(plan, weights, rows, streams(len(rows)), noise="quick")
    assert all(np.array_equal(one.inputs, other) for one, other in zip(rows, kept[0], strict=True))
    assert np.array_equal(weights, kept[1])


def test_what_cannot_be_trained_is_said() -> None:
    task, rows = TASKS["linear"], some_rows(TASKS["linear"])
    with pytest.raises(InputError, match="as many streams"):
        Engine(task).train(a_plan(), some_weights(task), rows, streams(1), noise="none")
    plan = a_plan(max_grad_norm=math.inf)
    with pytest.raises(InputError, match="max_grad_norm"):
        Engine(task).train(plan, some_weights(task), rows, streams(len(rows)), noise="quick")


@pytest.mark.parametrize("at_once", [1, 100, samples.AT_ONCE])
def test_a_block_draws_the_samples_that_each_device_would(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "AT_ONCE", at_once)
    task = TASKS["linear"]
    block = samples.Block(some_rows(task), len(task.label.classes))
    each = [[stream.poisson_sample(rows, 0.3) for _ in range(4)] for rows, stream in zip(ROWS, streams(8), strict=True)]
    starts = np.cumsum(ROWS) - ROWS
    for drawn in (block.ahead(streams(8), 0.3, 4), block.step_by_step(streams(8), 0.3)):
        for step, sample in zip(range(4), drawn, strict=False):
            own = [part[step] for part in each]
            assert sample.counts.tolist() == [len(part) for part in own]
            expected = np.concatenate([part + start for part, start in zip(own, starts, strict=True)])
            assert np.array_equal(sample.places, expected)
