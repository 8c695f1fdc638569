"""Erasing: what Covey keeps on this device goes, what was spent stays, and a crash in between is finished later.

The keys go first, so that whatever is sealed cannot be read from then on. Erasing deletes files and rows; it does not
overwrite a disk's old blocks. Models that were released do not unlearn.
"""

import shutil
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from client import totals
from client.config import AgentHome, TaskHome
from client.store import AgentStore
from client.vault import Vault
from shared import wire
from shared.database import transaction
from shared.errors import InputError, WireError
from shared.failpoints import reached
from shared.files import sync, write_whole
from shared.lock import only_one

MARKER = "erase.json"
UNLEARNS_NOT = "Models that were released with this device's help do not unlearn what they learned."


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be erased beside the agent's own directory, by name; kept in the marker until it is done."""

    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What went and what stayed, for the owner to read."""

    own_data: tuple[Path, ...]
    kept: Path
    said: str = UNLEARNS_NOT


def own_data(home: AgentHome) -> tuple[Path, ...]:
    """The owner's own data files that `agent.toml` names: what `erase` removes only when it is asked to."""
    places = (Path(grant.data) for grant in home.settings().tasks.values() if grant.data)
    return tuple(dict.fromkeys(file for place in places for file in _files_of(place)))


def erase(home: AgentHome, *, with_data: bool) -> Erased:
    """Erase everything but what was spent; with `with_data`, the owner's own data files too.

    Raise `InputError`, naming its process, while the agent runs, and where a locked keyring holds a key: the erasure
    is then finished by `finish`.
    """
    if with_data or not home.settings_file.exists():
        home.settings()
    with _alone(home):
        mine = own_data(home) if with_data else ()
        order = Order(beside=tuple(str(file) for file in (*mine, *_aside(home))))
        write_whole(_marker(home), wire.to_json(order), mode=0o600)
        reached("erase.marked")
        _carry_out(home, order)
    home.lock.unlink(missing_ok=True)
    return Erased(own_data=mine, kept=home.database)


def finish(home: AgentHome) -> bool:
    """Finish an erasure that a crash cut short; for every start. Says whether there was one; raises as `erase`."""
    if not _marker(home).exists():
        return False
    with _alone(home):
        _carry_out(home, _read(_marker(home)))
    home.lock.unlink(missing_ok=True)
    return True


@contextmanager
def _alone(home: AgentHome) -> Generator[None]:
    """While neither the agent nor an update runs."""
    with only_one(home.lock, what="the agent"), only_one(home.update_lock, what="an update"):
        yield


def _carry_out(home: AgentHome, order: Order) -> None:
    """Each step may be repeated; the marker goes last."""
    _remove_keys(home)
    reached("erase.keys-gone")
    if home.database.exists():
        try:
            condense(home)
        except sqlite3.OperationalError as error:
            raise InputError(f"{home.database} cannot be written ({error}); make room, then erase again") from None
    reached("erase.ledger-condensed")
    _remove([Path(name) for name in order.beside])
    reached("erase.data-gone")
    _remove(_own_files(home))
    reached("erase.files-gone")
    _marker(home).unlink()
    sync(home.path)
    reached("erase.done")


def _remove_keys(home: AgentHome) -> None:
    Vault.open(home).destroy()
    home.key.unlink(missing_ok=True)
    if home.key.parent.exists():
        sync(home.key.parent)


def condense(home: AgentHome) -> None:
    """Leave of the database what was spent, by task, day and mechanism, and the audit log's head, and nothing else."""
    with closing(AgentStore(home.database)) as store:
        spent = totals.read(store)
        with transaction(store.db):
            for table in ("events", "charges", "consents", "refusals", "receipts", "reservations"):
                store.db.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand in this line
            for task, day in sorted({(total.task, total.day) for total in spent}):
                _restate(store, task, day, spent)
            store.db.execute("UPDATE sequence SET unsettled = '', behind = 0, note = ''")
            _begin_log_anew(store)
        store.db.execute("VACUUM")
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _restate(store: AgentStore, task: str, day: int, spent: Iterable[totals.Total]) -> None:
    """Charge a day's totals of a task again, under a name that tells nothing of the requests."""
    costs = [total.cost for total in spent if (total.task, total.day) == (task, day)]
    number = int(store.db.execute("SELECT number FROM sequence").fetchone()[0])
    store.add_settled(f"erased/{task}/{day}", task, "before erasing", costs, at=day * totals.DAY, sequence=number)


def _begin_log_anew(store: AgentStore) -> None:
    """Forget the lines, but go on from the last one's hash, which the coordinator may have countersigned."""
    store.db.execute(
        "UPDATE audit_start SET (entry, hash) = (SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1) "
        "WHERE EXISTS (SELECT 1 FROM audit)"
    )
    store.db.execute("DELETE FROM audit")


def _own_files(home: AgentHome) -> Iterator[Path]:
    """Everything in the agent's directory but the ledger, the lock that is held, and the marker."""
    kept = {home.lock.name, MARKER, *(home.database.name + suffix for suffix in ("", "-wal", "-shm"))}
    return (file for file in home.path.iterdir() if file.name not in kept)


def set_aside(place: TaskHome) -> Iterator[Path]:
    """What Covey wrote beside the owner's data: rows that broke the contract, and rows that a merge left out."""
    data = place.home.settings().tasks[place.name].data
    if data:
        folder = Path(data).absolute() if Path(data).is_dir() else Path(data).absolute().parent
        yield from sorted(folder.glob(f"*.{place.name}.quarantine.parquet"))
        yield from sorted(folder.glob("*.conflicts.parquet"))


def _aside(home: AgentHome) -> tuple[Path, ...]:
    """What was set aside for any task; a policy that cannot be read does not keep the rest from being erased."""
    try:
        return tuple(chain.from_iterable(set_aside(place) for place in home.tasks()))
    except InputError:
        return ()


def _files_of(place: Path) -> tuple[Path, ...]:
    from client.datafiles import data_files

    try:
        return data_files(place.absolute())
    except InputError:
        return ()


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path} cannot be erased ({error.strerror}); let its owner, then try again") from None


def _marker(home: AgentHome) -> Path:
    return home.path / MARKER


def _read(marker: Path) -> Order:
    """The order that was begun; a damaged one cannot name files outside the directory any more."""
    try:
        return wire.from_json(Order, marker.read_bytes(), what=MARKER)
    except (OSError, WireError):
        return Order(beside=())
