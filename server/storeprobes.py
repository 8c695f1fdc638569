"""What `covey doctor` reads from the store: how sound it is, what is under way, and what devices say they run."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from server.config import Federation
from server.doctor import Underway
from server.records import Run
from server.store import Store
from server.store.blobs import NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the store says; times are Unix time."""

    unsound: str
    newest: float | None = None
    damaged: tuple[str, ...] = ()
    underway: tuple[Underway, ...] = ()
    ahead: dict[str, int] = field(default_factory=dict[str, int])
    newest_release: int = 0
    backed_up_at: float | None = None


def nothing_recorded(unsound: str) -> Recorded:
    """What is known of a store that cannot be read, and why."""
    return Recorded(unsound=unsound)


def recorded(federation: Federation, *, say: Callable[[str], None]) -> Recorded:
    """Read it all, writing nothing; raise `sqlite3.Error` or `InputError` where it cannot be read."""
    with closing(Store(federation.database, read_only=True)) as store:
        say("the store's pages")
        unsound = store.unsound()
        say("every set of weights")
        devices, releases = store.devices(), store.releases()
        newest_release = max((release.number for release in releases), default=0)
        acts, saved = store.audit_log(1), store.audit_log(1, act="backup")
        times = [device.last_seen for device in devices if device.last_seen] + [entry.at for entry in acts]
        return Recorded(
            unsound=unsound,
            newest=max(times, default=None),
            damaged=tuple(_damaged(store)),
            underway=tuple(_underway(store, run) for run in store.runs("running", "stopping")),
            ahead={d.name: d.release for d in devices if d.state == "approved" and d.release > newest_release},
            newest_release=newest_release,
            backed_up_at=saved[0].at if saved else None,
        )


def _damaged(store: Store) -> Iterator[str]:
    """Addresses whose bytes are others; those that were collected hold none, on purpose."""
    for address, data in store.blobs():
        if (data or address == NOTHING) and hashlib.sha256(data).hexdigest() != address:
            yield address


def _underway(store: Store, run: Run) -> Underway:
    """How long a run has shown nothing new: since its progress, its newest round or its start, whichever came last."""
    progress, rounds = store.progress(run.id), store.rounds(run.id)
    heard = [run.started_at or run.created_at]
    heard += [progress.at] if progress else []
    heard += [rounds[-1].finished_at] if rounds else []
    return Underway(run=run.id, task=run.task, deadline=_deadline(run), silent=time.time() - max(heard))


def _deadline(run: Run) -> float:
    """How long devices have to answer, as whoever asked said."""
    return float(json.loads(run.request)["deadline_seconds"])
