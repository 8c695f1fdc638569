"""A campaign through all that ships, in one process: server, agents with their ledgers, and every message between."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flwr.app import Message
from flwr.common.serde import recorddict_to_proto
from numpy.typing import NDArray

from client.app import app
from client.config import AgentHome
from client.ledger import Ledger
from client.policyfile import render
from client.settings import read_settings
from client.store import AgentStore
from server.app import conduct
from server.store import Store
from shared.errors import InputError
from shared.modes import Mode
from shared.privacy import LEVELS, Level, PrivacyBudget
from shared.rounds import RoundResult
from shared.tasks import Task, Window
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid
from simulations.modes.numerics import request_of

UNBOUNDED = PrivacyBudget(epsilon=1e15, delta=1e-5)
"""What owners grant here: what a mode costs is to be seen, not to be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What a campaign came to: the last weights and round, and what devices' ledgers say at each level that is promised.

    `bytes_up` are those of a device's answers in a round, as Flower serializes them; `seconds` are a round's.
    """

    weights: NDArray[np.float32]
    last: RoundResult
    spent: dict[Level, float]
    bytes_up: float
    seconds: float


def rehearsal(
    task: Task, mode: Mode, data: Mapping[str, Path], *, window: Window, say: Callable[[int], None] = lambda _: None
) -> Rehearsed:
    """Run a campaign of the task's mode over one device a data file; `say` gets the number of each round that begins.

    The most that any device spent counts. Raise `InputError` unless every round was committed with every device.
    """
    with tempfile.TemporaryDirectory(prefix="covey-modes-") as folder:
        store = Store(Path(folder) / "covey.db")
        agents = rehearse(store, task, data, Path(folder) / "agents", budget=UNBOUNDED)
        for path in agents.values():
            _allow(AgentHome(path))
        started, sent = time.monotonic(), _conduct(store, task, mode, agents, window, say)
        rounds, seconds = store.rounds(), time.monotonic() - started
        if any(set(each.returned) != set(data) for each in rounds):
            raise InputError(f"a {mode} round went without some device: {rounds[-1].refusals or rounds[-1].failures}")
        found = Rehearsed(
            weights=np.frombuffer(store.weights(store.versions()[-1].number), "<f4"),
            last=rounds[-1],
            spent={level: most for level in LEVELS if math.isfinite(most := _most(agents, task, level))},
            bytes_up=sent / len(rounds) / len(agents),
            seconds=seconds / len(rounds),
        )
        store.close()
    return found


def _conduct(
    store: Store, task: Task, mode: Mode, agents: Mapping[int, Path], window: Window, say: Callable[[int], None]
) -> int:
    """Run the campaign; how many bytes the agents' answers had."""
    request = request_of(task, mode, cohort=len(agents), window=window)
    run = store.run(store.queue_run(task.name, "train", request))
    sent, told = 0, [0]

    def weigh(_: int, reply: Message) -> Message:
        nonlocal sent
        if reply.has_content():
            sent += recorddict_to_proto(reply.content).ByteSize()
        if (progress := store.progress(run.id)) and progress.round_number != told[0]:
            told[0] = progress.round_number
            say(told[0])
        return reply

    conduct(LoopbackGrid(app, agents, tamper=weigh), store, run)
    return sent


def _allow(home: AgentHome) -> None:
    """Let an owner trust whom a mode asks to, and train with the trainer that all modes have."""
    settings = read_settings(home.settings_file)
    floor = replace(settings.floor, trust="coordinator")
    home.settings_file.write_text(render(replace(settings, floor=floor, trainer="light")), encoding="utf-8")


def _most(agents: Mapping[int, Path], task: Task, level: Level) -> float:
    """The most that any device's own ledger says: only in a rehearsal may others read it (privacy rule 10)."""
    most = 0.0
    for path in agents.values():
        store = AgentStore(AgentHome(path).database)
        most = max(most, Ledger(store).spent(task.privacy.delta, level=level).epsilon)
        store.close()
    return most
