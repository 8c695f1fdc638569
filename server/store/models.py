"""Tasks, versions with their weights, releases."""

import hashlib
import time
from collections.abc import Sequence

from server.records import GateVerdict
from server.store.rows import Rows, fields
from shared import wire
from shared.database import transaction
from shared.errors import InputError
from shared.models import ModelVersion, Release, Stage
from shared.tasks import Task


class ModelRows(Rows):
    """What is learned, and every set of weights that came of it, by content address."""

    def add_task(self, task: Task) -> None:
        """Keep a published task; a revision is written once and must rise."""
        with transaction(self._db):
            newest = self._one("SELECT max(revision) AS revision FROM tasks WHERE name = ?", task.name)
            if newest is not None and newest["revision"] is not None and newest["revision"] >= task.revision:
                raise InputError(
                    f"task {task.name!r} is at revision {newest['revision']}; raise `revision` above it to publish again"
                )
            self._do("INSERT INTO tasks VALUES (?, ?, ?)", task.name, task.revision, wire.to_json(task).decode())

    def task(self, name: str) -> Task:
        """Return the newest revision of the task called `name`, or raise `InputError`."""
        row = self._one("SELECT body FROM tasks WHERE name = ? ORDER BY revision DESC LIMIT 1", name)
        if row is None:
            raise InputError(f"no task is called {name!r}; publish one with `covey task FILE`")
        return wire.from_json(Task, row["body"])

    def tasks(self) -> list[Task]:
        """Return the newest revision of every task, by name."""
        rows = self._all("SELECT DISTINCT name FROM tasks ORDER BY name")
        return [self.task(row["name"]) for row in rows]

    def add_initial_version(self, task: str, revision: int, weights: bytes) -> ModelVersion:
        """Keep a task's untrained weights as its first version."""
        with transaction(self._db):
            return self._insert_version(
                task=task, revision=revision, run_id=0, round_number=0, parent=0, weights=weights
            )

    def _insert_version(
        self, *, task: str, revision: int, run_id: int, round_number: int, parent: int, weights: bytes
    ) -> ModelVersion:
        cursor = self._run(
            "INSERT INTO versions (task, revision, run_id, round_number, parent, weights_sha256, stage, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 'candidate', ?)",
            (task, revision, run_id, round_number, parent, self._keep(weights), time.time()),
        )
        return self.version(int(cursor.lastrowid or 0))

    def version(self, number: int) -> ModelVersion:
        """The version numbered `number`, or `InputError`."""
        row = self._one("SELECT * FROM versions WHERE number = ?", number)
        if row is None:
            raise InputError(f"there is no version {number}; `covey models` lists them")
        return ModelVersion(**fields(row))

    def versions(self, task: str | None = None) -> list[ModelVersion]:
        """All versions, or one task's, oldest first."""
        rows = self._all("SELECT * FROM versions WHERE ? IS NULL OR task = ? ORDER BY number", task, task)
        return [ModelVersion(**fields(row)) for row in rows]

    def weights(self, version: int) -> bytes:
        """The version's weights, checked against their content address."""
        row = self._one(
            "SELECT data, sha256 FROM versions JOIN blobs ON sha256 = weights_sha256 WHERE number = ?", version
        )
        if row is None or hashlib.sha256(row["data"]).hexdigest() != row["sha256"]:
            raise InputError(
                f"the weights of version {version} are missing or damaged; restore the store from a backup"
            )
        return bytes(row["data"])

    def set_stage(self, version: int, stage: Stage) -> None:
        """Move a version along its life."""
        self._do("UPDATE versions SET stage = ? WHERE number = ?", stage, version)

    def add_release(self, release: Release, gates: Sequence[GateVerdict]) -> None:
        """Keep a published release with the verdicts that let it pass; its version becomes `released`."""
        with transaction(self._db):
            body, verdicts = wire.to_json(release).decode(), [wire.to_json(gate).decode() for gate in gates]
            self._do(
                "INSERT INTO releases (number, task, version, body, gates) VALUES (?, ?, ?, ?, ?)",
                release.number, release.task, release.version, body, f"[{','.join(verdicts)}]",
            )  # fmt: skip
            self.set_stage(release.version, "released")

    def releases(self, task: str | None = None) -> list[Release]:
        """All releases, or one task's, oldest first."""
        rows = self._all("SELECT body FROM releases WHERE ? IS NULL OR task = ? ORDER BY number", task, task)
        return [wire.from_json(Release, row["body"]) for row in rows]

    def gates(self, release: int) -> str:
        """The verdicts of one release, as a JSON list."""
        row = self._one("SELECT gates FROM releases WHERE number = ?", release)
        return str(row["gates"]) if row else "[]"
