"""What the owner can do here; each act runs in one thread of its own, in the order in which it was asked for."""

import queue
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from textual.message import Message

from client.config import AgentHome, TaskHome
from client.policy import fingerprint
from client.predictions import PredictionLog
from client.store import AgentStore
from client.tui.shelf import open_log
from shared.errors import CoveyError, InputError
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something to do, and what to say about it; `carry_out` returns a sentence, empty where nothing needs saying."""

    title: str
    carry_out: Callable[["Hand"], str]
    about: str = ""


@dataclass
class Done(Message):
    """An act was carried out, or failed with a reason."""

    act: Act
    said: str
    failed: bool = False


class Hand:
    """Carries acts out until it is told to stop; what was asked for before that is still done."""

    def __init__(self, home: AgentHome) -> None:
        """Work in `home`."""
        self.home = home
        self._acts: queue.SimpleQueue[Act | None] = queue.SimpleQueue()
        self._logs: dict[str, PredictionLog] = {}

    def ask(self, act: Act) -> None:
        """Queue an act; never waits."""
        self._acts.put(act)

    def stop(self) -> None:
        """End after what is queued."""
        self._acts.put(None)

    def work(self, tell: Callable[[Done], object]) -> None:
        """Carry out one act after the other."""
        while (act := self._acts.get()) is not None:
            try:
                tell(Done(act, act.carry_out(self)))
            except (CoveyError, sqlite3.Error, OSError) as error:
                tell(Done(act, str(error), failed=True))
        for log in self._logs.values():
            log.close()

    def log(self, place: TaskHome) -> PredictionLog:
        """A task's predictions, opened once."""
        if place.name not in self._logs:
            self._logs[place.name] = open_log(place)
        return self._logs[place.name]


def agree(place: TaskHome, task: Task, words: str) -> Act:
    """Agree to a task exactly as it was shown: what was signed meanwhile is not agreed to."""

    def carry_out(hand: Hand) -> str:
        with closing(AgentStore(hand.home.database)) as store:
            store.agree(place.name, fingerprint(task), words=words)
        return f"This device takes part in {place.name}, revision {task.revision}."

    return Act(title="Agreed", carry_out=carry_out)


def withdraw(place: TaskHome) -> Act:
    """Take the consent to a task back."""

    def carry_out(hand: Hand) -> str:
        with closing(AgentStore(hand.home.database)) as store:
            store.withdraw(place.name)
        return f"{place.name} gets nothing from this device any more. What was spent stays spent."

    return Act(title="Withdrawn", carry_out=carry_out)


def pause(*, paused: bool) -> Act:
    """Decline every request, or take part again."""

    def carry_out(hand: Hand) -> str:
        from client.policyfile import set_paused

        set_paused(hand.home, paused=paused)
        return "It declines to train and to count; predictions go on." if paused else "It takes part again."

    return Act(title="Paused" if paused else "Resumed", carry_out=carry_out)


def label(place: TaskHome, prediction: str, word: str) -> Act:
    """Say what came of a prediction."""

    def carry_out(hand: Hand) -> str:
        if not hand.log(place).outcome(prediction, word):
            raise InputError("that prediction is not kept any more, so its label teaches nothing")
        return ""

    return Act(title="Label", carry_out=carry_out, about=prediction)


def unlabel(place: TaskHome, prediction: str) -> Act:
    """Take a label back."""

    def carry_out(hand: Hand) -> str:
        hand.log(place).retract(prediction)
        return ""

    return Act(title="Undo", carry_out=carry_out, about=prediction)
