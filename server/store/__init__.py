"""The coordinator's store: one SQLite file, and every line of SQL that the server side has.

The service, the child process of a run, the commands and the terminal UI all open the same file; commands
are rows too (a queued run, an approved device), so they are durable, audited and need no port.
"""

import time

from server.records import AuditEntry, SurveyResult
from server.store.blobs import BlobRows
from server.store.devices import DeviceRows
from server.store.lifecycle import LifecycleRows
from server.store.numbers import NumberRows
from server.store.rows import fields
from server.store.runs import RunRows
from server.store.sequences import SequenceRows
from shared import wire


class Store(DeviceRows, RunRows, SequenceRows, LifecycleRows, BlobRows, NumberRows):
    """Reads and writes the coordinator's records; safe to open from several processes at once."""

    def add_survey(self, result: SurveyResult) -> None:
        """Keep a merged survey."""
        self._do("INSERT INTO surveys VALUES (?, ?, ?)", result.run_id, result.task, wire.to_json(result).decode())

    def surveys(self, task: str | None = None) -> list[SurveyResult]:
        """All surveys, or one task's, oldest first."""
        rows = self._all("SELECT body FROM surveys WHERE ? IS NULL OR task = ? ORDER BY run_id", task, task)
        return self._records(f"surveys {task}", rows, lambda row: wire.from_json(SurveyResult, row["body"]))

    def news(self) -> tuple[int, int, int, list[tuple[str, int]]]:
        """The newest release's and roster's number (0 before the first), the count of rollouts, each task's newest revision."""
        release = self._one("SELECT coalesce(max(number), 0) AS newest FROM releases")
        roster = self._one("SELECT coalesce(max(number), 0) AS newest FROM rosters")
        rollouts = self._one("SELECT count(*) AS signed FROM rollouts")
        tasks = self._all("SELECT name, max(revision) AS revision FROM tasks GROUP BY name ORDER BY name")
        assert release is not None
        assert roster is not None
        assert rollouts is not None
        return (
            release["newest"],
            roster["newest"],
            rollouts["signed"],
            [(row["name"], row["revision"]) for row in tasks],
        )

    def audit(self, actor: str, act: str, detail: str = "", *, command: str = "") -> None:
        """Write down who did what, and by which command line."""
        self._do(
            "INSERT INTO audit (at, actor, act, detail, command) VALUES (?, ?, ?, ?, ?)",
            time.time(), actor, act, detail, command,
        )  # fmt: skip

    def audit_log(self, limit: int = 200, *, since: float = 0.0, actor: str = "", act: str = "") -> list[AuditEntry]:
        """The newest acts, newest first; `since` is Unix time, `actor` whose and `act` which alone are wanted."""
        rows = self._all(
            "SELECT at, actor, act, detail, command FROM audit WHERE at >= ? AND (? = '' OR actor = ?) "
            "AND (? = '' OR act = ?) ORDER BY id DESC LIMIT ?",
            since, actor, actor, act, act, limit,
        )  # fmt: skip
        return [AuditEntry(**fields(row)) for row in rows]
