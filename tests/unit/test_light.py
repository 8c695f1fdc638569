"""The light trainer: what Opacus computes, from the same samples and noise, without PyTorch."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from images import image_task, stripes
from machines import machine_rows, small_task

from client import training
from client.inputs import Examples, no_examples
from client.light import clip, noise_only, train
from client.light.network import MOST_ROWS, Network
from shared.architecture import initial_weights, size
from shared.features import encode_columns
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Task, Window

KEY = bytes(range(32))
TASKS = {
    "linear": small_task(),
    "mlp": small_task(architecture=Architecture(kind="mlp", hidden=(16, 9))),
    "cnn": image_task(),
    "cnn of stride 1": image_task(stride=1, channels=(3,), hidden=()),
    "deep cnn": image_task(height=11, width=6, channels=(3, 5, 4), hidden=(6, 7)),
}
every_kind = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))


def plan_of(task: Task, **changes: object) -> RoundPlan:
    t = task.training
    plan = RoundPlan(
        run_id=1, number=1, task=task.name, revision=1, base_version=1, window=Window(), sample_rate=t.sample_rate,
        steps=t.steps, normalizer=t.normalizer, learning_rate=t.learning_rate, max_grad_norm=t.max_grad_norm,
        noise_multiplier=t.noise_multiplier, max_update_norm=1e6,
    )  # fmt: skip
    return replace(plan, **changes)


def one_full_step(task: Task, **changes: object) -> RoundPlan:
    """A plan whose update is minus the clipped sum, to six digits."""
    plan = plan_of(task, steps=1, sample_rate=1.0, learning_rate=1.0, normalizer=1.0, noise_multiplier=1e-12)
    return replace(plan, **changes)


def examples_of(task: Task, rows: int) -> Examples:
    if task.architecture.image:
        return stripes(task, rows)
    frame = machine_rows(rows)
    columns = {name: frame[name].to_numpy() for name in (*task.numbers, *task.texts)}
    return Examples(inputs=encode_columns(task.features, columns), labels=frame["stops"].to_numpy().astype(np.int64))


def some_weights(task: Task) -> np.ndarray:
    return initial_weights(task) + np.random.default_rng(3).normal(0, 0.3, size(task)).astype(np.float32)


@every_kind
@pytest.mark.parametrize("max_grad_norm", [0.05, 1.0, 100.0], ids=["all clipped", "some clipped", "none clipped"])
def test_it_trains_as_opacus_does(task: Task, max_grad_norm: float) -> None:
    noise = 1.0 / max_grad_norm
    plan = plan_of(task, steps=6, max_grad_norm=max_grad_norm, noise_multiplier=noise, normalizer=50.0)
    weights, examples = some_weights(task), examples_of(task, 300)
    found, expected = (t(plan, task, weights, examples, CipherStream(KEY)) for t in (train, training.train))
    assert np.abs(expected).max() > 1e-3
    assert np.abs(found - expected).max() < 1e-5


@every_kind
def test_a_noiseless_step_is_opacus_step(task: Task) -> None:
    plan = one_full_step(task, normalizer=200.0, max_grad_norm=0.8)
    weights, examples = some_weights(task), examples_of(task, 200)
    found, expected = (t(plan, task, weights, examples, CipherStream(KEY)) for t in (train, training.train))
    assert np.abs(found - expected).max() < 1e-6


@every_kind
def test_examples_add_up_however_many_are_at_work(task: Task) -> None:
    """No example's gradient depends on another, and a batch larger than the memory is one batch."""
    examples, rows = examples_of(task, MOST_ROWS + 150), np.arange(MOST_ROWS + 150)
    network = Network(task, some_weights(task))
    alone = sum(network.clipped_sum(examples.inputs, examples.labels, rows[i : i + 1], 1.0).astype(float) for i in rows)
    together = network.clipped_sum(examples.inputs, examples.labels, rows, 1.0)
    assert np.abs(together - alone).max() < 1e-4


@every_kind
@pytest.mark.parametrize("wild", [0.0, 1.0, 1e4, 1e30, np.inf, np.nan])
def test_a_row_more_moves_the_sum_by_at_most_the_clip(task: Task, wild: float) -> None:
    examples, plan = examples_of(task, 50), one_full_step(task, max_grad_norm=0.5)
    more = Examples(inputs=np.vstack([examples.inputs, np.full((1, task.inputs), wild, np.float32)]),
                    labels=np.append(examples.labels, 1))  # fmt: skip
    without, with_it = (train(plan, task, some_weights(task), e, CipherStream(KEY)) for e in (examples, more))
    assert np.isfinite(with_it).all()
    assert np.linalg.norm(with_it - without) <= 0.5 * (1 + 1e-4)


@every_kind
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38], ids=str)
def test_weights_that_overflow_tell_of_no_row(task: Task, value: float) -> None:
    """The coordinator chooses the weights: whatever it sends, the sum of the gradients is bounded."""
    weights, examples = some_weights(task), examples_of(task, 20)
    weights[: size(task) - 1 : 3] = value
    network = Network(task, weights)
    with np.errstate(all="ignore"):
        total = network.clipped_sum(examples.inputs, examples.labels, np.arange(20), 1.0)
    assert np.linalg.norm(total) <= 20 * (1 + 1e-4)
    update = train(plan_of(task), task, weights, examples, CipherStream(KEY))
    assert np.isfinite(update).all()


@every_kind
def test_an_example_that_overflows_counts_as_zero(task: Task) -> None:
    """Beside it, the others count as if it were not there."""
    examples = examples_of(task, 8)
    inputs = np.insert(examples.inputs, 3, np.full(task.inputs, np.nan, np.float32), axis=0)
    labels = np.insert(examples.labels, 3, 1)
    network = Network(task, some_weights(task))
    expected = network.clipped_sum(examples.inputs, examples.labels, np.arange(8), 1.0).copy()
    with np.errstate(all="ignore"):
        found = network.clipped_sum(inputs, labels, np.arange(9), 1.0)
    assert np.abs(found - expected).max() < 1e-6


@every_kind
def test_noise_alone_is_what_no_examples_give(task: Task) -> None:
    """To the bit, whatever the weights: a device that cannot read its rows looks like one that has none."""
    plan = plan_of(task)
    alone = noise_only(plan, task, CipherStream(KEY))
    for weights in (some_weights(task), np.full(size(task), 1e3, np.float32)):
        assert np.array_equal(train(plan, task, weights, no_examples(task), CipherStream(KEY)), alone)


def test_noise_has_the_stated_size() -> None:
    task = small_task(architecture=Architecture(kind="mlp", hidden=(64, 32)))
    plan = plan_of(task, steps=16, noise_multiplier=2.0, max_grad_norm=0.7)
    expected = 2.0 * 0.7 * plan.learning_rate / plan.normalizer * np.sqrt(16)
    assert np.std(noise_only(plan, task, CipherStream(KEY))) == pytest.approx(expected, rel=0.05)


@every_kind
def test_an_empty_sample_still_takes_its_step(task: Task) -> None:
    plan, examples = plan_of(task, sample_rate=1e-9), examples_of(task, 100)
    stream, twin = CipherStream(KEY), CipherStream(KEY)
    update = train(plan, task, some_weights(task), examples, stream)
    expected = np.zeros(size(task))
    for _ in range(plan.steps):
        assert len(twin.poisson_sample(100, 1e-9)) == 0
        expected -= twin.normals(size(task)) * plan.learning_rate / plan.normalizer
    assert np.abs(update - expected).max() < 1e-6


def test_a_sample_is_drawn_row_by_row() -> None:
    """Ten rows at a rate of 0.04 would be none at all, were the rate rounded from 0.4 rows."""
    task = small_task()
    row = examples_of(task, 1)
    plan = plan_of(task, steps=400, sample_rate=0.04, learning_rate=1e-6, normalizer=1.0, noise_multiplier=1e-12)
    examples = Examples(inputs=np.tile(row.inputs, (10, 1)), labels=np.tile(row.labels, 10))
    single = train(one_full_step(task, learning_rate=1e-6), task, some_weights(task), row, CipherStream(KEY))
    update, twin, drawn = train(plan, task, some_weights(task), examples, CipherStream(KEY)), CipherStream(KEY), 0
    for _ in range(400):
        drawn += len(twin.poisson_sample(10, 0.04))
        twin.normals(size(task))
    assert 110 < drawn < 210
    assert np.linalg.norm(update) / np.linalg.norm(single) == pytest.approx(drawn, rel=1e-3)


def test_the_denominator_is_public() -> None:
    task = small_task()
    once = examples_of(task, 100)
    twice = Examples(inputs=np.tile(once.inputs, (2, 1)), labels=np.tile(once.labels, 2))
    single, double = (train(one_full_step(task), task, some_weights(task), e, CipherStream(KEY)) for e in (once, twice))
    assert np.allclose(double, 2 * single, rtol=1e-4)


def test_keys_that_agree_in_32_bits_give_different_noise() -> None:
    task, one, other = small_task(), (7).to_bytes(32, "little"), (7 + 2**32).to_bytes(32, "little")
    first, second = (noise_only(plan_of(task), task, CipherStream(key)) for key in (one, other))
    assert np.abs(first - second).min() > 0


def test_an_update_is_clipped_as_a_whole() -> None:
    task = small_task()
    for update in (
        train(
            one_full_step(task, max_update_norm=0.3), task, some_weights(task), examples_of(task, 50), CipherStream(KEY)
        ),
        noise_only(plan_of(task, max_update_norm=0.3, noise_multiplier=50.0), task, CipherStream(KEY)),
    ):
        assert np.linalg.norm(update) == pytest.approx(0.3, rel=1e-5)
    small = np.full(4, 0.1, np.float32)
    assert clip(small, 2.0) is small


def test_the_weights_stay_as_they_were() -> None:
    task = TASKS["cnn"]
    weights = some_weights(task)
    before = weights.copy()
    train(plan_of(task), task, weights, examples_of(task, 60), CipherStream(KEY))
    assert np.array_equal(weights, before)


def test_it_learns() -> None:
    """Stripes are told apart after a few hundred noisy steps."""
    task = image_task(channels=(6, 8), hidden=(16,))
    plan = plan_of(task, steps=300, sample_rate=0.1, normalizer=60.0, learning_rate=1.0, noise_multiplier=1.0)
    weights = initial_weights(task)
    weights += train(plan, task, weights, stripes(task, 600), CipherStream(KEY))
    assert np.mean(answers(task, weights, stripes(task, 400, seed=1))) > 0.8


def answers(task: Task, weights: np.ndarray, examples: Examples) -> np.ndarray:
    """Whether each answer is right."""
    import torch

    from shared.network import build, load

    network = build(task)
    load(network, weights, task)
    with torch.no_grad():
        return network(torch.from_numpy(examples.inputs)).argmax(dim=1).numpy() == examples.labels


def test_no_heavy_library_is_on_its_way() -> None:
    script = """
import sys
import numpy as np
from client.light import noise_only, train
from shared.noise import system_stream
from client.inputs import no_examples
from shared.architecture import initial_weights
from shared.rounds import RoundPlan
from shared.tasks import Window, read_task
from pathlib import Path
task = read_task(Path("tasks/flights.toml"))
plan = RoundPlan(run_id=1, number=1, task=task.name, revision=1, base_version=1, window=Window(), sample_rate=0.1,
    steps=2, normalizer=1.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=1.0)
train(plan, task, initial_weights(task), no_examples(task), system_stream())
noise_only(plan, task, system_stream())
print(sorted({"torch", "opacus", "scipy", "flwr", "onnx", "onnxruntime", "tuf"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
