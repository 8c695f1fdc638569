"""The coordinator's side of a rehearsal in one process: its store, its nodes, and a campaign that goes on after an end."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from server import central, planning
from server.planfile import PlanFile
from server.records import ACTIVE, Run
from server.store import Store
from shared.architecture import size
from shared.errors import InputError
from shared.noise import CipherStream
from shared.tasks import Task
from simulations.cohort import FIRST_NODE, enrol
from simulations.fleet.streams import device_stream

COORDINATOR = 1 << 41
"""Stands where a device's number would, for the stream of the coordinator's own noise."""


def found(path: Path, task: Task, nodes: Iterable[str], *, weights: bytes) -> Store:
    """Open a coordinator's store at `path`; a new one gets the task, a first version of `weights`, and a node a name."""
    store = Store(path)
    if store.tasks():
        return store
    store.add_task(task)
    store.add_initial_version(task.name, task.revision, weights)
    for node, name in enumerate(nodes, start=FIRST_NODE):
        enrol(store, name, node, f"a rehearsal's key, of {name}".encode())
    return store


def newest_weights(folder: Path, task: Task, seed: int) -> bytes:
    """The last weights of a rehearsal in `folder`, of this seed if it has it; raise `InputError` if it has none of this task."""
    stores = sorted(folder.glob("seed-*.db"), key=lambda path: (path.name != f"seed-{seed}.db", path.name))
    if not stores:
        raise InputError(f"{folder} holds no rehearsal to start from; name a result's folder with --from")
    store = Store(stores[0])
    try:
        versions = [version for version in store.versions() if version.task == task.name]
        weights = store.weights(versions[-1].number) if versions else b""
    finally:
        store.close()
    if len(weights) != 4 * size(task):
        raise InputError(f"{folder} is of another task, or of another network, than {task.name!r}")
    return weights


def queued(store: Store, task: Task, plan: PlanFile, *, cohort: int, quorum: int) -> Run:
    """The run of a plan: the one that was begun before, or a new one that asks so many nodes."""
    if runs := store.runs():
        return runs[-1]
    request = planning.campaign(
        store, task, window=plan.window, training=plan.training, base_version=None, quorum=quorum, cohort=cohort,
        deadline_seconds=plan.deadline_seconds, mode=plan.mode, reserve=plan.reserve,
    )  # fmt: skip
    return store.run(store.queue_run(task.name, "train", replace(request, plan=plan.sha256)))


def is_open(run: Run) -> bool:
    """Whether a run still has rounds to come."""
    return run.state in ACTIVE


@contextmanager
def seeded_noise(seed: int, round_number: Callable[[], int]) -> Generator[None]:
    """Draw the coordinator's own noise from streams of the seed, so that a rehearsal can be had again to the bit.

    It takes the place of the system's for this process alone, and for as long as the context lasts.
    """
    real, drawn = central.system_stream, Counter[int]()

    def stream() -> CipherStream:
        number = round_number()
        drawn[number] += 1
        return device_stream(seed, number, COORDINATOR + drawn[number])

    central.system_stream = stream
    try:
        yield
    finally:
        central.system_stream = real
