"""The fleet as months go by: it learns by the plan and the noise that ship, and is scored on what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from server.plans import plan_round
from server.records import CampaignRequest
from server.strategy import step
from shared.architecture import initial_weights
from shared.errors import InputError
from shared.rounds import RoundPlan
from shared.tasks import Task, Window
from simulations.evaluation import auc_of, evaluate
from simulations.fleet.engine import Engine
from simulations.fleet.population import Packed
from simulations.fleet.streams import device_stream
from simulations.replay.answers import Answers
from simulations.replay.months import Calendar

Weights = NDArray[np.float32]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a version answers to a window's rows: each device's scores `(rows, classes)`, and the AUC over all of them."""

    scores: Sequence[Scores]
    auc: float


class World:
    """A task, the fleet's rows, and a calendar; `seed` is of the training noise alone."""

    def __init__(self, task: Task, population: Packed, calendar: Calendar, *, seed: int = 0) -> None:
        """Raise `InputError` for a task that this replay cannot do justice to."""
        if task.timestamp is None or len(task.label.classes) != 2:
            raise InputError(f"a replay takes dated rows of two classes, and task {task.name!r} has none")
        if task.training.aggregation is not None or task.training.compression is not None:
            raise InputError(
                "a replay takes the mean of whole updates; leave aggregation and compression out of the task"
            )
        self.task, self.population, self.calendar = task, population, calendar
        self._engine, self._seed, self._campaigns = Engine(task), seed, 0

    def request(self, window: Window) -> CampaignRequest:
        """The task's campaign over the whole fleet, which its devices pay for before the first round."""
        count = len(self.population)
        return CampaignRequest(
            task=self.task.name, window=window, training=self.task.training, base_version=1, quorum=count, cohort=count,
            deadline_seconds=600.0, reserve=True,
        )  # fmt: skip

    def plan(self, window: Window) -> RoundPlan:
        """The first round's plan, whose `cost` is the whole campaign's."""
        return plan_round(self._campaigns + 1, 1, self.task, 1, self.request(window))

    def learn(self, weights: Weights | None, at: date) -> Weights:
        """One campaign on the first day of a month, from weights `(size,)` or from the task's own start."""
        return self.learn_from(weights, self.calendar.known(at))

    def learn_from(self, weights: Weights | None, window: Window) -> Weights:
        """One campaign on a window's rows, from weights `(size,)` or from the task's own start."""
        request, self._campaigns = self.request(window), self._campaigns + 1
        moved = initial_weights(self.task) if weights is None else weights
        momentum = np.zeros_like(moved)
        devices = range(len(self.population))
        examples = [self.population.examples(device, window) for device in devices]
        for number in range(1, request.training.rounds + 1):
            plan = plan_round(self._campaigns, number, self.task, number, request)
            draws = 1000 * self._campaigns + number
            streams = [device_stream(self._seed, draws, device) for device in devices]
            updates = self._engine.train(plan, moved, examples, streams, noise="exact")
            mean = np.asarray(np.mean(updates, axis=0, dtype=np.float64))
            moved, momentum = step(moved, mean, momentum, request.training)
        return moved

    def serve(self, weights: Weights, window: Window) -> Served:
        """Answer a window's rows with weights `(size,)`; raise `InputError` where it has no rows of both classes."""
        found = evaluate(self.task, weights, self.population, window)
        if found.total.auc is None:
            raise InputError(f"no AUC can be told of {window}: it needs rows of both classes")
        scores = _softmax(found.scores)
        each = [scores[found.owner == device] for device in range(len(self.population))]
        return Served(scores=each, auc=found.total.auc)

    def auc(self, spells: Sequence[tuple[Weights, Window]]) -> float:
        """The AUC over the rows of several windows together, each answered by its own weights; raise `InputError` for none."""
        found = [evaluate(self.task, weights, self.population, window) for weights, window in spells]
        scores, labels = (np.concatenate(parts) for parts in zip(*((e.scores, e.labels) for e in found), strict=True))
        if (area := auc_of(scores, labels)) is None:
            raise InputError("no AUC can be told of days without rows of both classes")
        return area

    def answers(self, weights: Weights) -> Answers:
        """What weights `(size,)` answer to all rows there are."""
        found = evaluate(self.task, weights, self.population, Window())
        return Answers(
            scores=_softmax(found.scores)[:, -1].astype(np.float64), labels=found.labels, owner=found.owner,
            times=np.asarray(self.population.times[found.chosen]), devices=len(self.population),
        )  # fmt: skip


def _softmax(logits: NDArray[np.float32]) -> Scores:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
