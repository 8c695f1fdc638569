"""Runs, their rounds, and what each round committed."""

import secrets
import time

from server.records import ACTIVE, Progress, Run, RunKind, RunState
from server.store.models import ModelRows
from server.store.rows import fields
from shared import wire
from shared.database import transaction
from shared.errors import InputError
from shared.models import ModelVersion
from shared.rounds import RoundResult


class RunRows(ModelRows):
    """What was asked for, how far it got, and every round's record."""

    def queue_run(self, task: str, kind: RunKind, request: object) -> int:
        """Ask the coordinator for a run; refused while the task has one under way."""
        with transaction(self._db):
            busy = self._one("SELECT id FROM runs WHERE task = ? AND state IN (?, ?, ?)", task, *ACTIVE)
            if busy:
                raise InputError(f"run {busy['id']} of task {task!r} is under way; stop it or wait for it")
            cursor = self._run(
                "INSERT INTO runs (task, kind, state, request, created_at) VALUES (?, ?, 'queued', ?, ?)",
                (task, kind, wire.to_json(request).decode(), time.time()),
            )
        return int(cursor.lastrowid or 0)

    def run(self, run_id: int) -> Run:
        """The run numbered `run_id`, or `InputError`."""
        row = self._one("SELECT * FROM runs WHERE id = ?", run_id)
        if row is None:
            raise InputError(f"there is no run {run_id}; `covey rounds` lists them")
        return Run(**fields(row))

    def runs(self, *states: RunState) -> list[Run]:
        """Every run, or those in `states`, oldest first."""
        rows = self._all("SELECT * FROM runs ORDER BY id")
        return [Run(**fields(row)) for row in rows if not states or row["state"] in states]

    def set_run_state(self, run_id: int, state: RunState, detail: str = "") -> None:
        """Move a run on; a start and an end are stamped with the time."""
        now = time.time()
        self._do(
            "UPDATE runs SET state = ?, detail = ?, started_at = CASE WHEN ? = 'running' THEN coalesce(started_at, ?) "
            "ELSE started_at END, finished_at = CASE WHEN ? IN ('finished', 'stopped', 'failed') THEN ? END WHERE id = ?",
            state, detail, state, now, state, now, run_id,
        )  # fmt: skip
        if state not in ACTIVE:
            self._do("DELETE FROM campaign_keys WHERE run_id = ?", run_id)

    def campaign_key(self, run_id: int) -> bytes:
        """The 32 secret bytes that a run's own noise is drawn from, made when first asked for; gone once it ended."""
        with transaction(self._db):
            self._do("INSERT OR IGNORE INTO campaign_keys VALUES (?, ?)", run_id, secrets.token_bytes(32))
            row = self._one("SELECT key FROM campaign_keys WHERE run_id = ?", run_id)
        assert row is not None
        return bytes(row["key"])

    def set_progress(self, progress: Progress) -> None:
        """Say where a run is."""
        self._do("INSERT OR REPLACE INTO progress VALUES (?, ?)", progress.run_id, wire.to_json(progress).decode())

    def progress(self, run_id: int) -> Progress | None:
        """Where a run is, if it said."""
        row = self._one("SELECT body FROM progress WHERE run_id = ?", run_id)
        return wire.from_json(Progress, row["body"]) if row else None

    def rounds(self, run_id: int | None = None) -> list[RoundResult]:
        """The rounds of one run, or of all, in order."""
        rows = self._all(
            "SELECT body FROM rounds WHERE ? IS NULL OR run_id = ? ORDER BY run_id, number", run_id, run_id
        )
        return self._records(f"rounds {run_id}", rows, lambda row: wire.from_json(RoundResult, row["body"]))

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
