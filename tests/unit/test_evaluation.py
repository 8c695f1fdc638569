"""What a version is worth: against slow and plain ways to count the same, and against PyTorch."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from machines import small_task

from client.inputs import Examples
from client.light import network as light
from shared.architecture import initial_weights, size
from shared.errors import InputError
from shared.features import Number
from shared.images import Image
from shared.network import build, load
from shared.tasks import Architecture, Classes, Task, Window
from simulations import alone, evaluation
from simulations.baselines import baselines, central, local_only
from simulations.evaluation import auc, auc_of, evaluate, figures, group_rows, log_losses, logits, measure
from simulations.fleet.population import Group, Packed, Rows, pack
from simulations.pooled import trainings

JANUARY, FEBRUARY = Window(start="2026-01-01", end="2026-02-01"), Window(start="2026-02-01", end="2026-03-01")
DAY = 86_400_000_000
START = 1_767_225_600_000_000
"""2026-01-01 in microseconds."""


def image_task() -> Task:
    return small_task(
        features=tuple(Number(name=f"px{i}", low=0.0, high=1.0, missing=0.0) for i in range(36)),
        label=Classes(column="what", classes=("a", "b", "c")),
        architecture=Architecture(kind="cnn", hidden=(5,), image=Image(height=6, width=6, channels=(4, 3))),
    )


TASKS = {
    "linear": small_task(),
    "mlp": small_task(architecture=Architecture(kind="mlp", hidden=(7, 5))),
    "cnn": image_task(),
}


def random_weights(task: Task, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size(task)).astype(np.float32)


def fleet(tmp_path: Path, task: Task, counts: tuple[int, ...] = (5, 0, 17, 40, 1), *, seed: int = 0) -> Packed:
    """Devices with rows of January and February, by time within each, and a column of groups of which one has no rows."""
    random = np.random.default_rng(seed)
    rows = sum(counts)
    times = [np.sort(random.integers(START, START + 59 * DAY, count)) for count in counts]
    pack(
        tmp_path,
        Rows(
            names=tuple(f"d{i}" for i in range(len(counts))),
            offsets=np.cumsum([0, *counts]),
            inputs=random.normal(size=(rows, task.inputs)).astype(np.float32),
            labels=random.integers(0, len(task.label.classes), rows),
            times=np.concatenate(times),
            groups={"carrier": Group(words=("UA", "none", "B6"), codes=random.choice([0, 2], rows).astype(np.int16))},
        ),
    )
    return Packed(tmp_path)


def naive_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    pairs = list(product(scores[positive], scores[~positive]))
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(6))
def test_auc_counts_pairs_and_ties_half(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 6, 60).astype(np.float32)
    positive = random.random(60) < 0.3
    assert auc(scores, positive) == pytest.approx(naive_auc(scores, positive), abs=1e-12)


def test_auc_is_none_of_one_class_and_of_what_is_no_number() -> None:
    assert auc(np.zeros(3), np.array([True, True, True])) is None
    assert auc(np.zeros(3), np.array([False, False, False])) is None
    assert auc(np.array([0.0, np.nan]), np.array([True, False])) is None


def test_auc_of_several_classes_is_the_mean_of_each_against_the_rest() -> None:
    random = np.random.default_rng(3)
    scores = random.normal(size=(50, 4)).astype(np.float32)
    labels = random.integers(0, 3, 50)  # nobody has the fourth class, which is left out
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    each = [naive_auc(chances[:, one].astype(np.float64), labels == one) for one in range(3)]
    assert auc_of(scores, labels) == pytest.approx(np.mean(each), abs=1e-3)


@pytest.mark.parametrize("kind", TASKS)
def test_logits_and_losses_are_those_of_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "CHUNK", 7)
    monkeypatch.setattr(evaluation, "IMAGES", 7)
    task, random = TASKS[kind], np.random.default_rng(0)
    weights, inputs = random_weights(task), random.normal(size=(30, task.inputs)).astype(np.float32)
    labels = random.integers(0, len(task.label.classes), 30)
    network = build(task)
    load(network, weights, task)
    with torch.no_grad():
        expected = network(torch.from_numpy(inputs))
        losses = torch.nn.functional.cross_entropy(expected, torch.from_numpy(labels), reduction="none")
    found = logits(task, weights, lambda part: inputs[part], 30)
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(log_losses(found, labels), losses.numpy(), rtol=2e-5, atol=2e-5)


def test_a_network_without_layers_of_its_own_goes_through_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    task, inputs = TASKS["mlp"], np.random.default_rng(0).normal(size=(9, TASKS["mlp"].inputs)).astype(np.float32)
    weights = random_weights(task)
    expected = logits(task, weights, lambda part: inputs[part], 9)
    monkeypatch.delitem(light.LAYERS, "mlp")
    np.testing.assert_allclose(logits(task, weights, lambda part: inputs[part], 9), expected, rtol=2e-5, atol=2e-5)


def test_a_loss_of_enormous_logits_is_finite() -> None:
    scores = np.array([[1e30, -1e30], [88.0, 5000.0]], np.float32)
    found = log_losses(scores, np.array([0, 1]))
    np.testing.assert_allclose(found, [0.0, 0.0])


@pytest.mark.parametrize("window", [Window(), JANUARY, FEBRUARY, Window(start="2026-02-14")])
def test_each_devices_figures_are_those_of_its_own_rows(tmp_path: Path, window: Window) -> None:
    task = TASKS["mlp"]
    population, weights = fleet(tmp_path, task), random_weights(TASKS["mlp"])
    found = evaluate(task, weights, population, window)
    chosen = []
    for device in range(len(population)):
        rows = population.rows(device, window)
        chosen += range(rows.start, rows.stop)
        own = measure(task, weights, population.examples(device, window))
        assert found.devices.rows[device] == own.rows
        np.testing.assert_allclose(found.devices.loss[device], own.loss)
        np.testing.assert_allclose(found.devices.accuracy[device], own.accuracy)
    assert found.chosen.tolist() == chosen
    heap = Examples(inputs=population.inputs[found.chosen], labels=population.labels[found.chosen])
    assert found.total == measure(task, weights, heap)


def test_a_window_without_rows_has_no_figures(tmp_path: Path) -> None:
    task = TASKS["linear"]
    found = evaluate(task, random_weights(task), fleet(tmp_path, task), Window(start="2030-01-01"))
    assert found.total.rows == 0
    assert found.total.auc is None
    assert np.isnan(found.total.loss)
    assert not found.devices.worst().any()


def test_groups_are_compared_on_the_same_rows(tmp_path: Path) -> None:
    task = TASKS["linear"]
    population = fleet(tmp_path, task)
    before, after = (evaluate(task, random_weights(task, seed), population, JANUARY) for seed in (1, 2))
    rows = {(row.column, row.group): row for row in group_rows(7, population, before, after)}
    assert ("carrier", "none") not in rows, "a group without rows has no figures"
    for code, word in ((0, "UA"), (2, "B6")):
        inside = population.groups["carrier"].codes[before.chosen] == code
        row = rows["carrier", word]
        assert (row.seed, row.rows) == (7, inside.sum())
        assert row.loss_before == pytest.approx(before.losses[inside].mean())
        assert row.loss_after == pytest.approx(after.losses[inside].mean())
        assert row.auc == auc_of(after.scores[inside], after.labels[inside])
    assert rows["devices", "all"].loss_after == pytest.approx(after.total.loss)
    assert rows["devices", "worst 10 %"].loss_after >= rows["devices", "all"].loss_after


def test_the_worst_tenth_are_devices_with_rows_and_the_highest_losses(tmp_path: Path) -> None:
    task = TASKS["linear"]
    found = evaluate(task, random_weights(task), fleet(tmp_path, task, counts=(2,) * 20 + (0,) * 20), Window())
    worst = found.devices.worst()
    assert worst.sum() == 2
    assert found.devices.loss[worst].min() >= np.nanmax(found.devices.loss[~worst])


@pytest.mark.parametrize(("settled", "near"), [(alone.SETTLED, 0.1), (1e-6, 1e-3)])
def test_a_device_alone_finds_the_best_linear_network(
    monkeypatch: pytest.MonkeyPatch, settled: float, near: float
) -> None:
    monkeypatch.setattr(alone, "SETTLED", settled)
    monkeypatch.setattr(alone, "STEPS", 1000)
    random = np.random.default_rng(0)
    counts, ridges = (60, 25), (0.5, 8.0)
    inputs, labels = np.zeros((2, 60, 4), np.float32), np.zeros((2, 60), np.int64)
    for device, count in enumerate(counts):
        inputs[device, :count] = random.normal(size=(count, 4))
        labels[device, :count] = random.integers(0, 3, count)
    found = alone.fit(inputs, labels, np.array(counts), classes=3, ridges=ridges)
    for (device, count), (place, ridge) in product(enumerate(counts), enumerate(ridges)):
        rows = torch.from_numpy(np.hstack([inputs[device, :count], np.ones((count, 1), np.float32)])).double()
        weights = torch.from_numpy(found[device, place]).double().requires_grad_()
        loss = torch.nn.functional.cross_entropy(
            rows @ weights, torch.from_numpy(labels[device, :count]), reduction="sum"
        )
        (loss + ridge / 2 * (weights**2).sum()).backward()
        assert weights.grad is not None
        # The price is strongly convex: its slope bounds how far the best weights are.
        assert float(weights.grad.norm()) / ridge < near
        assert float(weights.detach().norm()) > 0.1


def contrary(tmp_path: Path) -> Packed:
    """Devices half of which learn the opposite of what the others do: one network for all can only guess."""
    random = np.random.default_rng(0)
    devices, each = 10, 60
    inputs = random.normal(size=(devices * each, 4)).astype(np.float32)
    owner = np.repeat(np.arange(devices), each)
    pack(
        tmp_path,
        Rows(
            names=tuple(map(str, range(devices))), offsets=np.arange(0, devices * each + 1, each), inputs=inputs,
            labels=((inputs[:, 0] > 0) ^ (owner % 2 == 1)).astype(np.int64),
            times=np.tile(START + np.arange(each) * DAY, devices).astype(np.int64), groups={},
        ),
    )  # fmt: skip
    return Packed(tmp_path)


def test_devices_alone_beat_the_heap_where_they_contradict_each_other(tmp_path: Path) -> None:
    task = replace(small_task(), features=tuple(Number(name=f"n{i}", low=0.0, high=1.0, missing=0.0) for i in range(4)))
    said = list[str]()
    found = baselines(task, contrary(tmp_path), train=JANUARY, test=FEBRUARY, seeds=2, say=said.append)
    assert found.central is not None
    assert found.local is not None
    assert found.local.auc > 0.9
    assert found.central.auc < 0.75
    assert len(said) == 2


def test_a_heap_of_one_mind_is_learned() -> None:
    task, random = small_task(), np.random.default_rng(1)
    inputs = random.normal(size=(400, task.inputs)).astype(np.float32)
    heap = Examples(inputs=inputs, labels=(inputs[:, 0] + inputs[:, 1] > 0).astype(np.int64))
    found = central(task, heap, heap, seeds=2, epochs=60)
    assert found.auc > 0.97
    assert "of the best of 2 seeds" in found.about


def test_a_network_of_another_kind_is_tried_too() -> None:
    task, random = image_task(), np.random.default_rng(1)
    inputs = random.random((60, 36)).astype(np.float32)
    heap = Examples(inputs=inputs, labels=random.integers(0, 3, 60))
    tried = {name: [each.shape for each in scores] for name, scores in trainings(task, heap, heap, seeds=1, epochs=1)}
    assert tried == {"linear": [(60, 3)], "mlp": [(60, 3)], "cnn": [(60, 3)]}


def test_a_device_without_rows_to_learn_from_guesses(tmp_path: Path) -> None:
    task = small_task()
    population = fleet(tmp_path, task, counts=(30,))
    found = local_only(task, population, train=Window(end="2020-01-01"), test=Window())
    assert found.loss == pytest.approx(np.log(2))
    assert found.auc == 0.5


def test_many_devices_are_sampled_and_it_says_so(tmp_path: Path) -> None:
    task = small_task()
    found = local_only(task, fleet(tmp_path, task, counts=(8,) * 12), train=JANUARY, test=FEBRUARY, most=5)
    assert found.about.endswith("; 5 of 12 devices stand for all")


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_window_without_rows_is_refused_by_name(tmp_path: Path, name: str) -> None:
    task = small_task()
    windows = {"train": JANUARY, "test": FEBRUARY} | {name: Window(start="2030-01-01")}
    with pytest.raises(InputError, match="2030-01-01"):
        baselines(task, fleet(tmp_path, task), **windows)


def test_no_device_to_judge_is_refused(tmp_path: Path) -> None:
    task = small_task()
    with pytest.raises(InputError, match="2030-01-01"):
        local_only(task, fleet(tmp_path, task), train=JANUARY, test=Window(start="2030-01-01"))


def test_the_first_weights_of_a_linear_network_guess(tmp_path: Path) -> None:
    task = small_task()
    found = evaluate(task, initial_weights(task), fleet(tmp_path, task), Window())
    assert found.total.auc == 0.5
    assert found.total.loss == pytest.approx(np.log(2))
    assert figures(found.scores, found.labels) == found.total
