"""The engines that run each device as the agent that ships, with a directory and a ledger of its own: in process, or on Ray.

Slower by far than `simulations.rehearsal`, and the measure that it is held to.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from flwr.app import Message
from flwr.common.serde import recorddict_to_proto

from client.app import app
from client.config import AgentHome
from client.ledger import Ledger
from client.policyfile import render
from client.settings import Floor, read_settings
from client.store import AgentStore
from server.app import conduct
from server.records import Run
from server.store import Store
from shared.privacy import Level, PrivacyBudget, Trust
from simulations.campaign import Campaign, Facts, Paid, facts_of, level_of
from simulations.cohort import rehearse
from simulations.coordinator import is_open, queued
from simulations.loopback import LoopbackGrid
from simulations.rehearsal import EngineName, Say, Settings


def conduct_agents(settings: Settings, files: Mapping[str, Path], folder: Path, *, say: Say) -> Iterator[Campaign]:
    """Conduct each seed's campaign over one agent a data file, and hand it over; one that was begun before goes on.

    The seed decides nothing here, because agents draw from the system; seeds are repeats.
    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    for place, seed in enumerate(settings.seeds):
        place_rounds = place * settings.plan.training.rounds
        with_agents = folder / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        interrupted = False
        with closing(Store(folder / f"seed-{seed}.db")) as store:
            agents = _agents(store, settings, files, with_agents)
            run = queued(store, settings.task, settings.plan, cohort=settings.plan.cohort, quorum=settings.plan.quorum)
            bytes_of = Counter[int]()
            try:
                if is_open(run):
                    _engine(settings.engine)(
                        store, settings, agents, run, lambda done, base=place_rounds: say(base + done), bytes_of
                    )
            except KeyboardInterrupt:
                interrupted = True
            yield _campaign(settings, store, agents, store.run(run.id), seed, bytes_of)
        if interrupted:
            raise KeyboardInterrupt


Conduct = Callable[[Store, Settings, Mapping[int, Path], Run, Say, "Counter[int]"], None]


def _engine(engine: EngineName) -> Conduct:
    return _on_ray if engine == "ray" else _in_process


def _in_process(
    store: Store, settings: Settings, agents: Mapping[int, Path], run: Run, say: Say, bytes_of: "Counter[int]"
) -> None:
    answered = 0

    def weigh(_: int, reply: Message) -> Message:
        nonlocal answered
        answered += 1
        number = len(store.rounds(run.id)) + 1
        if reply.has_content():
            bytes_of[number] += recorddict_to_proto(reply.content).ByteSize()
        say(number - 1 + answered % settings.plan.cohort / settings.plan.cohort)
        return reply

    conduct(LoopbackGrid(app, agents, tamper=weigh), store, run)


def _on_ray(
    store: Store, settings: Settings, agents: Mapping[int, Path], run: Run, say: Say, bytes_of: "Counter[int]"
) -> None:
    from simulations.ray_engine import rehearse_on_ray

    del bytes_of  # Ray's processes carry answers themselves, and nobody weighs them
    rehearse_on_ray(store, settings.task, agents, run, say=lambda progress: say(progress.round_number - 1))


def _agents(store: Store, settings: Settings, files: Mapping[str, Path], folder: Path) -> dict[int, Path]:
    """Agents for a new store; or those that it has."""
    if store.tasks():
        return {device.node_id: folder / device.name for device in store.devices() if device.node_id is not None}
    trust: Trust = "coordinator" if settings.plan.mode == "central" else "sums"
    budget = PrivacyBudget(epsilon=settings.epsilon, delta=settings.task.privacy.delta)
    agents = rehearse(store, settings.task, files, folder, budget=budget, trust=trust)
    for path in agents.values():
        _train_lightly(AgentHome(path), trust)
    return agents


def _train_lightly(home: AgentHome, trust: Trust) -> None:
    """Let agents train as light devices do: the trainer that the engine of blocks is held to."""
    settings = read_settings(home.settings_file)
    home.settings_file.write_text(
        render(replace(settings, trainer="light", floor=Floor(trust=trust))), encoding="utf-8"
    )


def _campaign(
    settings: Settings, store: Store, agents: Mapping[int, Path], run: Run, seed: int, bytes_of: "Counter[int]"
) -> Campaign:
    rounds = tuple(store.rounds(run.id))
    facts: list[Facts] = []
    for result, known in zip(rounds, facts_of(rounds), strict=True):
        facts.append(replace(known, up=bytes_of[result.plan.number]))
    level = level_of(rounds[0].plan.cost) if rounds else "record"
    names = sorted(path.name for path in agents.values())
    homes = {path.name: path for path in agents.values()}
    refused = Counter(name for result in rounds for name in result.refusals)
    spent = [_spent(homes[name], settings, level) for name in names]
    return Campaign(
        seed=seed, store=store, run=run, rounds=rounds, facts=tuple(facts),
        paid=Paid(
            rounds=np.array([charges for charges, _ in spent], np.int64),
            epsilon=np.array([epsilon for _, epsilon in spent]),
            refusals=np.array([refused[name] for name in names], np.int64),
        ),
    )  # fmt: skip


def _spent(path: Path, settings: Settings, level: Level) -> tuple[int, float]:
    """How many charges an agent's own ledger has, and what they come to."""
    store = AgentStore(AgentHome(path).database)
    try:
        return len(store.charges()), Ledger(store).spent(settings.task.privacy.delta, level=level).epsilon
    finally:
        store.close()
