"""Who signed the repository's roles: every metadata file held against the roots, and the chain that vouches for releases."""

# pyright: reportPrivateImportUsage=false
# TUF documents these names here, though its modules do not mark them as exported.

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets, VerificationResult
from tuf.api.serialization import DeserializationError

from server.config import Federation
from server.history import SignedRole
from server.repository import Repository
from server.rollout_role import strangers, strays
from shared.errors import CoveyError

TOP = ("root", "targets", "snapshot", "timestamp")


def signed_roles(federation: Federation) -> tuple[SignedRole, ...]:
    """The roles that vouch for releases now, the root first; none before the first publication."""
    repository = Repository(federation)
    if not repository.exists():
        return ()
    roots = _roots(repository.metadata)
    delegations = list(_delegations(repository.metadata))
    return tuple(_signed(file, roots, delegations) for file in _in_force(repository))


def complaints(federation: Federation) -> Iterator[str]:
    """Everything wrong with the metadata, file by file, then with how the files in force name each other."""
    repository = Repository(federation)
    roots, delegations = _roots(repository.metadata), list(_delegations(repository.metadata))
    yield from _broken_roots(repository.metadata)
    for file in sorted(repository.metadata.glob("*.json")):
        yield from _wrong_file(file, roots, delegations)
    yield from _broken_chain(repository)
    yield from _strange_roles(federation)


def _wrong_file(file: Path, roots: list[Root], delegations: list[Targets]) -> Iterator[str]:
    """A file that does not read as it was written, or that no keys vouch for which ever counted for its role."""
    data = file.read_bytes()
    try:
        metadata = Metadata[Any].from_bytes(data)
    except (DeserializationError, ValueError) as error:
        yield f"metadata/{file.name} is damaged: {_first_line(error)}"
        return
    signatures = [signature.signature for signature in metadata.signatures.values()]
    if metadata.to_bytes() != data or any(text != text.lower() for text in signatures):
        yield f"metadata/{file.name} is damaged: it does not read as it was written"
        return
    results = list(_results(file, metadata, roots, delegations))
    if not any(results):
        yield f"metadata/{file.name} is not signed by enough keys of its role"
    elif strange := set(metadata.signatures) - {key for result in results for key in result.signed}:
        yield f"metadata/{file.name} carries a signature that does not hold, by key {min(strange)[:12]}"


def _results(
    file: Path, metadata: Metadata[Any], roots: list[Root], delegations: list[Targets]
) -> Iterator[VerificationResult]:
    """Which signatures hold under each root, or each list that delegates, that knows the file's role."""
    role = _role_of(file)
    for delegator in roots if role in TOP else delegations:
        # One that knows no such role says nothing of it.
        with suppress(ValueError):
            yield delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)


def _broken_roots(folder: Path) -> Iterator[str]:
    """Each root is signed by the keys of the one before, and none is missing (TUF specification 1.0, section 5.3)."""
    before: Root | None = None
    for number in sorted(int(file.name.partition(".")[0]) for file in folder.glob("*.root.json")):
        metadata = _read(folder / f"{number}.root.json")
        if metadata is None:
            return
        root: Root = metadata.signed
        if root.version != number or number != (before.version + 1 if before else 1):
            yield f"metadata/{number}.root.json does not follow the root before it"
        try:
            (before or root).verify_delegate("root", metadata.signed_bytes, metadata.signatures)
        except (RepositoryError, ValueError):
            yield f"metadata/{number}.root.json is not signed by the keys of the root before it"
        before = root


def _broken_chain(repository: Repository) -> Iterator[str]:
    """From the timestamp to the targets: each names the next one's version and bytes, as clients demand."""
    try:
        timestamp, snapshot = repository.timestamp(), repository.snapshot()
    except CoveyError as error:
        yield str(error)
        return
    named = {f"{timestamp.snapshot_meta.version}.snapshot.json": timestamp.snapshot_meta}
    named |= {f"{meta.version}.{name}": meta for name, meta in snapshot.meta.items()}
    for name, meta in named.items():
        file = repository.metadata / name
        data = file.read_bytes() if file.exists() else None
        if data is None:
            yield f"metadata/{name} is missing"
        elif (meta.hashes or {}).get("sha256", sha256(data).hexdigest()) != sha256(data).hexdigest():
            yield f"metadata/{name} is not the file that was signed for: its SHA-256 differs"


def _strange_roles(federation: Federation) -> Iterator[str]:
    """What the online role delegates or signs, and what the snapshot lists, that no coordinator of ours would."""
    with suppress(CoveyError):  # the chain's own complaints name what cannot be read
        yield from (*strays(federation), *strangers(federation))


def _in_force(repository: Repository) -> Iterator[Path]:
    yield repository.metadata / f"{repository.root().version}.root.json"
    snapshot = repository.snapshot()
    for name, meta in sorted(snapshot.meta.items(), reverse=True):
        yield repository.metadata / f"{meta.version}.{name}"
    yield repository.metadata / f"{snapshot.version}.snapshot.json"
    yield repository.metadata / "timestamp.json"


def _signed(file: Path, roots: list[Root], delegations: list[Targets]) -> SignedRole:
    metadata = _read(file)
    if metadata is None:
        return SignedRole(role=_role_of(file), version=0, expires="", keys=())
    results = _results(file, metadata, roots, delegations)
    return SignedRole(
        role=_role_of(file),
        version=metadata.signed.version,
        expires=f"{metadata.signed.expires:%Y-%m-%dT%H:%M:%SZ}",
        keys=tuple(sorted(next((result.signed for result in results if result), {}))),
    )


def _roots(folder: Path) -> list[Root]:
    """Every root that can be read, the newest first."""
    found = [metadata.signed for file in folder.glob("*.root.json") if (metadata := _read(file))]
    return sorted((root for root in found if isinstance(root, Root)), key=lambda root: -root.version)


def _delegations(folder: Path) -> Iterator[Targets]:
    """Every signed list of targets that hands a part to another role, the newest first."""
    found = [metadata.signed for file in folder.glob("*.targets.json") if (metadata := _read(file))]
    lists = sorted((each for each in found if isinstance(each, Targets)), key=lambda each: -each.version)
    yield from (each for each in lists if each.delegations)


def _read(file: Path) -> Metadata[Any] | None:
    try:
        return Metadata[Any].from_bytes(file.read_bytes())
    except (OSError, DeserializationError, ValueError):
        return None


def _role_of(file: Path) -> str:
    return file.name.removesuffix(".json").rpartition(".")[2]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
