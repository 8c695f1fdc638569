"""A federation that signs and a device that installs, without a network between them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from machines import small_task
from numpy.typing import NDArray
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface

from client.config import AgentHome, TaskHome
from client.installed import current_release
from client.updates import Updates, fetch_task
from client.updating import TaskUpdate
from server.config import Federation
from server.export import export
from server.promotion import promote
from server.releases import create_repository, publish_release, publish_task
from server.store import Store
from shared import wire
from shared.architecture import size
from shared.errors import ReleaseError
from shared.models import Precision, Release
from shared.quantization import RECIPE
from shared.reference import make_reference
from shared.runtime import open_model
from shared.tasks import Task, Window

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
URL = "https://coordinator"
AGENT_TOML = """
name = "press"
coordinator = "coordinator"
federation = "works"

[budget]
epsilon = 4.0
delta = 1e-5

[tasks.machines]
data = "rows.parquet"
"""


class DirectoryFetcher(FetcherInterface):
    """Serves a repository directory, as a web server would."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(f"{URL}/tuf/")
        self.asked.append(path)
        if not (self.repository / path).is_file():
            raise exceptions.DownloadHTTPError("not found", 404)
        yield (self.repository / path).read_bytes()


def some_weights(task: Task, *, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.5, size(task)).astype(np.float32)


@dataclass
class Works:
    """Both ends, in one directory."""

    federation: Federation
    store: Store
    task: Task
    home: AgentHome

    def add_version(self, seed: int) -> int:
        weights = some_weights(self.task, seed=seed).tobytes()
        return self.store.add_initial_version(self.task.name, self.task.revision, weights).number

    def promote(self, seed: int) -> Release:
        """The whole way, gates included."""
        return promote(self.federation, self.store, self.task, self.add_version(seed))

    def publish(self, seed: int) -> Release:
        """Sign a model that no gate has seen, for tests of what comes after."""
        return self.publish_weights(some_weights(self.task, seed=seed), version=self.add_version(seed))

    def publish_weights(self, weights: NDArray[np.float32], *, version: int) -> Release:
        fp32 = export(self.task, weights, version=version)
        draft = replace(
            self.draft(version), recipe=RECIPE, reference=make_reference(self.task, open_model(fp32), seed=version)
        )
        return publish_release(self.federation, draft, {"fp32.onnx": fp32, "task.json": wire.to_json(self.task)})

    def publish_as_before(self, seed: int) -> Release:
        """A release in the form of version 0.1.0: int8 travels, and nothing says what the model should answer."""
        version, weights = self.add_version(seed), some_weights(self.task, seed=seed)
        models = {f"{p}.onnx": export(self.task, weights, version=version, precision=p) for p in PRECISIONS}
        return publish_release(self.federation, self.draft(version), {**models, "task.json": wire.to_json(self.task)})

    def draft(self, version: int) -> Release:
        return Release(number=0, task=self.task.name, revision=self.task.revision, version=version, trained_on=Window())

    @property
    def repository(self) -> Path:
        return self.federation.repository

    def look(self) -> TaskUpdate:
        """What one look at the releases did."""
        (found,) = Updates(self.home, fetcher=DirectoryFetcher(self.repository)).check().tasks
        return found

    def check(self) -> int | None:
        """The release that one look installed, None for none; whatever went wrong is raised."""
        found = self.look()
        if found.reason:
            raise ReleaseError(found.reason)
        return found.release if found.installed else None

    @property
    def place(self) -> TaskHome:
        return self.home.task(self.task.name)

    def serving(self) -> int:
        return current_release(self.place)


def build_works(folder: Path, task: Task | None = None) -> Works:
    task = task or small_task()
    federation, home = Federation(folder / "federation"), AgentHome(folder / "agent")
    federation.home.mkdir()
    create_repository(federation)
    publish_task(federation, task)
    store = Store(federation.database)
    store.add_task(task)
    root = (federation.repository / "metadata" / "1.root.json").read_bytes()
    fetch_task(home, base_url=URL, root=root, ca=b"", fetcher=DirectoryFetcher(federation.repository))
    home.settings_file.write_text(AGENT_TOML, encoding="utf-8")
    return Works(federation=federation, store=store, task=task, home=home)
