"""The trainers under audit, as devices run them: Opacus with book-keeping, Opacus's stock parts, the light trainer."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from client.ledger import Ledger
from client.store import AgentStore
from shared.noise import CipherStream
from shared.privacy import Cost, Level
from shared.rounds import RoundPlan
from shared.tasks import Task

Update = NDArray[np.float32]


class Train(Protocol):
    """What every trainer is called as."""

    def __call__(
        self, plan: RoundPlan, task: Task, weights: NDArray[np.float32], examples: Examples, stream: CipherStream
    ) -> Update:
        """Train and return the update, shape `(size,)`."""
        ...


def spent(rounds: Sequence[Cost], delta: float, level: Level = "record") -> float:
    """The epsilon that a device's own ledger tells after it was charged for each round."""
    with tempfile.TemporaryDirectory(prefix="covey-audit-") as folder:
        store = AgentStore(Path(folder) / "agent.db")
        try:
            ledger = Ledger(store)
            for number, cost in enumerate(rounds):
                ledger.charge(f"round {number}", task="audit", purpose="", cost=cost, limits=())
            return ledger.spent(delta, level=level).epsilon
        finally:
            store.close()


def only_the_last(rounds: Sequence[Cost], delta: float, level: Level = "record") -> float:
    """A mutant: a ledger that begins anew each round, as where each round makes its own `PrivacyEngine`."""
    return spent(rounds[-1:], delta, level)


class Spent(Protocol):
    """What tells the epsilon of a history of rounds."""

    def __call__(self, rounds: Sequence[Cost], delta: float, level: Level = "record") -> float:
        """Epsilon at `delta` and `level`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """One way of training: the code, the randomness it is given, and the ledger that pays for it.

    A mutant is the same with one of the three spoiled.
    """

    name: str
    train: Train
    stream: Callable[[bytes], CipherStream] = CipherStream
    spent: Spent = spent


def trainers() -> tuple[Trainer, ...]:
    """All of them."""
    from client.light import train as light

    return (Trainer(name="light", train=light), *opacus_trainers())


def opacus_trainers() -> tuple[Trainer, ...]:
    """Opacus with our one pass of book-keeping, and with its own module and optimizer."""
    from client import training

    parts = partial(training.prepare, stock=True)

    def stock(
        plan: RoundPlan, task: Task, weights: NDArray[np.float32], examples: Examples, stream: CipherStream
    ) -> Update:
        with patch.object(training, "prepare", parts):
            return training.train(plan, task, weights, examples, stream)

    return (Trainer(name="opacus", train=training.train), Trainer(name="opacus stock", train=stock))
