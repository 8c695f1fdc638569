"""A rehearsal: one plan over virtual devices, once a seed, kept in a folder so that it can go on after an end.

The coordinator's code is what ships (`server.app.conduct`, its strategy, its store); the devices are `simulations.fleet`.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from client.settings import AgentSettings, Floor, TaskGrant
from server.app import conduct
from server.planfile import PlanFile, write_plan
from server.records import Run
from server.store import Store
from shared import wire
from shared.aggregation import Aggregation
from shared.architecture import initial_weights
from shared.errors import InputError
from shared.files import write_whole
from shared.privacy import PrivacyBudget
from shared.rounds import RoundResult
from shared.tasks import Task
from simulations.campaign import Campaign, Facts, Paid, level_of
from simulations.cohort import FIRST_NODE
from simulations.coordinator import found, is_open, newest_weights, queued, seeded_noise
from simulations.fleet.conditions import Behaviour, Conditions
from simulations.fleet.devices import Devices, Turn
from simulations.fleet.engine import Noise
from simulations.fleet.grid import Asking, FleetGrid
from simulations.fleet.ledgers import Ledgers
from simulations.fleet.traffic import TrafficLog
from simulations.fleet.workers import Crew
from simulations.scene import Scene

Say = Callable[[float], None]
"""Told how many rounds are done, of all seeds together."""

SETTINGS, ROWS = "settings.json", "rows"
"""What a result's folder holds beside its tables: what was asked for, and the rows that it is about."""

EngineName = Literal["fast", "agents", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that decides what a rehearsal comes to, but for the rows.

    `scene` names the rows. With `block` above 1, so many devices answer in one message. `epsilon` is what each owner grants
    at the task's delta. With `base`, the folder of an earlier rehearsal, the campaign starts from its last weights.
    `extensions` are the hashes of the files of one's own that define networks, strategies or rules.
    """

    task: Task
    plan: PlanFile
    scene: str
    devices: int
    seeds: tuple[int, ...]
    behaviour: Behaviour
    block: int = 1
    noise: Noise = "quick"
    epsilon: float
    engine: EngineName = "fast"
    base: str = ""
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse blocks where the coordinator must see devices one by one, and modes that the engine does not know."""
        training = self.plan.training
        if self.engine == "fast" and self.plan.mode == "distributed":
            raise InputError("rounds under secure aggregation are rehearsed device by device; take --engine agents")
        seen = training.aggregation or Aggregation()
        if self.block > 1 and self.behaviour.attackers:
            raise InputError("what attackers send is judged one by one; take --block 1")
        if self.block > 1 and (self.plan.mode != "local" or training.compression or seen.sees_each):
            raise InputError("only plain updates of local mode under the mean can be summed in blocks; take --block 1")
        if self.engine != "fast" and self.base:
            raise InputError("only --engine fast starts from an earlier rehearsal")
        if self.engine != "fast" and (self.block > 1 or self.behaviour != Behaviour()):
            raise InputError("agents answer one by one, as they are; blocks and behaviour are for --engine fast")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise InputError("a rehearsal has one seed or more, each once")

    @property
    def carriers(self) -> int | None:
        """How many messages a round has where they carry blocks of devices; None where each goes to one device."""
        return -(-self.plan.cohort // self.block) if self.block > 1 else None


def keep_settings(folder: Path, settings: Settings) -> None:
    """Begin a rehearsal in `folder`, or go on with the one that is there; raise `InputError` if that is another."""
    path, body = folder / SETTINGS, wire.to_json(settings)
    if path.exists():
        if path.read_bytes() != body:
            raise InputError(f"{folder} holds another rehearsal; name another folder with --out, or remove it")
        return
    if folder.exists() and any(each.name != ROWS for each in folder.iterdir()):
        raise InputError(f"{folder} holds something else than a rehearsal; name another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_plan(folder / "plan.toml", settings.plan)
        write_whole(path, body)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error


def conduct_all(settings: Settings, scene: Scene, folder: Path, *, workers: int, say: Say) -> Iterator[Campaign]:
    """Conduct each seed's campaign to its end, from where it stands, and hand it over; its store is closed afterwards.

    Ctrl-C hands over the campaign under way as it stands, and is raised again.
    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    for place, seed in enumerate(settings.seeds):
        done = place * settings.plan.training.rounds
        source = scene.source_of(settings.behaviour, seed)
        with (
            Crew(source, settings.task, workers=workers) as crew,
            _prepared(settings, scene, folder, crew, seed) as campaign,
        ):
            interrupted = campaign.conduct(lambda part, done=done: say(done + part))
            yield campaign.facts()
        if interrupted:
            raise KeyboardInterrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """One seed's campaign, ready to go on: the coordinator's store and run, and the devices behind its grid."""

    settings: Settings
    seed: int
    store: Store
    run: Run
    grid: FleetGrid
    devices: Devices
    traffic: TrafficLog

    def conduct(self, say: Say) -> bool:
        """Let the coordinator do its work; True if a person interrupted it."""
        self.grid.watch = lambda number, share: say(number - 1 + share)
        if not is_open(self.run):
            return False
        try:
            with seeded_noise(self.seed, lambda: len(self.devices.turns)):
                conduct(self.grid, self.store, self.run)
        except KeyboardInterrupt:
            return True
        say(self.settings.plan.training.rounds)
        return False

    def facts(self) -> Campaign:
        """How it stands."""
        rounds = tuple(self.store.rounds(self.run.id))
        turns = iter(self.devices.turns)
        return Campaign(
            seed=self.seed, store=self.store, run=self.store.run(self.run.id), rounds=rounds, paid=self._paid(rounds),
            facts=tuple(self._of(result, next(turns) if result.cohort else None) for result in rounds),
        )  # fmt: skip

    def _of(self, result: RoundResult, turn: Turn | None) -> Facts:
        """One round's facts; nobody was online for one without a turn. What the coordinator refused did not return."""
        if turn is None:
            return Facts(asked=0, returned=0, refused=0, failed=0)
        taken = self.traffic.rounds.get(turn.number)
        returned = len(turn.returned) if self.settings.carriers else len(result.returned)
        return Facts(
            asked=len(turn.asked), returned=returned, refused=len(turn.refused),
            failed=len(turn.asked) - returned - len(turn.refused),
            up=taken.up if taken else 0, down=taken.down if taken else 0, seconds=turn.seconds,
        )  # fmt: skip

    def _paid(self, rounds: Sequence[RoundResult]) -> Paid:
        ledgers, delta = self.devices.ledgers, self.settings.task.privacy.delta
        level = level_of(rounds[0].plan.cost) if rounds else "record"
        refusals = np.zeros(self.settings.devices, np.int64)
        for turn in self.devices.turns:
            refusals[list(turn.refused)] += 1
        return Paid(rounds=ledgers.rounds, epsilon=ledgers.epsilons(delta=delta, level=level), refusals=refusals)


@contextmanager
def _prepared(settings: Settings, scene: Scene, folder: Path, crew: Crew, seed: int) -> Generator[_Prepared]:
    task, plan, carriers = settings.task, settings.plan, settings.carriers
    nodes = scene.names if carriers is None else [f"carrier-{number:05d}" for number in range(carriers)]
    store, traffic = _opened(settings, folder, nodes, seed)
    try:
        run = queued(store, task, plan, cohort=carriers or plan.cohort, quorum=carriers or plan.quorum)
        devices = _devices(settings, scene, seed)
        grid = FleetGrid(
            task, devices, crew,
            Asking(cohort=plan.cohort, quorum=plan.quorum, deadline_seconds=plan.deadline_seconds, carriers=carriers),
            nodes=range(FIRST_NODE, FIRST_NODE + len(nodes)), names=scene.names, traffic=traffic, seed=seed,
            noise="none" if plan.mode == "central" else settings.noise,
        )  # fmt: skip
        for result in store.rounds(run.id):
            grid.recall(result.plan, asked=bool(result.cohort))
        yield _Prepared(
            settings=settings, seed=seed, store=store, run=run, grid=grid, devices=devices, traffic=traffic
        )  # fmt: skip
    finally:
        store.close()


def first_weights(settings: Settings, seed: int) -> bytes:
    """What a campaign starts from: the task's first weights, or those that an earlier rehearsal ended with."""
    if settings.base:
        return newest_weights(Path(settings.base), settings.task, seed)
    return initial_weights(settings.task).tobytes()


def _opened(settings: Settings, folder: Path, nodes: Sequence[str], seed: int) -> tuple[Store, TrafficLog]:
    """A seed's files; those of an unfinished campaign whose devices keep a rest of their updates are begun anew."""
    database, log = folder / f"seed-{seed}.db", folder / f"seed-{seed}.traffic"
    weights = first_weights(settings, seed)
    store = found(database, settings.task, nodes, weights=weights)
    if settings.plan.training.compression and any(is_open(run) for run in store.runs()):
        store.close()
        for path in (database, log):
            path.unlink(missing_ok=True)
        store = found(database, settings.task, nodes, weights=weights)
    return store, TrafficLog(log)


def _devices(settings: Settings, scene: Scene, seed: int) -> Devices:
    """The fleet at its beginning: nothing paid, and the first hour of its clock."""
    task, count = settings.task, len(scene.names)
    owner = AgentSettings(
        name="rehearsal", coordinator="127.0.0.1:0", federation="rehearsal",
        budget=PrivacyBudget(epsilon=settings.epsilon, delta=task.privacy.delta),
        tasks={task.name: TaskGrant(data="rehearsal")},
        floor=Floor(trust="coordinator" if settings.plan.mode == "central" else "sums"),
    )  # fmt: skip
    work = (scene.rows * settings.plan.training.sample_rate).astype(np.float32)
    return Devices(
        ledgers=Ledgers(count, task, owner), conditions=Conditions(settings.behaviour, count, seed=seed), work=work,
        seed=seed,
    )  # fmt: skip
