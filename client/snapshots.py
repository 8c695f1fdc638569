"""Which rows taught which version: a fingerprint of the data, kept on the device with each training.

The owner can list the snapshots and compare two of them, down to single rows. Nothing here ever leaves (privacy
rule 12); with a vault what is kept is sealed.
"""

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from client.dataset import Extra
from client.rowprints import FilePrint, Prints, print_files, print_outcomes, whole
from shared.database import connect, transaction
from shared.errors import InputError
from shared.tasks import Task, Window

MIGRATIONS = (
    """
    CREATE TABLE snapshots (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, name TEXT NOT NULL, body BLOB);
    CREATE TABLE prints (name TEXT PRIMARY KEY, body BLOB NOT NULL);
    """,
)

MOST_PRINTED = 50
"""How many of the newest snapshots keep a number for each row: eight bytes a row and snapshot whose file changed."""

MOST_PLACES = 20
"""How many single rows a comparison names; it counts all."""


class Sealer(Protocol):
    """What encrypts at rest; `client.vault.Vault` is one."""

    def seal(self, data: bytes, *, about: str) -> bytes:
        """Encrypt; `about` must be given again to read."""
        ...

    def unseal(self, sealed: bytes, *, about: str) -> bytes:
        """Decrypt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The data as one training found it; `version` is the one that the round starts from."""

    id: int
    at: float
    request: str
    run: int
    round_number: int
    version: int
    window: Window
    fingerprint: str
    files: tuple[FilePrint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed from one snapshot to another.

    `added_at` and `removed_at` name the first such rows as file and row, counted from 1; `unread` are files whose
    rows cannot be told apart, because they are too many or the snapshot too old.
    """

    added: int
    removed: int
    added_at: tuple[tuple[str, int], ...]
    removed_at: tuple[tuple[str, int], ...]
    new_files: tuple[str, ...]
    gone_files: tuple[str, ...]
    changed_files: tuple[str, ...]
    unread: tuple[str, ...]


class Snapshots:
    """The snapshots of one task's data, in one SQLite file."""

    def __init__(self, path: Path | str, vault: Sealer | None = None) -> None:
        """Open or create the file; without a `vault` it is kept as it is."""
        self._db, self._vault = connect(path, MIGRATIONS), vault

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def record(
        self, data: Path | None, task: Task, *, window: Window, request: str, run: int, round_number: int, version: int,
        outcomes: Extra | None = None,
    ) -> Snapshot:  # fmt: skip
        """Fingerprint the data as it is now, and the `outcomes` that teach beside it.

        A file that did not change since the last snapshot is not read again.
        """
        latest = self._latest()
        known = latest.files if latest else ()
        files = print_files(data, task, known) if data else ()
        if outcomes is not None and len(outcomes[1]):
            told = print_outcomes(*outcomes)
            files = (*files, next((one for one in known if (one.name, one.sha256) == (told.name, told.sha256)), told))
        at, name = time.time(), secrets.token_hex(8)
        about = {
            "request": request, "run": run, "round_number": round_number, "version": version,
            "window": [window.start, window.end], "fingerprint": whole(files),
        }  # fmt: skip
        with transaction(self._db):
            body = {**about, "files": [self._keep(file) for file in files]}
            sealed = self._seal(json.dumps(body).encode(), about=f"snapshot {name}")
            row = self._db.execute("INSERT INTO snapshots (at, name, body) VALUES (?, ?, ?)", (at, name, sealed))
            self._forget_rows()
        return self.read(int(row.lastrowid or 0))

    def log(self) -> tuple[Snapshot, ...]:
        """Every snapshot without its rows' prints, oldest first."""
        rows = self._db.execute("SELECT * FROM snapshots ORDER BY id").fetchall()
        return tuple(self._snapshot(row, with_rows=False) for row in rows)

    def read(self, number: int) -> Snapshot:
        """One snapshot; raise `InputError` if there is none of that number."""
        row = self._db.execute("SELECT * FROM snapshots WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise InputError(f"there is no snapshot {number}; `covey-agent data log` lists them")
        return self._snapshot(row, with_rows=True)

    def erase(self) -> None:
        """Forget every snapshot, and give the disk back."""
        with transaction(self._db):
            self._db.execute("DELETE FROM snapshots")
            self._db.execute("DELETE FROM prints")
        self._db.execute("VACUUM")

    def _latest(self) -> Snapshot | None:
        row = self._db.execute("SELECT * FROM snapshots ORDER BY id DESC LIMIT 1").fetchone()
        return self._snapshot(row, with_rows=True) if row else None

    def _keep(self, file: FilePrint) -> dict[str, Any]:
        """Keep the rows' prints once, however many snapshots find the file unchanged."""
        about = {"name": file.name, "size": file.size, "modified_ns": file.modified_ns, "sha256": file.sha256}
        if file.rows is None or file.kept:
            return {**about, "kept": file.kept}
        name = secrets.token_hex(8)
        sealed = self._seal(file.rows.tobytes(), about=f"prints {name}")
        self._db.execute("INSERT INTO prints VALUES (?, ?)", (name, sealed))
        return {**about, "kept": name}

    def _forget_rows(self) -> None:
        """Only the newest snapshots can be compared row by row; older ones keep their fingerprints."""
        newest = self._db.execute("SELECT * FROM snapshots ORDER BY id DESC LIMIT ?", (MOST_PRINTED,)).fetchall()
        used = {one["kept"] for row in newest for one in self._body(row)["files"]}
        kept = {row["name"] for row in self._db.execute("SELECT name FROM prints")}
        self._db.executemany("DELETE FROM prints WHERE name = ?", [(name,) for name in kept - used])

    def _body(self, row: Any) -> dict[str, Any]:
        return json.loads(self._unseal(row["body"], about=f"snapshot {row['name']}"))

    def _snapshot(self, row: Any, *, with_rows: bool) -> Snapshot:
        body = self._body(row)
        start, end = body.pop("window")
        files = tuple(self._file(one, with_rows=with_rows) for one in body.pop("files"))
        return Snapshot(id=row["id"], at=row["at"], window=Window(start=start, end=end), files=files, **body)

    def _file(self, one: dict[str, Any], *, with_rows: bool) -> FilePrint:
        rows = None
        if one["kept"] and with_rows:
            found = self._db.execute("SELECT body FROM prints WHERE name = ?", (one["kept"],)).fetchone()
            rows = (
                np.frombuffer(self._unseal(found["body"], about=f"prints {one['kept']}"), np.uint64) if found else None
            )
        return FilePrint(rows=rows, **one)

    def _seal(self, data: bytes, *, about: str) -> bytes:
        return self._vault.seal(data, about=about) if self._vault else data

    def _unseal(self, data: bytes, *, about: str) -> bytes:
        return self._vault.unseal(data, about=about) if self._vault else data


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """What changed between two snapshots that `Snapshots.read` gave; a row that only moved did not change."""
    then, now = ({file.name: file for file in one.files} for one in (before, after))
    added, added_at = _surplus(after.files, before.files)
    removed, removed_at = _surplus(before.files, after.files)
    both = then.keys() & now.keys()
    return Difference(
        added=added, removed=removed, added_at=added_at, removed_at=removed_at,
        new_files=tuple(sorted(now.keys() - then.keys())), gone_files=tuple(sorted(then.keys() - now.keys())),
        changed_files=tuple(sorted(name for name in both if then[name].sha256 != now[name].sha256)),
        unread=tuple(sorted({f.name for f in (*before.files, *after.files) if f.rows is None})),
    )  # fmt: skip


def _surplus(files: tuple[FilePrint, ...], others: tuple[FilePrint, ...]) -> tuple[int, tuple[tuple[str, int], ...]]:
    """How many rows `files` hold that `others` do not, or fewer times, and where the first of them stand."""
    ours, theirs = _all(files), np.sort(_all(others))
    order = np.argsort(ours, kind="stable")
    ranked = ours[order]
    nth = np.arange(len(ranked)) - np.searchsorted(ranked, ranked)
    times = np.searchsorted(theirs, ranked, side="right") - np.searchsorted(theirs, ranked)
    surplus = np.sort(order[nth >= times])
    printed = [(file.name, len(file.rows)) for file in files if file.rows is not None]
    starts = np.cumsum([0, *(rows for _, rows in printed)])
    which = np.searchsorted(starts, surplus[:MOST_PLACES], side="right") - 1
    places = ((printed[file][0], int(row - starts[file]) + 1) for file, row in zip(which, surplus, strict=False))
    return len(surplus), tuple(places)


def _all(files: tuple[FilePrint, ...]) -> Prints:
    return np.concatenate([np.zeros(0, np.uint64), *(file.rows for file in files if file.rows is not None)])
