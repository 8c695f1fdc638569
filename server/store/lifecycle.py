"""What became of versions: their lineage, gates and evaluations, the rollouts of releases, devices' health, retraining."""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence

from server.records import Decision, DeviceHealth, EvaluationResult, GateVerdict, Gating, Lineage, RolloutStep
from server.store.rows import Rows
from shared import wire
from shared.database import transaction
from shared.health import Health
from shared.rollout import Rollout


class LifecycleRows(Rows):
    """Everything after a version's round."""

    def set_lineage(self, lineage: Lineage) -> None:
        """Keep, or put anew, what the rounds do not say of a version."""
        self._do("INSERT OR REPLACE INTO lineage VALUES (?, ?)", lineage.version, wire.to_json(lineage).decode())

    def lineages(self) -> dict[int, Lineage]:
        """Every lineage that was kept, by version; versions of an older Covey have none."""
        rows = self._all("SELECT version, body FROM lineage ORDER BY version")
        kept = self._records("lineages", rows, lambda row: wire.from_json(Lineage, row["body"]))
        return {lineage.version: lineage for lineage in kept}

    def add_gating(self, version: int, verdicts: Sequence[GateVerdict]) -> None:
        """Keep how a version's tests came out."""
        body = json.dumps([wire.encode(verdict) for verdict in verdicts])
        self._do("INSERT INTO gatings (version, at, verdicts) VALUES (?, ?, ?)", version, time.time(), body)

    def gatings(self, version: int | None = None) -> list[Gating]:
        """Every gating, or one version's, oldest first."""
        rows = self._all(
            "SELECT version, at, verdicts FROM gatings WHERE ? IS NULL OR version = ? ORDER BY id", version, version
        )
        return self._records(f"gatings {version}", rows, _gating)

    def add_evaluation(self, result: EvaluationResult) -> None:
        """Keep a merged evaluation."""
        self._do(
            "INSERT INTO evaluations VALUES (?, ?, ?, ?)",
            result.run_id, result.task, result.version, wire.to_json(result).decode(),
        )  # fmt: skip

    def evaluations(self, task: str | None = None, version: int | None = None) -> list[EvaluationResult]:
        """Every evaluation, or those of a task or a version, oldest first."""
        rows = self._all(
            "SELECT body FROM evaluations WHERE (? IS NULL OR task = ?) AND (? IS NULL OR version = ?) ORDER BY run_id",
            task, task, version, version,
        )  # fmt: skip
        return self._records(
            f"evaluations {task} {version}", rows, lambda row: wire.from_json(EvaluationResult, row["body"])
        )

    def add_rollout(self, rollout: Rollout, *, why: str, at: float | None = None) -> None:
        """Keep a signed rollout document; `at` is when it was signed, by default now."""
        self._do(
            "INSERT INTO rollouts VALUES (?, ?, ?, ?, ?, ?)",
            rollout.task, rollout.number, time.time() if at is None else at, rollout.release, why,
            wire.to_json(rollout).decode(),
        )  # fmt: skip

    def rollouts(self, task: str | None = None) -> list[RolloutStep]:
        """Every document that was signed, or one task's, oldest first."""
        rows = self._all(
            "SELECT at, why, body FROM rollouts WHERE ? IS NULL OR task = ? ORDER BY at, number", task, task
        )
        return self._records(f"rollouts {task}", rows, _step)

    def put_health(self, device: str, reported: Iterable[Health], *, at: float) -> None:
        """Keep what a device said last of each release."""
        with transaction(self._db):
            for each in reported:
                self._do(
                    "INSERT INTO health (device, task, release, at, body, since) VALUES (?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET at = excluded.at, "
                    "body = excluded.body, since = CASE json_extract(health.body, '$.verdict') "
                    "WHEN json_extract(excluded.body, '$.verdict') THEN health.since ELSE excluded.since END",
                    device, each.task, each.release, at, wire.to_json(each).decode(), at,
                )  # fmt: skip

    def health(self, task: str | None = None, release: int | None = None) -> list[DeviceHealth]:
        """What devices last said, by device; of one task's release if asked."""
        return self._moved(
            f"health {task} {release}",
            "SELECT * FROM health WHERE moved > ? AND (? IS NULL OR task = ?) AND (? IS NULL OR release = ?)",
            ("device", "task", "release"), _health, task, task, release, release,
        )  # fmt: skip

    def add_decision(self, decision: Decision) -> None:
        """Keep what the retraining policy decided."""
        self._do(
            "INSERT INTO decisions (task, at, body) VALUES (?, ?, ?)",
            decision.task, decision.at, wire.to_json(decision).decode(),
        )  # fmt: skip

    def decisions(self, task: str | None = None) -> list[Decision]:
        """Every decision, or one task's, oldest first."""
        rows = self._all("SELECT body FROM decisions WHERE ? IS NULL OR task = ? ORDER BY id", task, task)
        return self._records(f"decisions {task}", rows, lambda row: wire.from_json(Decision, row["body"]))


def _step(row: sqlite3.Row) -> RolloutStep:
    return RolloutStep(at=row["at"], why=row["why"], rollout=wire.from_json(Rollout, row["body"]))


def _health(row: sqlite3.Row) -> DeviceHealth:
    return DeviceHealth(
        device=row["device"], at=row["at"], since=row["since"], health=wire.from_json(Health, row["body"])
    )


def _gating(row: sqlite3.Row) -> Gating:
    verdicts = tuple(wire.decode(GateVerdict, each) for each in json.loads(row["verdicts"]))
    return Gating(version=row["version"], at=row["at"], verdicts=verdicts)
