"""DP-SGD as Opacus and the cipher stream do it: noise of the stated size, a public denominator, empty samples."""

from dataclasses import replace

import numpy as np
import pytest
from machines import machine_rows, small_task

from client.inputs import Examples, no_examples
from client.training import clip, train
from shared.architecture import initial_weights, size, split
from shared.features import encode_columns
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Task, Window


def plan_of(task: Task, **changes: object) -> RoundPlan:
    t = task.training
    plan = RoundPlan(
        run_id=1, number=1, task=task.name, revision=1, base_version=1, window=Window(), sample_rate=t.sample_rate,
        steps=t.steps, normalizer=t.normalizer, learning_rate=t.learning_rate, max_grad_norm=t.max_grad_norm,
        noise_multiplier=t.noise_multiplier, max_update_norm=t.max_update_norm,
    )  # fmt: skip
    return replace(plan, **changes)


def examples_of(task: Task, rows: int) -> Examples:
    frame = machine_rows(rows)
    columns = {name: frame[name].to_numpy() for name in (*task.numbers, *task.texts)}
    return Examples(inputs=encode_columns(task.features, columns), labels=frame["stops"].to_numpy().astype(np.int64))


def reference_update(plan: RoundPlan, task: Task, examples: Examples, stream: CipherStream) -> np.ndarray:
    """DP-SGD of a linear network written out in float64, with the same samples and the same noise."""
    weights = initial_weights(task).astype(np.float64)
    for _ in range(plan.steps):
        matrix, bias = split(weights, task)
        sample = stream.poisson_sample(len(examples.labels), plan.sample_rate)
        inputs = examples.inputs[sample].astype(np.float64)
        logits = inputs @ matrix.T + bias
        wrong = np.exp(logits - logits.max(1, keepdims=True))
        wrong = wrong / wrong.sum(1, keepdims=True) - np.eye(matrix.shape[0])[examples.labels[sample]]
        norms = np.linalg.norm(wrong, axis=1) * np.sqrt((inputs**2).sum(1) + 1)
        wrong *= np.minimum(1, plan.max_grad_norm / np.maximum(norms, 1e-12))[:, None]
        total = np.concatenate([(wrong.T @ inputs).ravel(), wrong.sum(0)])
        scale = plan.noise_multiplier * plan.max_grad_norm
        noise = np.concatenate([stream.normals(part.size) * scale for part in (matrix, bias)])
        weights -= plan.learning_rate / plan.normalizer * (total + noise)
    return weights - initial_weights(task)


@pytest.mark.parametrize("noise", [1e-9, 1.0])
def test_opacus_trains_as_the_arithmetic_says(noise: float) -> None:
    task, key = small_task(), bytes(range(32))
    plan, examples = plan_of(task, noise_multiplier=noise, steps=8), examples_of(task, 300)
    update = train(plan, task, initial_weights(task), examples, CipherStream(key))
    assert np.abs(update - reference_update(plan, task, examples, CipherStream(key))).max() < 1e-5


def test_a_device_without_rows_returns_noise_of_the_stated_size() -> None:
    task = small_task(architecture=Architecture(kind="mlp", hidden=(64,)))
    plan = plan_of(task, steps=16, noise_multiplier=2.0, max_update_norm=1e6)
    update = train(plan, task, initial_weights(task), no_examples(task), CipherStream(bytes(32)))
    expected = 2.0 * plan.max_grad_norm * plan.learning_rate / plan.normalizer * np.sqrt(plan.steps)
    assert update.shape == (size(task),)
    assert np.std(update) == pytest.approx(expected, rel=0.2)


def test_the_denominator_is_public() -> None:
    """The same rows twice give twice the noiseless update: nothing is divided by how many rows there are."""
    task = small_task()
    once = examples_of(task, 100)
    twice = Examples(inputs=np.tile(once.inputs, (2, 1)), labels=np.tile(once.labels, 2))
    plan = plan_of(task, sample_rate=1.0, steps=1, noise_multiplier=1e-9)
    single, double = (train(plan, task, initial_weights(task), e, CipherStream(bytes(32))) for e in (once, twice))
    assert np.allclose(double, 2 * single, atol=1e-6)


def test_one_example_moves_the_sum_by_at_most_the_clip() -> None:
    task = small_task()
    examples = examples_of(task, 50)
    wild = Examples(inputs=np.vstack([examples.inputs, np.full((1, task.inputs), 50.0, np.float32)]),
                    labels=np.append(examples.labels, 1))  # fmt: skip
    plan = plan_of(task, sample_rate=1.0, steps=1, noise_multiplier=1e-9, normalizer=1.0, learning_rate=1.0)
    plan = replace(plan, max_update_norm=1e6)
    without, with_it = (train(plan, task, initial_weights(task), e, CipherStream(bytes(32))) for e in (examples, wild))
    assert np.linalg.norm(with_it - without) <= plan.max_grad_norm * (1 + 1e-4)


def test_an_update_is_clipped_as_a_whole() -> None:
    assert np.linalg.norm(clip(np.full(100, 3.0, np.float32), 2.0)) == pytest.approx(2.0, rel=1e-5)
    small = np.full(4, 0.1, np.float32)
    assert clip(small, 2.0) is small
