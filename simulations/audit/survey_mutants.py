"""Ways to count that the audit must see, each put in the place of the shipped code for a while."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from client import discrete, drift
from shared.drift import Bins, SurveyPlan, edges_of
from shared.privacy import Cost
from shared.tasks import Task
from simulations.audit.canaries import DELTA, Effort
from simulations.audit.findings import Case
from simulations.audit.surveys import SHIPPED, examine
from simulations.audit.trainers import only_the_last

Spoiled = Callable[[], AbstractContextManager[Any]]

SOUND = drift.add_noise


def _noise(add: Callable[[Sequence[int], float], tuple[float, ...]]) -> Spoiled:
    """A mutant that adds other noise; `add` takes the exact counts and the scale."""

    def spoiled(counts: Sequence[int], *, scale: float) -> tuple[float, ...]:
        return add(counts, scale)

    return lambda: patch.object(drift, "add_noise", spoiled)


def _silent(counts: Sequence[int], _: float) -> tuple[float, ...]:
    return tuple(float(one) for one in counts)


def _halved(counts: Sequence[int], scale: float) -> tuple[float, ...]:
    return SOUND(counts, scale=scale / 2)


def _doubled(counts: Sequence[int], scale: float) -> tuple[float, ...]:
    return SOUND(counts, scale=scale * 2)


def _shared_torch(counts: Sequence[int], scale: float) -> tuple[float, ...]:
    import torch

    return tuple((torch.randn(len(counts), dtype=torch.float64) * scale).round().add(torch.tensor(counts)).tolist())


def _quiet_when_empty(counts: Sequence[int], scale: float) -> tuple[float, ...]:
    return SOUND(counts, scale=scale) if any(counts) else _silent(counts, scale)


def _frequencies(counts: Sequence[int], scale: float) -> tuple[float, ...]:
    """A private denominator: what is told is a share of this device's rows."""
    return tuple(one / max(1, sum(counts)) for one in SOUND(counts, scale=scale))


def _one_column() -> AbstractContextManager[Any]:
    """Each column's noise is as if a row were counted in that column alone."""

    def count_alone(task: Task, plan: SurveyPlan) -> Any:
        columns = len(task.features)
        return tuple(
            replace(bins, noise=bins.noise / math.sqrt(columns)) if 0 < place <= columns and plan.features else bins
            for place, bins in enumerate(edges_of(task, plan))
        )

    return patch.object(drift, "edges_of", count_alone)


def _counted_twice() -> AbstractContextManager[Any]:
    """A row falls in two bins."""
    tally: Callable[..., Any] = vars(drift)["_tally"]

    def twice(index: NDArray[np.int64], bins: Bins) -> Any:
        return tally(np.repeat(index, 2), bins)

    return patch.object(drift, "_tally", twice)


def _repeated() -> AbstractContextManager[Any]:
    """The same noise twice in a row."""
    held: dict[int, list[int]] = {}

    def draw(count: int, *, scale: float) -> list[int]:
        if count in held:
            return held.pop(count)
        held[count] = discrete.discrete_gaussian(count, scale=scale)
        return held[count]

    return patch.object(drift, "discrete_gaussian", draw)


MUTANTS: dict[str, Spoiled] = {
    "no noise": _noise(_silent),
    "half the noise": _noise(_halved),
    "twice the noise": _noise(_doubled),
    "the same noise twice in a row": _repeated,
    "torch's generator, shared": _noise(_shared_torch),
    "no noise for an empty histogram": _noise(_quiet_when_empty),
    "noise of one column, though a row is in all": _one_column,
    "a row counted twice": _counted_twice,
    "private denominator": _noise(_frequencies),
}


def _forgotten(plan: SurveyPlan, surveys: int) -> float:
    return only_the_last([Cost(record=plan.events)] * surveys, DELTA)


def cases(effort: Effort) -> Iterator[Case]:
    """The survey as it ships, then each mutant of it."""
    yield examine(SHIPPED, effort)
    for name, spoil in MUTANTS.items():
        with spoil():
            yield examine(SHIPPED, effort.half, mutant=name)
    forgetful = replace(SHIPPED, told=_forgotten)
    yield examine(forgetful, effort.half, mutant="engine rebuilt each round")
