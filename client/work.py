"""What one paid request computes from the rows: an update or noisy counts, and nothing that tells why.

Whatever goes wrong with the rows, the answer is noise alone, because no refusal may depend on them (privacy rule 4).
"""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from client.config import TaskHome
from client.settings import Trainer
from shared.architecture import size
from shared.drift import DriftReport, SurveyPlan
from shared.evaluation import EvaluationPlan, EvaluationReport
from shared.rounds import RoundPlan
from shared.tasks import Task

log = logging.getLogger(__name__)

Weights = NDArray[np.float32]
Sum = NDArray[np.float64]


class Work(Protocol):
    """Somebody who computes: this process (`InProcess`) or a child of it (`client.worker.Worker`).

    `task` is the one that the owner agreed to when the request was charged, whatever was signed since.
    """

    def train(self, plan: RoundPlan, task: Task, place: TaskHome, weights: Weights, *, request: str) -> Weights:
        """The update of shape `(size,)` for a round that was charged as `request`."""
        ...

    def contribute(self, plan: RoundPlan, task: Task, place: TaskHome, weights: Weights, *, request: str) -> Sum:
        """The noiseless, bounded update of shape `(size,)` for a round that was charged; not all its noise is here."""
        ...

    def survey(self, plan: SurveyPlan, task: Task, place: TaskHome) -> DriftReport:
        """The noisy counts of a survey that was charged."""
        ...

    def evaluate(self, plan: EvaluationPlan, task: Task, place: TaskHome, weights: Weights) -> EvaluationReport:
        """The noisy cells of an evaluation that was charged, of scores under `weights` of shape `(size,)`."""
        ...


class InProcess:
    """Computes here and now."""

    def train(self, plan: RoundPlan, task: Task, place: TaskHome, weights: Weights, *, request: str) -> Weights:
        """Train on the window's rows; with rows that cannot be used, on none. Which rows it were stays on record here."""
        from shared.noise import system_stream

        settings = place.home.settings()
        descend = trainer(settings.trainer)
        try:
            from client.examples import gather

            examples = gather(place, task, plan, settings, request=request)
            return descend(plan, task, weights, examples, system_stream())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - rows decided it, a panic in Polars too: no refusal (rule 4)
            log.warning("training on noise alone: %s", error)
            return without_rows(plan, task)

    def contribute(self, plan: RoundPlan, task: Task, place: TaskHome, weights: Weights, *, request: str) -> Sum:
        """As `train`, without noise; with rows that cannot be used, nothing."""
        from client.light import contribution
        from shared.noise import system_stream

        settings = place.home.settings()
        try:
            from client.examples import gather

            examples = gather(place, task, plan, settings, request=request)
            return contribution(plan, task, weights, examples, system_stream())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - rows decided it, a panic in Polars too: no refusal (rule 4)
            log.warning("contributing nothing: %s", error)
            return nothing(task)

    def survey(self, plan: SurveyPlan, task: Task, place: TaskHome) -> DriftReport:
        """Count the window's rows; rows that cannot be read count as none."""
        from client.drift import answer
        from client.quality import outcomes

        return answer(plan, task, place, outcomes=outcomes)

    def evaluate(self, plan: EvaluationPlan, task: Task, place: TaskHome, weights: Weights) -> EvaluationReport:
        """Count the window's labelled rows; rows that cannot be used count as none."""
        from client.evaluation import answer

        return answer(plan, task, place, weights)


def without_rows(plan: RoundPlan, task: Task) -> Weights:
    """The update of a device that has no rows: the same noise, and nothing else."""
    from client.light import noise_only
    from shared.noise import system_stream

    return noise_only(plan, task, system_stream())


def nothing(task: Task) -> Sum:
    """What a device without rows contributes to a sum."""
    return np.zeros(size(task))


def count_nothing(plan: SurveyPlan, task: Task) -> DriftReport:
    """The answer of a device that has no rows: the same noise on zeros."""
    from client.drift import answer_without_rows

    return answer_without_rows(plan, task)


def evaluate_nothing(plan: EvaluationPlan, task: Task) -> EvaluationReport:
    """As `count_nothing`, of an evaluation."""
    from client.evaluation import answer_without_rows

    return answer_without_rows(plan, task)


Descend = Callable[..., Weights]


def trainer(choice: Trainer) -> Descend:
    """The trainer that the owner chose; `auto` is Opacus where it is installed, else the light one."""
    if resolve(choice) == "opacus":
        from client.training import train

        return train
    from client.light import train as descend

    return descend


def resolve(choice: Trainer) -> Trainer:
    """`auto` as what it comes to on this machine."""
    if choice != "auto":
        return choice
    return "opacus" if find_spec("torch") and find_spec("opacus") else "light"
