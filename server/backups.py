"""Backing up a federation while its coordinator runs, and restoring it into an empty directory.

The store is copied by SQLite's own means and the signed repository beside it, with its lock held: a release is signed
before it is written down, so what the copy of the store lacks is found in the repository (`server.promotion.recover`).
"""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from server.archive import Manifest, Packer, Say, files_in, packing, unpack
from server.config import Federation
from server.leftovers import COPY, clear, occupied
from server.records import ACTIVE
from server.repository import Repository
from server.role_keys import ROLE_KEYS, ROLLOUT_KEY, ROOT_KEYS
from server.schema import MIGRATIONS
from server.store import Store
from server.upgrades import schema_of
from shared.database import copy_whole
from shared.errors import InputError
from shared.lock import holder

FORMAT = 1

_KEYS = (*ROOT_KEYS, *ROLE_KEYS, ROLLOUT_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a backup came to: how many files, their bytes before packing, and which keys were not here to be saved."""

    file: str
    federation: str
    files: int
    bytes: int
    with_keys: bool
    keys_away: tuple[str, ...] = ()


def back_up(federation: Federation, target: Path, *, with_keys: bool, say: Say) -> Kept:
    """Write a backup of a federation to `target`, whole or not at all, 0600; `say` is told what is being copied.

    Raise `InputError` where the file is there already, or would lie in the federation's own directory.
    """
    settings = federation.settings()
    _check_target(federation, target)
    for folder in (federation.home, target.parent):
        clear(folder)
    total = 0
    with packing(target) as packer:
        with Repository(federation).locked():
            total += _add_store(packer, federation.database, say)
            say("the signed repository")
            total += sum(packer.add(name, file) for name, file in _of(federation, federation.repository))
        say("settings, certificates and keys" if with_keys else "settings and certificates")
        total += sum(packer.add(name, file) for name, file in _rest(federation, with_keys=with_keys))
        packer.close(
            Manifest(
                format=FORMAT, federation=settings.name, made_at=time.time(), schema=len(MIGRATIONS),
                with_keys=with_keys, files=packer.files,
            )
        )  # fmt: skip
    return Kept(
        file=str(target), federation=settings.name, files=len(packer.files), bytes=total, with_keys=with_keys,
        keys_away=tuple(f"{name}.key" for name in _KEYS if not (federation.keys / f"{name}.key").exists()),
    )  # fmt: skip


def restore(source: Path, home: Path, *, say: Say) -> Manifest:
    """Unpack a backup at `home`, which must be empty or absent; every file is held against its hash before it counts.

    Raise `InputError`, and leave nothing behind, where the backup cannot be used or something stands at `home`.
    """
    _check_home(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    staging = home.parent / f".{home.name}.restoring-{os.getpid()}"
    try:
        staging.mkdir(mode=0o700)
        say("every file, held against its hash")
        manifest = unpack(source, staging)
        say("the store")
        _check_store(Federation(staging), manifest)
        _lay_out(Federation(staging))
        staging.rename(home)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def end_runs(store: Store) -> tuple[int, ...]:
    """End what was under way when the backup was made; returns the runs.

    Rounds since are lost, and what came of them may be known. To do one again under its own number would draw the same
    noise over other updates, and ask devices for what they paid for already.
    """
    ended = tuple(run.id for run in store.runs(*ACTIVE))
    for run in ended:
        store.set_run_state(run, "stopped", "it was under way when the backup was made that this store comes from")
    return ended


def _check_target(federation: Federation, target: Path) -> None:
    if target.exists():
        raise InputError(f"{target} is there already; choose another name, so that no backup is lost")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is no directory; make it first")
    if target.resolve().is_relative_to(federation.home.resolve()):
        raise InputError(f"{target} would lie in the federation that it is to save; choose another directory")


def _check_home(home: Path) -> None:
    if (running := holder(home / "coordinator.lock") if home.is_dir() else None) is not None:
        raise InputError(f"a coordinator (process {running}) runs in {home}; restore into another directory")
    names = sorted(path.name for path in home.iterdir()) if home.is_dir() else [home.name] if home.exists() else []
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise InputError(f"{home} is not empty (it holds {', '.join(names[:3])}{more}); restore into another directory")


def _add_store(packer: Packer, database: Path, say: Say) -> int:
    """Copy the store, which is being written to, as it is at one moment, and pack the copy.

    The keys of runs' own noise stay behind: no run goes on from a backup, and no noise is drawn twice.
    """
    with tempfile.TemporaryDirectory(prefix=COPY, dir=database.parent) as beside, occupied(Path(beside)):
        copy = Path(beside) / database.name
        copy_whole(database, copy, progress=lambda left, of: say(f"{database.name}, {_percent(of - left, of)}"))
        with closing(Store(copy)) as store:
            store.forget_campaign_keys()
        return packer.add(database.name, copy)


def _of(federation: Federation, folder: Path) -> Iterator[tuple[str, Path]]:
    """A folder's files by the names that they go by in the federation; drafts and locks are not worth keeping."""
    for file in files_in(folder):
        if not file.name.startswith("."):
            yield file.relative_to(federation.home).as_posix(), file


def _rest(federation: Federation, *, with_keys: bool) -> Iterator[tuple[str, Path]]:
    yield federation.settings_file.name, federation.settings_file
    for name, file in _of(federation, federation.tls):
        if with_keys or file.suffix != ".key":
            yield name, file
    if with_keys:
        yield from _of(federation, federation.keys)


def _check_store(federation: Federation, manifest: Manifest) -> None:
    """Refuse a backup of a newer Covey, and a store that is not sound, before anything is put in place."""
    found = max(manifest.schema, schema_of(federation.database))
    if manifest.format > FORMAT or found > len(MIGRATIONS):
        raise InputError(f"this backup was made by a newer Covey (schema {found}); upgrade Covey, then restore it")
    try:
        with closing(sqlite3.connect(federation.database)) as store:
            said = str(store.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said != "ok":
        raise InputError(f"the store in this backup is not sound ({said}); take another backup")


def _lay_out(federation: Federation) -> None:
    """The directories that a federation has beside its files, with the rights that it gives them."""
    for directory in (federation.tls, federation.keys, federation.logs):
        directory.mkdir(mode=0o700, exist_ok=True)
        directory.chmod(0o700)


def _percent(part: int, of: int) -> str:
    return f"{100 * part // of if of else 100} %"
