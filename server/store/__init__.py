"""The coordinator's store: one SQLite file, and every line of SQL that the server side has.

The service, the child process of a run, the commands and the terminal UI all open the same file; commands
are rows too (a queued run, an approved device), so they are durable, audited and need no port.
"""

import time

from server.records import AuditEntry, SurveyResult
from server.store.devices import DeviceRows
from server.store.lifecycle import LifecycleRows
from server.store.rows import fields
from server.store.runs import RunRows
from server.store.sequences import SequenceRows
from shared import wire


class Store(DeviceRows, RunRows, SequenceRows, LifecycleRows):
    """Reads and writes the coordinator's records; safe to open from several processes at once."""

    def add_survey(self, result: SurveyResult) -> None:
        """Keep a merged survey."""
        self._do("INSERT INTO surveys VALUES (?, ?, ?)", result.run_id, result.task, wire.to_json(result).decode())

    def surveys(self, task: str | None = None) -> list[SurveyResult]:
        """All surveys, or one task's, oldest first."""
        rows = self._all("SELECT body FROM surveys WHERE ? IS NULL OR task = ? ORDER BY run_id", task, task)
        return [wire.from_json(SurveyResult, row["body"]) for row in rows]

    def news(self) -> tuple[int, int, list[tuple[str, int]]]:
        """The newest release's number, the newest roster's (0 before the first), and each task's newest revision."""
        release = self._one("SELECT coalesce(max(number), 0) AS newest FROM releases")
        roster = self._one("SELECT coalesce(max(number), 0) AS newest FROM rosters")
        tasks = self._all("SELECT name, max(revision) AS revision FROM tasks GROUP BY name ORDER BY name")
        assert release is not None
        assert roster is not None
        return release["newest"], roster["newest"], [(row["name"], row["revision"]) for row in tasks]

    def audit(self, actor: str, act: str, detail: str = "", *, command: str = "") -> None:
        """Write down who did what, and by which command line."""
        self._do(
            "INSERT INTO audit (at, actor, act, detail, command) VALUES (?, ?, ?, ?, ?)",
            time.time(), actor, act, detail, command,
        )  # fmt: skip

    def audit_log(self, limit: int = 200) -> list[AuditEntry]:
        """The newest acts, newest first."""
        rows = self._all("SELECT at, actor, act, detail, command FROM audit ORDER BY id DESC LIMIT ?", limit)
        return [AuditEntry(**fields(row)) for row in rows]
