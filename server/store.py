"""The coordinator's store: one SQLite file, and every line of SQL that the server side has.

The service, the child process of a run, the commands and the terminal UI all open the same file; commands
are rows too (a queued run, an approved device), so they are durable, audited and need no port.
"""

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from server.records import (
    ACTIVE,
    AuditEntry,
    Device,
    DeviceState,
    GateVerdict,
    Progress,
    Run,
    RunKind,
    RunState,
    SurveyResult,
)
from server.schema import MIGRATIONS
from shared import wire
from shared.database import connect, transaction
from shared.errors import InputError
from shared.models import ModelVersion, Release, Stage
from shared.rounds import RoundResult


class Store:
    """Reads and writes the coordinator's records; safe to open from several processes at once."""

    def __init__(self, path: Path | str) -> None:
        """Open or create the file at `path` (`:memory:` in tests)."""
        self._db = connect(path, MIGRATIONS)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: object) -> sqlite3.Row | None:
        return cast("sqlite3.Row | None", self._db.execute(sql, values).fetchone())

    def _do(self, sql: str, *values: object) -> int:
        return self._db.execute(sql, values).rowcount

    def changes(self) -> int:
        """A number that moves whenever another connection commits; cheap enough to ask often."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    # -- invitations and devices ------------------------------------------------------------

    def add_invitation(self, token_sha256: str, expires_at: float) -> None:
        """Remember a single-use invitation by its token's hash."""
        self._do("INSERT INTO invitations (token_sha256, expires_at) VALUES (?, ?)", token_sha256, expires_at)

    def enrol(self, token_sha256: str, name: str, public_key: bytes) -> None:
        """Spend an invitation on a pending device; raise `InputError` if either is not usable."""
        with transaction(self._db):
            used = self._do(
                "UPDATE invitations SET used_by = ? WHERE token_sha256 = ? AND used_by IS NULL AND expires_at > ?",
                name, token_sha256, time.time(),
            )  # fmt: skip
            if not used:
                raise InputError("this invitation is unknown, used or expired; ask the operator for a new one")
            if self._one("SELECT 1 FROM devices WHERE name = ? OR public_key = ?", name, public_key):
                raise InputError(f"a device named {name!r}, or with this key, is enrolled already; choose another name")
            self._do(
                "INSERT INTO devices (name, public_key, state, enrolled_at) VALUES (?, ?, 'pending', ?)",
                name, public_key, time.time(),
            )  # fmt: skip

    def devices(self) -> list[Device]:
        """Every device, by name."""
        return [_device(row) for row in self._all("SELECT * FROM devices ORDER BY name")]

    def device(self, name: str) -> Device:
        """The device called `name`, or `InputError`."""
        row = self._one("SELECT * FROM devices WHERE name = ?", name)
        if row is None:
            raise InputError(f"no device is called {name!r}; `covey fleet` lists them")
        return _device(row)

    def device_by_key(self, public_key: bytes) -> Device | None:
        """The device that holds `public_key`, if it is enrolled."""
        row = self._one("SELECT * FROM devices WHERE public_key = ?", public_key)
        return _device(row) if row else None

    def set_device_state(self, name: str, state: DeviceState, *, roster_signature: bytes | None = None) -> None:
        """Approve or revoke; an approval carries the roster key's signature over the device's key."""
        self._do(
            "UPDATE devices SET state = ?, roster_signature = coalesce(?, roster_signature) WHERE name = ?",
            state, roster_signature, name,
        )  # fmt: skip

    def set_node(self, name: str, node_id: int) -> None:
        """Record the node that Flower knows this device by."""
        self._do("UPDATE devices SET node_id = ? WHERE name = ?", node_id, name)

    def touch_device(self, name: str, *, at: float, bytes_up: int, bytes_down: int) -> None:
        """Record that a device spoke, and how many bytes went each way since the last call."""
        self._do(
            "UPDATE devices SET last_seen = ?, bytes_up = bytes_up + ?, bytes_down = bytes_down + ? WHERE name = ?",
            at, bytes_up, bytes_down, name,
        )  # fmt: skip

    def set_installed(self, name: str, release: int, detail: str) -> None:
        """Record the release that a device says it runs, with its self-test's words."""
        self._do("UPDATE devices SET release = ?, detail = ? WHERE name = ?", release, detail, name)

    # -- runs and rounds --------------------------------------------------------------------

    def queue_run(self, task: str, kind: RunKind, request: object) -> int:
        """Ask the coordinator for a run; refused while the task has one under way."""
        with transaction(self._db):
            busy = self._one("SELECT id FROM runs WHERE task = ? AND state IN (?, ?, ?)", task, *ACTIVE)
            if busy:
                raise InputError(f"run {busy['id']} of task {task!r} is under way; stop it or wait for it")
            cursor = self._db.execute(
                "INSERT INTO runs (task, kind, state, request, created_at) VALUES (?, ?, 'queued', ?, ?)",
                (task, kind, wire.to_json(request).decode(), time.time()),
            )
        return int(cursor.lastrowid or 0)

    def run(self, run_id: int) -> Run:
        """The run numbered `run_id`, or `InputError`."""
        row = self._one("SELECT * FROM runs WHERE id = ?", run_id)
        if row is None:
            raise InputError(f"there is no run {run_id}; `covey rounds` lists them")
        return Run(**_fields(row))

    def runs(self, *states: RunState) -> list[Run]:
        """Every run, or those in `states`, oldest first."""
        rows = self._all("SELECT * FROM runs ORDER BY id")
        return [Run(**_fields(row)) for row in rows if not states or row["state"] in states]

    def set_run_state(self, run_id: int, state: RunState, detail: str = "") -> None:
        """Move a run on; a start and an end are stamped with the time."""
        now = time.time()
        self._do(
            "UPDATE runs SET state = ?, detail = ?, started_at = CASE WHEN ? = 'running' THEN coalesce(started_at, ?) "
            "ELSE started_at END, finished_at = CASE WHEN ? IN ('finished', 'stopped', 'failed') THEN ? END WHERE id = ?",
            state, detail, state, now, state, now, run_id,
        )  # fmt: skip

    def set_progress(self, progress: Progress) -> None:
        """Say where a run is."""
        self._do("INSERT OR REPLACE INTO progress VALUES (?, ?)", progress.run_id, wire.to_json(progress).decode())

    def progress(self, run_id: int) -> Progress | None:
        """Where a run is, if it said."""
        row = self._one("SELECT body FROM progress WHERE run_id = ?", run_id)
        return wire.from_json(Progress, row["body"]) if row else None

    def rounds(self, run_id: int | None = None) -> list[RoundResult]:
        """The rounds of one run, or of all, in order."""
        where = "" if run_id is None else "WHERE run_id = ?"
        rows = self._all(
            f"SELECT body FROM rounds {where} ORDER BY run_id, number", *(() if run_id is None else (run_id,))
        )
        return [wire.from_json(RoundResult, row["body"]) for row in rows]

    def abandon_round(self, result: RoundResult) -> None:
        """Keep the record of a round that changed no weights."""
        self._insert_round(result, version=None, momentum=None)

    def commit_round(self, result: RoundResult, *, weights: bytes, momentum: bytes, revision: int) -> ModelVersion:
        """Keep a round and the version it made, in one transaction. Arrays are little-endian float32 bytes."""
        with transaction(self._db):
            plan = result.plan
            version = self._insert_version(
                task=plan.task, revision=revision, run_id=plan.run_id, round_number=plan.number,
                parent=plan.base_version, weights=weights,
            )  # fmt: skip
            self._insert_round(result, version=version.number, momentum=self._keep(momentum))
        return version

    def momentum(self, run_id: int) -> bytes | None:
        """The server optimizer's state after the run's last committed round."""
        row = self._one(
            "SELECT data FROM rounds JOIN blobs ON sha256 = momentum_sha256 WHERE run_id = ? ORDER BY number DESC LIMIT 1",
            run_id,
        )
        return bytes(row["data"]) if row else None

    def _insert_round(self, result: RoundResult, *, version: int | None, momentum: str | None) -> None:
        self._do(
            "INSERT INTO rounds (run_id, number, body, outcome, version, momentum_sha256) VALUES (?, ?, ?, ?, ?, ?)",
            result.plan.run_id, result.plan.number, wire.to_json(result).decode(), result.outcome, version, momentum,
        )  # fmt: skip

    # -- versions and their weights ---------------------------------------------------------

    def add_initial_version(self, task: str, revision: int, weights: bytes) -> ModelVersion:
        """Keep a task's untrained weights as its first version."""
        with transaction(self._db):
            return self._insert_version(
                task=task, revision=revision, run_id=0, round_number=0, parent=0, weights=weights
            )

    def _insert_version(
        self, *, task: str, revision: int, run_id: int, round_number: int, parent: int, weights: bytes
    ) -> ModelVersion:
        cursor = self._db.execute(
            "INSERT INTO versions (task, revision, run_id, round_number, parent, weights_sha256, stage, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 'candidate', ?)",
            (task, revision, run_id, round_number, parent, self._keep(weights), time.time()),
        )
        return self.version(int(cursor.lastrowid or 0))

    def _keep(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._do("INSERT OR IGNORE INTO blobs (sha256, data) VALUES (?, ?)", digest, data)
        return digest

    def version(self, number: int) -> ModelVersion:
        """The version numbered `number`, or `InputError`."""
        row = self._one("SELECT * FROM versions WHERE number = ?", number)
        if row is None:
            raise InputError(f"there is no version {number}; `covey models` lists them")
        return ModelVersion(**_fields(row))

    def versions(self, task: str | None = None) -> list[ModelVersion]:
        """All versions, or one task's, oldest first."""
        rows = self._all("SELECT * FROM versions WHERE ? IS NULL OR task = ? ORDER BY number", task, task)
        return [ModelVersion(**_fields(row)) for row in rows]

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

    # -- releases, surveys, audit -----------------------------------------------------------

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

    def add_survey(self, result: SurveyResult) -> None:
        """Keep a merged survey."""
        self._do("INSERT INTO surveys VALUES (?, ?, ?)", result.run_id, result.task, wire.to_json(result).decode())

    def surveys(self, task: str | None = None) -> list[SurveyResult]:
        """All surveys, or one task's, oldest first."""
        rows = self._all("SELECT body FROM surveys WHERE ? IS NULL OR task = ? ORDER BY run_id", task, task)
        return [wire.from_json(SurveyResult, row["body"]) for row in rows]

    def audit(self, actor: str, act: str, detail: str = "") -> None:
        """Write down who did what."""
        self._do("INSERT INTO audit (at, actor, act, detail) VALUES (?, ?, ?, ?)", time.time(), actor, act, detail)

    def audit_log(self, limit: int = 200) -> list[AuditEntry]:
        """The newest acts, newest first."""
        rows = self._all("SELECT at, actor, act, detail FROM audit ORDER BY id DESC LIMIT ?", limit)
        return [AuditEntry(**_fields(row)) for row in rows]


def _fields(row: sqlite3.Row) -> dict[str, Any]:
    return {key: row[key] for key in row.keys()}  # noqa: SIM118 - a Row iterates over values, not keys


def _device(row: sqlite3.Row) -> Device:
    fields = _fields(row)
    del fields["roster_signature"]
    return Device(**fields)
