"""Which rows the model would be better without: a report for the device's owner that never leaves the device.

The last layer is fitted anew on the device's rows over what the layers before it make of them. The influence of a row
on the loss of held-out rows is then its gradient against theirs through the inverse Hessian (Koh & Liang, 2017,
"Understanding Black-box Predictions via Influence Functions"). It is a first-order guess, so it is verified: the
layer is fitted again without the rows that were named, and other held-out rows judge. The newest rows are held out:
older ones that are worse than none are those that no longer tell what comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.contract import WHEN
from client.datafiles import ROW
from client.dataset import columns_and_labels, judged, kept
from shared.architecture import split
from shared.errors import InputError
from shared.features import encode_columns
from shared.revisions import UNKNOWN
from shared.tasks import Task, Window

MOST_ROWS = 50_000
"""Rows that are looked at; of more, the first."""

FEWEST_ROWS = 100
SHARES = (0.01, 0.02, 0.05, 0.1)
"""Parts of the training rows that are tried as the rows to leave out."""

RIDGE = 1e-3
NEWTON_STEPS = 25

Floats = NDArray[np.float64]
Places = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usefulness:
    """Held-out loss with all `rows` and without the `named` ones, each a file and its row, the worst first.

    None are named where leaving rows out does not help.
    """

    rows: int
    before: float
    after: float
    named: Places


def usefulness(path: Path, task: Task, window: Window, weights: NDArray[np.float32]) -> Usefulness:
    """Name the rows of a window whose removal helps; `weights` are a model's, shape `(size,)`.

    Raises `InputError` for too few labelled rows or a network whose layers are not known here.
    """
    inputs, labels, moments, places = _gather(path, task, window)
    if len(labels) < FEWEST_ROWS:
        raise InputError(f"{len(labels)} labelled rows are too few to tell useful ones; {FEWEST_ROWS} are needed")
    hidden = _hidden(task, weights, inputs)
    train, choose, judge = _split(moments)
    classes = len(task.label.classes)
    full = _fit(hidden[train], labels[train], classes)
    worst = train[np.argsort(_influence(full, hidden, labels, train, choose))]
    left_out = _best_share(hidden, labels, classes, train, choose, worst)
    before = _loss(full, hidden[judge], labels[judge])
    after = _loss(_fit_without(hidden, labels, classes, train, left_out), hidden[judge], labels[judge])
    named = tuple(places[row] for row in left_out) if after < before else ()
    return Usefulness(rows=len(labels), before=before, after=after if named else before, named=named)


def _gather(
    path: Path, task: Task, window: Window
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], list[tuple[str, int]]]:
    """Encoded inputs, labels, timestamps and places of the labelled rows."""
    inputs: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int64]] = []
    moments: list[NDArray[np.int64]] = []
    places: list[tuple[str, int]] = []
    for batch in judged(path, task):
        frame = kept(batch.located(), task, window, ROW, WHEN)
        columns, known = columns_and_labels(frame, task)
        has = known != UNKNOWN
        inputs.append(encode_columns(task.features, {name: column[has] for name, column in columns.items()}))
        labels.append(known[has])
        moments.append(frame[WHEN].to_physical().fill_null(0).to_numpy()[has])
        places += [(batch.file.name, row) for row in frame[ROW].to_numpy()[has].tolist()]
        if len(places) >= MOST_ROWS:
            break
    most = slice(MOST_ROWS)
    return np.concatenate(inputs)[most], np.concatenate(labels)[most], np.concatenate(moments)[most], places[most]


def _split(moments: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The older three fifths to fit; the newer two, which are what a model is for, to choose by and to judge by."""
    order = np.argsort(moments, kind="stable")
    older, newer = np.split(order, [len(order) * 3 // 5])
    choose, judge = np.array_split(np.random.default_rng(0).permutation(newer), 2)
    return older, choose, judge


def _hidden(task: Task, weights: NDArray[np.float32], inputs: NDArray[np.float32]) -> Floats:
    """What the layers before the last make of the inputs, with a column of ones for the bias."""
    if task.architecture.kind not in ("linear", "mlp"):
        raise InputError(f"usefulness is not known for a network of kind {task.architecture.kind!r}")
    values = inputs.astype(np.float64)
    for weight, bias in list(_layers(task, weights))[:-1]:
        values = np.tanh(values @ weight.T + bias)
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)


def _layers(task: Task, weights: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    parameters = iter(split(weights, task))
    return zip(parameters, parameters, strict=True)


def _fit(hidden: Floats, labels: NDArray[np.int64], classes: int) -> Floats:
    """Fit multinomial logistic regression by Newton's method; shape `(classes, width)`."""
    layer = np.zeros((classes, hidden.shape[1]))
    for _ in range(NEWTON_STEPS):
        step = np.linalg.solve(_hessian(layer, hidden), _gradient(layer, hidden, labels).ravel())
        layer -= step.reshape(layer.shape)
        if np.abs(step).max() < 1e-8:
            break
    return layer


def _fit_without(
    hidden: Floats, labels: NDArray[np.int64], classes: int, train: NDArray[np.int64], left_out: NDArray[np.int64]
) -> Floats:
    rest = np.setdiff1d(train, left_out)
    return _fit(hidden[rest], labels[rest], classes)


def _probabilities(layer: Floats, hidden: Floats) -> Floats:
    logits = hidden @ layer.T
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _errors(layer: Floats, hidden: Floats, labels: NDArray[np.int64]) -> Floats:
    return _probabilities(layer, hidden) - np.eye(len(layer))[labels]


def _gradient(layer: Floats, hidden: Floats, labels: NDArray[np.int64]) -> Floats:
    return _errors(layer, hidden, labels).T @ hidden / len(hidden) + RIDGE * layer


def _hessian(layer: Floats, hidden: Floats) -> Floats:
    """Of the mean loss and its ridge, shape `(classes * width, classes * width)`."""
    chances = _probabilities(layer, hidden)
    classes, width = layer.shape
    found = RIDGE * np.eye(classes * width)
    for a in range(classes):
        for b in range(classes):
            weight = chances[:, a] * ((a == b) - chances[:, b])
            block = (hidden * weight[:, None]).T @ hidden / len(hidden)
            found[a * width : (a + 1) * width, b * width : (b + 1) * width] += block
    return found


def _influence(
    layer: Floats, hidden: Floats, labels: NDArray[np.int64], train: NDArray[np.int64], choose: NDArray[np.int64]
) -> Floats:
    """How the held-out loss would change without each training row, up to a factor; negative where that helps."""
    against = _errors(layer, hidden[choose], labels[choose]).T @ hidden[choose] / len(choose)
    direction = np.linalg.solve(_hessian(layer, hidden[train]), against.ravel()).reshape(layer.shape)
    return np.einsum(
        "nc,cw,nw->n", _errors(layer, hidden[train], labels[train]), direction, hidden[train], optimize=True
    )


def _best_share(
    hidden: Floats, labels: NDArray[np.int64], classes: int, train: NDArray[np.int64], choose: NDArray[np.int64],
    worst: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """As many of the worst rows as help most when the layer is fitted without them."""
    tried = [worst[: max(1, int(share * len(worst)))] for share in SHARES]
    losses = [
        _loss(_fit_without(hidden, labels, classes, train, rows), hidden[choose], labels[choose]) for rows in tried
    ]
    return tried[int(np.argmin(losses))]


def _loss(layer: Floats, hidden: Floats, labels: NDArray[np.int64]) -> float:
    chances = _probabilities(layer, hidden)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chances, 1e-12)).mean())
