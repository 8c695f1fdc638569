"""What a federation is held against, on the same test rows: all rows in one heap, and each device on its own.

Both are generous measures, without any privacy: of several trainings the one counts that the test rows themselves
like best.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.errors import InputError
from shared.tasks import Task, Window
from simulations import alone
from simulations.evaluation import Figures, figures, held
from simulations.fleet.population import Packed
from simulations.report.tables import Baseline, Baselines

SEEDS = 5
EPOCHS, MOST_EPOCHS, BATCHES, BATCH = 10, 60, 1500, 512
"""Passes over the heap: ten, and more over a small one, until about `BATCHES` batches have been seen."""

RIDGES = (1.0, 4.0, 16.0, 64.0)
"""What may hold a device on its own back from learning its rows by heart; one of them for all devices."""

MOST = 50_000
"""How many devices are trained on their own at most; of more, evenly spaced ones stand for all."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One training, as the test rows judge it."""

    figures: Figures
    about: str

    @property
    def rank(self) -> float:
        """AUC, or accuracy where the test rows have one class only."""
        return self.figures.accuracy if self.figures.auc is None else self.figures.auc

    def baseline(self, about: str) -> Baseline:
        """The same under the words that a report says."""
        return Baseline(auc=self.figures.auc, loss=self.figures.loss, accuracy=self.figures.accuracy, about=about)


def baselines(
    task: Task, population: Packed, *, train: Window, test: Window, seeds: int = SEEDS, say: Say = lambda _: None
) -> Baselines:
    """Train both on what the population holds of `train`, and judge them on what it holds of `test`.

    Raise `InputError` if there are no rows to learn from, or none to be judged on.
    """
    learn, judge = (_rows(population, held(population, window), window) for window in (train, test))
    say("baseline: all rows in one heap")
    pooled = central(task, learn, judge, seeds=seeds)
    say("baseline: each device alone")
    return Baselines(central=pooled, local=local_only(task, population, train=train, test=test))


def central(task: Task, train: Examples, test: Examples, *, seeds: int = SEEDS, epochs: int | None = None) -> Baseline:
    """All rows in one heap: linear, MLP-32 and, of another kind, the task's own network; the best epoch of the best seed."""
    from simulations.pooled import trainings

    needed = math.ceil(BATCHES / math.ceil(len(train.labels) / BATCH))
    passes = epochs or min(max(EPOCHS, needed), MOST_EPOCHS)
    best = _best(
        (name, figures(scores, test.labels))
        for name, every in trainings(task, train, test, seeds=seeds, epochs=passes)
        for scores in every
    )
    return best.baseline(f"{best.about}, the best epoch of {passes} of the best of {seeds} seeds")


def local_only(task: Task, population: Packed, *, train: Window, test: Window, most: int = MOST) -> Baseline:
    """Each device on its own rows: a linear network under the ridge that is best for all devices together.

    A device without rows to learn from answers that all classes are equally likely. Raise `InputError` if no device
    has rows to be judged on.
    """
    count = len(population)
    devices = range(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64).tolist()
    spans = [(population.rows(each, train), population.rows(each, test)) for each in devices]
    spans = [(learn, judge) for learn, judge in spans if judge.stop > judge.start]
    if not spans:
        raise InputError(f"no device has rows in {test}; choose another window")
    labels = np.concatenate([population.labels[judge] for _, judge in spans])
    scores = alone.answers(population, spans, classes=len(task.label.classes), ridges=RIDGES)
    best = _best((f"ridge {ridge:g}", figures(each, labels)) for ridge, each in zip(RIDGES, scores, strict=True))
    sample = "" if count <= most else f"; {most:,} of {count:,} devices stand for all"
    return best.baseline(f"linear, {best.about}, the best of {len(RIDGES)}{sample}")


def _best(found: Iterable[tuple[str, Figures]]) -> _Trial:
    return max((_Trial(figures=each, about=name) for name, each in found), key=lambda trial: trial.rank)


def _rows(population: Packed, chosen: NDArray[np.intp], window: Window) -> Examples:
    if not len(chosen):
        raise InputError(f"no device has rows in {window}; choose another window")
    return Examples(inputs=population.inputs[chosen], labels=population.labels[chosen])
