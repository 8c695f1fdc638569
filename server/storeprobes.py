"""What `covey doctor` reads from the store: how sound it is, what is under way, and what devices say they run."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from server.config import Federation
from server.examined import Underway
from server.records import Run
from server.store import Store
from server.store.blobs import NOTHING
from shared.database import version_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the store says; times are Unix time."""

    unsound: str = ""
    read: bool = True
    newest: float | None = None
    damaged: tuple[str, ...] = ()
    underway: tuple[Underway, ...] = ()
    ahead: dict[str, int] = field(default_factory=dict[str, int])
    newest_release: int = 0
    backed_up_at: float | None = None
    saved_in: tuple[Path, ...] = ()
    restored_unlifted: bool = False


def nothing_recorded(unsound: str) -> Recorded:
    """What is known of a store whose rows were not read, and why, where its pages are at fault."""
    return Recorded(unsound=unsound, read=False)


def unreadable(database: Path) -> str:
    """Why a file cannot be the store; empty where it is one of some Covey. Nothing is made beside a file that is missing."""
    if not database.is_file():
        return f"{database.name} is missing"
    try:
        with closing(sqlite3.connect(database.absolute().as_uri() + "?mode=ro", uri=True)) as connection:
            return "" if version_of(connection) else f"{database.name} holds nothing that Covey wrote"
    except sqlite3.Error as error:
        return f"{database.name} cannot be read ({error})"


def recorded(federation: Federation, *, say: Callable[[str], None]) -> Recorded:
    """Read it all, writing nothing; raise `sqlite3.Error` or `InputError` where it cannot be read."""
    with closing(Store(federation.database, read_only=True)) as store:
        say("the store's pages")
        unsound = store.unsound()
        say("every set of weights")
        devices, releases = store.devices(), store.releases()
        newest_release = max((release.number for release in releases), default=0)
        acts, saved = store.audit_log(1), store.audit_log(1, act="backed up")
        begun = store.audit_log(20, act="backup")
        restored, lifted = store.audit_log(1, act="restore"), store.audit_log(1, act="lift")
        times = [device.last_seen for device in devices if device.last_seen] + [entry.at for entry in acts]
        return Recorded(
            unsound=unsound,
            newest=max(times, default=None),
            damaged=tuple(_damaged(store)),
            underway=tuple(_underway(store, run, federation.home) for run in store.runs("running", "stopping")),
            ahead={d.name: d.release for d in devices if d.state == "approved" and d.release > newest_release},
            newest_release=newest_release,
            backed_up_at=saved[0].at if saved else None,
            saved_in=tuple(sorted({Path(entry.detail.rpartition(", ")[0]).parent for entry in begun})),
            restored_unlifted=bool(restored) and (not lifted or lifted[0].at < restored[0].at),
        )


def _damaged(store: Store) -> Iterator[str]:
    """Addresses whose bytes are others; those that were collected hold none, on purpose."""
    for address, data in store.blobs():
        if (data or address == NOTHING) and hashlib.sha256(data).hexdigest() != address:
            yield address


def _underway(store: Store, run: Run, home: Path) -> Underway:
    """How long a run has shown nothing new: since its progress, its newest round or its start, whichever came last."""
    progress, rounds = store.progress(run.id), store.rounds(run.id)
    heard = [run.started_at or run.created_at]
    heard += [progress.at] if progress else []
    heard += [rounds[-1].finished_at] if rounds else []
    silent = time.time() - max(heard)
    return Underway(
        run=run.id, task=run.task, deadline=_deadline(run), silent=silent, process=_process_of(run.id, home)
    )


def _process_of(run: int, home: Path) -> int:
    """The process of a run, by the command line that `server.children` gives it; 0 where none is seen."""
    wanted = ["-m", "server.runs", "--home", str(home.resolve()), "--run", str(run)]
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[2 : 2 + len(wanted)] == wanted:
            return process.pid
    return 0


def _deadline(run: Run) -> float:
    """How long devices have to answer, as whoever asked said."""
    return float(json.loads(run.request)["deadline_seconds"])
