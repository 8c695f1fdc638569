"""Tasks, versions with their weights, releases."""

import hashlib
import time
from collections.abc import Sequence

from server.codeversion import code_version
from server.records import GateVerdict, Lineage
from server.store.blobs import NOTHING
from server.store.rows import Rows, fields
from shared import wire
from shared.contract import Contract
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

    def task(self, name: str, *, revision: int | None = None) -> Task:
        """Return the newest revision of the task called `name`, or the one named; raise `InputError` if there is none."""
        row = self._one(
            "SELECT body FROM tasks WHERE name = ? AND (? IS NULL OR revision = ?) ORDER BY revision DESC LIMIT 1",
            name, revision, revision,
        )  # fmt: skip
        if row is None:
            called = f"{name!r}" if revision is None else f"{name!r} at revision {revision}"
            raise InputError(f"no task is called {called}; publish one with `covey task FILE`")
        return wire.from_json(Task, row["body"])

    def tasks(self) -> list[Task]:
        """Return the newest revision of every task, by name."""
        rows = self._all("SELECT name, max(revision), body FROM tasks GROUP BY name ORDER BY name")
        return self._records("tasks", rows, lambda row: wire.from_json(Task, row["body"]))

    def add_initial_version(self, task: str, revision: int, weights: bytes, *, parent: int = 0) -> ModelVersion:
        """Keep a revision's first weights as its first version; `parent` is the version they were carried over from."""
        with transaction(self._db):
            return self._insert_version(
                task=task, revision=revision, run_id=0, round_number=0, parent=parent, weights=weights
            )

    def _insert_version(
        self, *, task: str, revision: int, run_id: int, round_number: int, parent: int, weights: bytes
    ) -> ModelVersion:
        cursor = self._run(
            "INSERT INTO versions (task, revision, run_id, round_number, parent, weights_sha256, stage, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 'candidate', ?)",
            (task, revision, run_id, round_number, parent, self._keep(weights), time.time()),
        )
        made = self.version(int(cursor.lastrowid or 0))
        born = Lineage(version=made.number, code=code_version(), contract=self._contract(task, revision))
        self._do("INSERT INTO lineage VALUES (?, ?)", made.number, wire.to_json(born).decode())
        return made

    def _contract(self, task: str, revision: int) -> str:
        """The SHA-256 of the contract that a revision declares; empty where it declares none."""
        row = self._one("SELECT body FROM tasks WHERE name = ? AND revision = ?", task, revision)
        contract = wire.from_json(Task, row["body"]).contract if row else Contract()
        return hashlib.sha256(wire.to_json(contract)).hexdigest() if contract != Contract() else ""

    def version(self, number: int) -> ModelVersion:
        """The version numbered `number`, or `InputError`."""
        row = self._one("SELECT * FROM versions WHERE number = ?", number)
        if row is None:
            raise InputError(f"there is no version {number}; `covey models` lists them")
        return ModelVersion(**fields(row))

    def versions(self, task: str | None = None) -> list[ModelVersion]:
        """All versions, or one task's, oldest first."""
        rows = self._all("SELECT * FROM versions WHERE ? IS NULL OR task = ? ORDER BY number", task, task)
        return self._records(f"versions {task}", rows, lambda row: ModelVersion(**fields(row)))

    def weights(self, version: int) -> bytes:
        """The version's weights, checked against their content address."""
        row = self._one(
            "SELECT data, sha256 FROM versions JOIN blobs ON sha256 = weights_sha256 WHERE number = ?", version
        )
        if row is not None and not row["data"] and row["sha256"] != NOTHING:
            raise InputError(
                f"the weights of version {version} were collected; `covey models show {version}` says what is left"
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
        """Keep a published release with the verdicts that let it pass; its version is `released`, or a `canary` where staged."""
        with transaction(self._db):
            body, verdicts = wire.to_json(release).decode(), [wire.to_json(gate).decode() for gate in gates]
            self._do(
                "INSERT INTO releases (number, task, version, body, gates) VALUES (?, ?, ?, ?, ?)",
                release.number, release.task, release.version, body, f"[{','.join(verdicts)}]",
            )  # fmt: skip
            self.set_stage(release.version, "canary" if release.staged else "released")

    def releases(self, task: str | None = None) -> list[Release]:
        """All releases, or one task's, oldest first."""
        rows = self._all("SELECT body FROM releases WHERE ? IS NULL OR task = ? ORDER BY number", task, task)
        return self._records(f"releases {task}", rows, lambda row: wire.from_json(Release, row["body"]))

    def gates(self, release: int) -> str:
        """The verdicts of one release, as a JSON list."""
        row = self._one("SELECT gates FROM releases WHERE number = ?", release)
        return str(row["gates"]) if row else "[]"
