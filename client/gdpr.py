"""Everything that is held about this device's owner, in files that a person and a program can read.

Keys are named and not copied. The copy is whole or not there: it is made beside its place and renamed.
"""

import dataclasses
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from client import audit, sequence
from client.config import AgentHome, TaskHome
from client.levels import Line, lines
from client.store import AgentStore, Charge
from shared.errors import InputError, ReleaseError
from shared.files import sync, write_whole
from shared.tasks import Window

BATCH_ROWS = 50_000
_TIMES = (
    "at", "charged_at", "sealed_at", "sent_at", "agreed_at", "withdrawn_at", "labelled_at", "until", "rows_from",
    "rows_until",
)  # fmt: skip

README = """# Everything that Covey holds about you on this device

Made {when} from {home}. Times are UTC.

| file | what it is |
|---|---|
{files}

Not in here, because they are keys: {keys}.
Your own rows are not copied either; they are where agent.toml says. Rows that Covey set aside from them are.

The coordinator knows what coordinator.json says, and what you sent it: audit.json lists each time. It cannot read what
is left of your budget. Models that were released with this device's help do not unlearn.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file of the copy: its name, what it is, and what writes it."""

    name: str
    what: str
    write: Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A finished copy: where it is, and each file's name with what it holds."""

    folder: Path
    files: tuple[tuple[str, str], ...]


def export(home: AgentHome, folder: Path) -> Export:
    """Copy everything that is held about the owner to `folder`, which must not exist yet, readable by its owner only.

    Raise `InputError` if the folder exists or cannot be written, or the vault's keyring is locked; nothing is left then.
    """
    if folder.exists():
        raise InputError(f"{folder} exists already; name a new folder for the copy")
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        draft.mkdir(mode=0o700)
        pieces = tuple(_pieces(home))
        for piece in pieces:
            _write(piece, draft / piece.name)
        write_whole(draft / "README.md", _readme(home, pieces).encode(), mode=0o600)
        sync(draft)
        draft.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Export(folder=folder, files=tuple((piece.name, piece.what) for piece in pieces))


def _write(piece: Piece, file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    piece.write(file)
    file.chmod(0o600)


def _readme(home: AgentHome, pieces: tuple[Piece, ...]) -> str:
    rows = "\n".join(f"| {piece.name} | {piece.what} |" for piece in pieces)
    keys = f"{home.key} (this device's key) and {home.vault_key} (what encrypts these records, or where that key is)"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return README.format(when=now, home=home.path, files=rows, keys=keys)


def _pieces(home: AgentHome) -> Iterator[Piece]:
    yield Piece(name="agent.toml", what="your policy", write=_copy(home.settings_file))
    yield _json("consents.json", "what you agreed to, when, as it read", lambda: _of(home, AgentStore.consents))
    yield _json("ledger.json", "each charge to your privacy budget", lambda: _of(home, _charges))
    yield _json("audit.json", "everything that left this device", lambda: audit.listing(home))
    yield _json("refusals.json", "what this device declined, and why", lambda: _of(home, AgentStore.refusals))
    yield _json("coordinator.json", "what the coordinator knows of this device", lambda: _known(home))
    for log in sorted(home.path.glob(f"{home.log.name}*")):
        yield Piece(name=log.name, what="the agent's log", write=_copy(log))
    for place in home.tasks():
        yield from _task_pieces(place)


def _task_pieces(place: TaskHome) -> Iterator[Piece]:
    name = place.name
    if place.signed.exists():
        yield Piece(name=f"{name}/task.json", what=f"the task {name!r} as it was signed", write=_copy(place.signed))
    yield _json(f"{name}/releases.json", "the models on this device, and how they did here", lambda: _releases(place))
    yield _json(f"{name}/snapshots.json", "which data taught which version", lambda: _snapshots(place))
    if place.predictions.exists():
        what = "what was predicted here, and the outcomes and labels that came"
        yield Piece(name=f"{name}/predictions.parquet", what=what, write=lambda file: _predictions(place, file))
    for number, aside in enumerate(_aside(place), start=1):
        what = f"rows that were set aside, from {aside}"
        yield Piece(name=f"{name}/aside-{number}.parquet", what=what, write=_copy(aside))


def _copy(source: Path) -> Callable[[Path], None]:
    def copy(file: Path) -> None:
        shutil.copyfile(source, file)

    return copy


def _json(name: str, what: str, read: Callable[[], object]) -> Piece:
    def write(file: Path) -> None:
        file.write_text(json.dumps(_plain(read()), indent=2) + "\n", encoding="utf-8")

    return Piece(name=name, what=what, write=write)


def _of(home: AgentHome, read: Callable[[AgentStore], object]) -> object:
    with closing(AgentStore(home.database)) as store:
        return read(store)


def _charges(store: AgentStore) -> list[dict[str, Any]]:
    paid = lines(store)
    return [_charge(charge, paid.get(charge.id, ())) for charge in store.charges()]


def _charge(charge: Charge, events: tuple[Line, ...]) -> dict[str, Any]:
    """A charge with what it paid for at every level; a reply that still waits is named by its size."""
    line = dataclasses.asdict(charge)
    reply = line.pop("reply")
    return line | {"reply_bytes": len(reply or b""), "events": events}


def _known(home: AgentHome) -> dict[str, Any]:
    settings, stands = home.settings(), sequence.standing(home)
    return {
        "name": settings.name, "federation": settings.federation, "coordinator": settings.coordinator,
        "public_key_sha256_begins": _key_digits(home), "health_reports": settings.health,
        "charges_counted": stands.number, "countersigned_up_to": stands.countersigned,
        "also": "when this device was seen, how many bytes it sent, which release it said it runs, its noisy updates "
        "and counts, and sealed totals of its ledger that only this device can open",
    }  # fmt: skip


def _key_digits(home: AgentHome) -> str:
    from client.enrol import key_of

    try:
        return key_of(home)
    except InputError as error:
        return f"none: {error}"


def _releases(place: TaskHome) -> list[dict[str, Any]]:
    from client import standing

    found = sorted((int(one.name), one) for one in place.releases.glob("*") if one.name.isdigit())
    releases = [{"number": number, "release": _release(folder)} for number, folder in found]
    return [*releases, *({"put_aside": mark} for mark in standing.marks(place))]


def _release(folder: Path) -> object:
    from client.installed import verified

    try:
        return verified(folder)[0]
    except ReleaseError as error:
        return f"damaged: {error}"


def _snapshots(place: TaskHome) -> list[Any]:
    from client.snapshots import Snapshots
    from client.vault import Vault

    if not place.snapshots.exists():
        return []
    kept = Snapshots(place.snapshots, Vault.open(place.home))
    try:
        return [_snapshot(one) for one in kept.log()]
    finally:
        kept.close()


def _snapshot(one: Any) -> dict[str, Any]:
    """Without the number that each row has: those compare rows and say nothing by themselves."""
    fields = dataclasses.asdict(dataclasses.replace(one, files=()))
    names = ("name", "size", "modified_ns", "sha256")
    return fields | {"files": [{name: getattr(file, name) for name in names} for file in one.files]}


def _predictions(place: TaskHome, file: Path) -> None:
    """Stream every prediction into one Parquet file; a record is JSON, because its columns differ by task."""
    import polars as pl

    from client.predictions import PredictionLog
    from client.vault import Vault

    schema = {
        "id": pl.String, "at": pl.Float64, "release": pl.Int64, "version": pl.Int64, "record": pl.String,
        "scores": pl.List(pl.Float64), "label": pl.String, "labelled_at": pl.Float64,
    }  # fmt: skip
    log = PredictionLog(place.predictions, Vault.open(place.home))
    parts: list[Path] = []
    try:
        served = chain(log.judged(Window()), log.unlabelled())
        while rows := [_served(one) for one in islice(served, BATCH_ROWS)]:
            parts.append(file.with_suffix(f".{len(parts)}"))
            pl.DataFrame(rows, schema=schema).write_parquet(parts[-1])
    finally:
        log.close()
    whole = pl.scan_parquet(parts) if parts else pl.LazyFrame(schema=schema)
    whole.sink_parquet(file)
    for part in parts:
        part.unlink()


def _served(one: Any) -> dict[str, Any]:
    fields = dataclasses.asdict(one)
    return fields | {"record": json.dumps(fields["record"]), "scores": list(fields["scores"])}


def _aside(place: TaskHome) -> list[Path]:
    from client.erasure import set_aside

    return list(set_aside(place))


def _plain(value: Any) -> Any:
    """What JSON can say; times become readable."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _when(item) if key in _TIMES else _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def _when(moment: float | None) -> str | None:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds") if moment else None
