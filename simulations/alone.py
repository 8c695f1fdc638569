"""Linear networks that devices fit to their own rows alone, thousands of them side by side in NumPy.

Softmax regression under a ridge, by steps with a curvature that bounds the true one from above, so that every step
helps and one factorisation a device serves all steps (Boehning, 1992, "Multinomial logistic regression algorithm").
"""

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from simulations.evaluation import Logits
from simulations.fleet.population import Packed

STEPS, SETTLED = 50, 2e-3
"""Steps of a fit at most; it ends when no weight moves further than that."""

MEMORY = 2**19
"""How many numbers devices take that are fitted side by side: what a processor keeps near."""

Span = tuple[slice, slice]
"""Where a device's rows lie that it learns from, and those that it is judged on."""

Array = NDArray[np.float32]


def fit(
    inputs: Array, labels: NDArray[np.int64], counts: NDArray[np.int64], *, classes: int, ridges: Sequence[float]
) -> Array:
    """The weights `(devices, ridges, inputs + 1, classes)` that devices fit, each with a row of biases last.

    `inputs` are `(devices, rows, inputs)` and `labels` `(devices, rows)`, of which the first `counts` are a device's;
    what follows must be zero. A ridge is twice the price of a squared weight, biases included, over the sum of losses.
    """
    devices, longest, width = inputs.shape
    real = (np.arange(longest) < counts[:, None]).astype(np.float32)
    rows = np.concatenate([inputs, real[..., None]], axis=2)
    turned = rows.swapaxes(1, 2)
    penalties = np.array(ridges, np.float32)[:, None, None]
    inverse = np.linalg.inv(0.5 * (turned @ rows)[:, None] + penalties * np.eye(width + 1, dtype=np.float32))
    wanted = np.eye(classes, dtype=np.float32)[labels][:, :, None] * real[..., None, None]
    weights = np.zeros((devices, len(ridges), width + 1, classes), np.float32)
    for _ in range(STEPS):
        # All ridges at once: one product as wide as they are together.
        wide = weights.transpose(0, 2, 1, 3).reshape(devices, width + 1, -1)
        wrong = _shares((rows @ wide).reshape(devices, longest, len(ridges), classes))
        wrong *= real[..., None, None]
        wrong -= wanted
        slope = (turned @ wrong.reshape(devices, longest, -1)).reshape(devices, width + 1, len(ridges), classes)
        step = inverse @ (slope.transpose(0, 2, 1, 3) + penalties * weights)
        weights -= step
        if np.abs(step).max() < SETTLED:
            break
    return weights


def answers(population: Packed, spans: Sequence[Span], *, classes: int, ridges: Sequence[float]) -> Array:
    """What devices answer to the rows they are judged on, one after the other: `(ridges, rows, classes)`."""
    ends = np.cumsum([judge.stop - judge.start for _, judge in spans])
    found = np.zeros((len(ridges), int(ends[-1]), classes), np.float32)
    for devices in _batches([learn.stop - learn.start for learn, _ in spans], population.inputs.shape[1]):
        inputs, labels, counts = _padded(population, [spans[each][0] for each in devices])
        weights = fit(inputs, labels, counts, classes=classes, ridges=ridges)
        for own, device in zip(weights, devices, strict=True):
            judge = spans[device][1]
            part = slice(int(ends[device]) - (judge.stop - judge.start), int(ends[device]))
            found[:, part] = population.inputs[judge] @ own[:, :-1] + own[:, -1:]
    return found


def _batches(counts: Sequence[int], width: int) -> Iterator[list[int]]:
    """Devices of about as many rows each, together within `MEMORY`; those without rows are left out."""
    batch: list[int] = []
    for device in sorted((each for each in range(len(counts)) if counts[each]), key=lambda each: counts[each]):
        if batch and (len(batch) + 1) * max(counts[device], width) * (width + 1) > MEMORY:
            yield batch
            batch = []
        batch.append(device)
    if batch:
        yield batch


def _padded(population: Packed, spans: Sequence[slice]) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    counts = np.array([span.stop - span.start for span in spans])
    inputs = np.zeros((len(spans), counts.max(), population.inputs.shape[1]), np.float32)
    labels = np.zeros(inputs.shape[:2], np.int64)
    for number, span in enumerate(spans):
        inputs[number, : counts[number]] = population.inputs[span]
        labels[number, : counts[number]] = population.labels[span]
    return inputs, labels, counts


def _shares(scores: Logits) -> Array:
    """Softmax over the last axis, in place; class by class, as a reduction over so few is slow."""
    classes = [scores[..., one] for one in range(scores.shape[-1])]
    scores -= reduce(np.maximum, classes)[..., None]
    np.exp(scores, out=scores)
    scores /= reduce(np.add, classes)[..., None]
    return scores
