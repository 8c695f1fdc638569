"""How much of one row its gradient gives away: label, choice among candidates, and picture, in every mode.

The picture's attacker is told the digit, so what it finds is held against the mean picture of that digit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.architecture import initial_weights
from simulations.attacks.adversary import Adversary
from simulations.attacks.digits import CLASSES, digits_task, draw
from simulations.attacks.odds import Count, most_after_gaussian
from simulations.attacks.views import Vectors, View, views

ROWS, CANDIDATES = 400, 100
"""Rows that are attacked; in turn each of `CANDIDATES` of them is the one among these."""

PICTURES = 20
"""Rows whose picture is looked for as well."""

_EXAMPLE = 5

Pictures = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """What an attacker got of rows in one mode. Decibels and correlations are means over pictures.

    `psnr` is the peak signal-to-noise ratio of what was found, `gain` is that above the best blind answer. `example` is one
    picture, the blind answer and what was found, shape `(3, pixels)`.
    """

    view: str
    epsilon: float | None
    multiplier: float
    others: int
    labels: Count
    chosen: Count
    psnr: float
    gain: float
    gain_error: float
    correlation: float
    example: Pictures

    @property
    def most_labels(self) -> float:
        """The largest share of labels that the charge allows anybody to get."""
        return self._most(1 / CLASSES)

    @property
    def most_chosen(self) -> float:
        """The same for the choice among candidates."""
        return self._most(1 / CANDIDATES)

    def _most(self, blind: float) -> float:
        return blind if self.epsilon is None else most_after_gaussian(blind, self.multiplier)


def attack(tell: Callable[[str], None], *, rows: int = ROWS, pictures: int = PICTURES, seed: int = 1) -> list[Leak]:
    """Attack `rows` fresh rows in every mode, and look for the pictures of the first few."""
    task = digits_task()
    adversary = Adversary(task, initial_weights(task), clip=task.training.max_grad_norm)
    victims = draw(rows, seed=seed)
    gradients = adversary.gradients(victims)
    leaks: list[Leak] = []
    for view in views(task, victims):
        tell(f"inversion: {view.name}, epsilon {view.epsilon}" if view.epsilon else f"inversion: {view.name}")
        leaks.append(leak(adversary, view, victims, gradients, pictures=pictures))
    return leaks


def leak(adversary: Adversary, view: View, rows: Examples, gradients: Vectors, *, pictures: int) -> Leak:
    """Hold what an attacker makes of a view against the rows, whose clipped gradients stand for the candidates."""
    some = Examples(inputs=rows.inputs[:pictures], labels=rows.labels[:pictures])
    found = adversary.pictures(_part(view, slice(0, pictures)), some.labels)
    blind = adversary.blind(some.labels)
    sharp = psnr(found, some.inputs)
    gains = sharp - psnr(blind, some.inputs)
    return Leak(
        view=view.name, epsilon=view.epsilon, multiplier=view.multiplier, others=view.others,
        labels=_count(adversary.labels(view) == rows.labels), chosen=_chosen(adversary, view, gradients),
        psnr=float(sharp.mean()), gain=float(gains.mean()),
        gain_error=float(gains.std(ddof=1) / math.sqrt(len(gains))),
        correlation=float(correlation(found, some.inputs).mean()),
        example=np.stack([some.inputs[_EXAMPLE], blind[_EXAMPLE], found[_EXAMPLE]]),
    )  # fmt: skip


def psnr(found: Pictures, true: Pictures) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio in dB, by picture; pixels run from -1 to 1, and what is exact counts as 100 dB."""
    error = np.square(found.astype(np.float64) - true).mean(axis=1)
    return 10 * np.log10(4 / np.maximum(error, 4e-10))


def correlation(found: Pictures, true: Pictures) -> NDArray[np.float64]:
    """Pearson's, over the pixels of each picture."""
    one, two = (part - part.mean(axis=1, keepdims=True, dtype=np.float64) for part in (found, true))
    return (one * two).sum(1) / np.maximum(np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1), 1e-12)


def _chosen(adversary: Adversary, view: View, gradients: Vectors) -> Count:
    """How often the true row is told from the `CANDIDATES - 1` that stand beside it."""
    hits: list[bool] = []
    for start in range(0, len(gradients), CANDIDATES):
        here = slice(start, start + CANDIDATES)
        found = adversary.choose(_part(view, here), gradients[here])
        hits += (found == np.arange(len(found))).tolist()
    return _count(np.array(hits))


def _part(view: View, rows: slice) -> View:
    return replace(view, seen=view.seen[rows])


def _count(hits: NDArray[np.bool_]) -> Count:
    return Count(hits=int(hits.sum()), tries=len(hits))
