"""Which predictions their owner is asked about: recent ones without an outcome that the model was least sure of.

Whether a prediction is asked about is decided for each by itself, against the task's fixed margin and its own age
(privacy rule 3): no prediction pushes another out, and none is dropped for its place. The order in which they are
shown is sorted all the same, because it is only where the owner begins to read; everything below the margin stays
there until it is labelled or grows old. How far the owner reads is the owner's choice, as it is for whoever collects
rows by hand.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from client.predictions import PredictionLog
from client.served import Served
from shared.labelling import ASK_BELOW
from shared.tasks import Task

RECENT_DAYS = 14.0
"""Older predictions are not asked about: who remembers what came of them?"""

SHOWN = 500
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelQueue:
    """How many predictions wait for their owner, and the first of them: least certain first, then newest."""

    waiting: int
    first: tuple[Served, ...]


def read_queue(log: PredictionLog, task: Task, *, now: float, first: int = SHOWN) -> LabelQueue:
    """Look through every recent prediction, in as much memory as the `first` ones take; raise as the log does."""
    waiting = 0

    def counted() -> Iterator[Served]:
        nonlocal waiting
        for one in log.unlabelled(now - RECENT_DAYS * DAY):
            if is_asked(one, task, now=now):
                waiting += 1
                yield one

    shown = heapq.nsmallest(first, counted(), key=lambda one: (margin(one.scores), -one.at))
    return LabelQueue(waiting=waiting, first=tuple(shown))


def is_asked(one: Served, task: Task, *, now: float) -> bool:
    """Whether a prediction is worth asking about: a function of itself, the clock and the task alone."""
    below = task.labelling.ask_below if task.labelling else ASK_BELOW
    recent = now - one.at <= RECENT_DAYS * DAY
    return recent and one.label is None and len(one.scores) == len(task.label.classes) and margin(one.scores) < below


def margin(scores: Sequence[float]) -> float:
    """How far the likeliest class is ahead of the next."""
    best, second = heapq.nlargest(2, scores)
    return best - second
