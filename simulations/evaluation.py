"""What a version's predictions are worth on held-out rows: over all, for each device, and for each group of rows.

Only a rehearsal may look like this: it holds every device's rows. In deployment the same comes as charged counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from client.light.layers import Array
from client.light.network import LAYERS, is_known
from shared.tasks import Task, Window
from simulations.fleet.population import Packed, moment
from simulations.report.tables import GroupRow

CHUNK, IMAGES = 2048, 64
"""How many rows, and how many images, pass through a network at a time: its memory stays near the processor."""

WORST = 0.1
"""The share of devices that are looked at as those who fare worst."""

DEVICES, WORST_DEVICES, ALL_DEVICES = "devices", "worst 10 %", "all"
"""How the groups table calls the devices who fare worst, and all of them."""

Logits = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one heap of rows: AUC (None where it holds one class only), mean log loss in nats, share predicted rightly."""

    rows: int
    auc: float | None
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Each device's own test rows, arrays of shape `(devices,)`: how many, their mean loss and accuracy, NaN for none."""

    rows: NDArray[np.int64]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    def worst(self) -> NDArray[np.bool_]:
        """The tenth of the devices with test rows (at least one) whose own mean loss is highest."""
        count = int(np.ceil(WORST * np.count_nonzero(self.rows)))
        order = np.argsort(np.where(self.rows > 0, -self.loss, np.inf), kind="stable")
        chosen = np.zeros(len(self.rows), np.bool_)
        chosen[order[:count]] = True
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One version on the rows of a window, over all of them (`total`) and device by device.

    `chosen` says which rows of the population those are, shape `(rows,)`; `owner` is each one's device, `labels`
    its class, `scores` `(rows, classes)` its logits, `losses` its log loss.
    """

    total: Figures
    devices: Devices
    chosen: Rows
    owner: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: Logits
    losses: NDArray[np.float64]


def evaluate(task: Task, weights: NDArray[np.float32], population: Packed, window: Window) -> Evaluation:
    """Evaluate weights of shape `(size,)` on all rows that the population holds of a window."""
    chosen = held(population, window)
    labels = np.asarray(population.labels[chosen])
    owner = np.searchsorted(population.offsets, chosen, side="right") - 1
    return of_scores(
        logits(task, weights, lambda part: population.inputs[chosen[part]], len(chosen)), labels,
        chosen=chosen, owner=owner, count=len(population),
    )  # fmt: skip


def of_scores(
    scores: Logits, labels: NDArray[np.int64], *, chosen: Rows, owner: NDArray[np.int64], count: int
) -> Evaluation:
    """Evaluate logits `(rows, classes)` of rows that belong to `owner` among `count` devices."""
    losses = log_losses(scores, labels)
    hits = scores.argmax(axis=1) == labels
    rows = np.bincount(owner, minlength=count)
    return Evaluation(
        total=_figures(scores, labels, losses, hits), chosen=chosen, owner=owner, labels=labels, scores=scores,
        losses=losses, devices=Devices(rows=rows, loss=_means(owner, losses, rows), accuracy=_means(owner, hits, rows)),
    )  # fmt: skip


def measure(task: Task, weights: NDArray[np.float32], examples: Examples) -> Figures:
    """Evaluate weights of shape `(size,)` on one heap of rows."""
    scores = logits(task, weights, lambda part: examples.inputs[part], len(examples.labels))
    return figures(scores, examples.labels)


def figures(scores: Logits, labels: NDArray[np.int64]) -> Figures:
    """Sum up logits `(rows, classes)` against labels `(rows,)`."""
    return _figures(scores, labels, log_losses(scores, labels), scores.argmax(axis=1) == labels)


def held(population: Packed, window: Window) -> Rows:
    """The rows that all devices hold of a window: those of `Packed.rows` of each device, in their order."""
    times = population.times
    inside = np.ones(len(times), np.bool_)
    if window.start:
        inside &= times >= moment(window.start)
    if window.end:
        inside &= times < moment(window.end)
    return np.flatnonzero(inside)


def logits(task: Task, weights: NDArray[np.float32], inputs: Callable[[slice], Array], rows: int) -> Logits:
    """What the task's network answers to `rows` inputs, shape `(rows, classes)`; `inputs` gives some of them at a time."""
    at_once = IMAGES if task.architecture.image else CHUNK
    network = _network(task, weights, at_once)
    answers = np.empty((rows, len(task.label.classes)), np.float32)
    for start in range(0, rows, at_once):
        part = slice(start, min(start + at_once, rows))
        answers[part] = network(inputs(part))
    return answers


def log_losses(scores: Logits, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row's cross-entropy in nats, shape `(rows,)`, with the largest logit taken out so that nothing overflows."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    own = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
    total = np.exp(shifted).sum(axis=1, dtype=np.float64)
    return np.log(total) - own


def auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve, ties counted half (Mann & Whitney, 1947); both `(rows,)`. None where one class is missing."""
    above, below = scores[positive], np.sort(scores[~positive])
    if not (len(above) and len(below) and np.isfinite(scores).all()):
        return None
    beaten = np.searchsorted(below, above, side="left").sum() + np.searchsorted(below, above, side="right").sum()
    return float(beaten / (2 * len(above) * len(below)))


def auc_of(scores: Logits, labels: NDArray[np.int64]) -> float | None:
    """AUC of logits `(rows, classes)`: of the second of two classes, else the mean of each class against the rest.

    Classes that no row has are left out of the mean. A class's score against the rest is its log-odds.
    """
    classes = scores.shape[1]
    if classes == 2:
        return auc(scores[:, 1] - scores[:, 0], labels == 1)
    found = [auc(_against_rest(scores, one), labels == one) for one in range(classes)]
    kept = [one for one in found if one is not None]
    return float(np.mean(kept)) if kept else None


def group_rows(seed: int, population: Packed, before: Evaluation, after: Evaluation) -> Iterator[GroupRow]:
    """Compare two versions on the same rows, group by group, and for the devices that fare worst with each.

    The worst devices are chosen anew for each version, so that both losses are of who is badly off then.
    """
    for column, group in population.groups.items():
        codes = group.codes[after.chosen]
        for code, word in enumerate(group.words):
            inside = codes == code
            if inside.any():
                yield _group(seed, column, word, before, after, (inside, inside))
    worst = (before.devices.worst()[before.owner], after.devices.worst()[after.owner])
    everyone = np.ones(len(after.labels), np.bool_)
    if len(everyone):
        yield _group(seed, DEVICES, WORST_DEVICES, before, after, worst)
        yield _group(seed, DEVICES, ALL_DEVICES, before, after, (everyone, everyone))


def _group(
    seed: int, column: str, word: str, before: Evaluation, after: Evaluation,
    inside: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> GroupRow:  # fmt: skip
    then, now = inside
    return GroupRow(
        seed=seed, column=column, group=word, rows=int(now.sum()), auc=auc_of(after.scores[now], after.labels[now]),
        loss_before=float(before.losses[then].mean()), loss_after=float(after.losses[now].mean()),
    )  # fmt: skip


def _figures(
    scores: Logits, labels: NDArray[np.int64], losses: NDArray[np.float64], hits: NDArray[np.bool_]
) -> Figures:
    none = not len(labels)
    return Figures(
        rows=len(labels), auc=None if none else auc_of(scores, labels),
        loss=float("nan") if none else float(losses.mean()), accuracy=float("nan") if none else float(hits.mean()),
    )  # fmt: skip


def _means(owner: NDArray[np.int64], values: NDArray[np.generic], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of each device's values; NaN for a device without any."""
    total = np.bincount(owner, weights=values.astype(np.float64), minlength=len(rows))
    return np.divide(total, rows, out=np.full(len(rows), np.nan), where=rows > 0)


def _against_rest(scores: Logits, one: int) -> NDArray[np.floating]:
    others = np.delete(scores, one, axis=1)
    peak = others.max(axis=1)
    return scores[:, one] - peak - np.log(np.exp(others - peak[:, None]).sum(axis=1))


def _network(task: Task, weights: NDArray[np.float32], rows: int) -> Callable[[Array], Array]:
    """From inputs `(n, task.inputs)` to logits, by the layers that devices train with; PyTorch where there are none.

    What it answers is valid until the next call.
    """
    if not is_known(task):
        return _module(task, weights)
    layers, image = LAYERS[task.architecture.kind](task, weights, rows), task.architecture.image
    form = (image.height, image.width, 1) if image else (task.inputs,)

    def answer(inputs: Array) -> Array:
        values = inputs.reshape(-1, *form)
        for layer in layers:
            values = layer.forward(values)
        return values

    return answer


def _module(task: Task, weights: NDArray[np.float32]) -> Callable[[Array], Array]:
    import torch

    from shared.network import build, load

    network = build(task)
    load(network, weights, task)

    def answer(inputs: Array) -> Array:
        with torch.no_grad():
            return network(torch.from_numpy(np.require(inputs, requirements="W"))).numpy()

    return answer
