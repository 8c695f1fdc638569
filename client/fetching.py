"""Fetches a release: what is here already does not travel, and of the weights only what has changed.

What may be left out depends on the release that was accepted before, never on the one that answers: which files are
fetched tells nobody how a release did here (privacy rule 14).
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client.installed import file_of
from client.trust import Trust
from shared.delta import apply_delta
from shared.errors import ReleaseError, Unreachable
from shared.models import Artifact, Release

log = logging.getLogger(__name__)

NEEDED = frozenset({"fp32", "task"})
KNOWN = NEEDED | {"int8", "delta"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Travelled:
    """Bytes that were fetched, and that the whole files would have been."""

    fetched: int
    whole: int


def fetch(trust: Trust, release: Release, directory: Path, held: Mapping[str, bytes]) -> Travelled:
    """Put every file of a release into `directory`, as it was signed.

    `held` are verified files of the accepted release by their SHA-256. Raise `ReleaseError` or `Unreachable`.
    """
    _require_known(release)
    wanted = {name: artifact for name, artifact in release.artifacts.items() if name != "delta"}
    fetched = sum(_obtain(trust, release, name, file_of(directory, name), held) for name in wanted)
    return Travelled(fetched=fetched, whole=sum(artifact.bytes for artifact in wanted.values()))


def _obtain(trust: Trust, release: Release, name: str, file: Path, held: Mapping[str, bytes]) -> int:
    """Get one file in the cheapest way that holds; returns how many bytes travelled."""
    artifact = release.artifacts[name]
    if artifact.sha256 in held:
        trust.keep(artifact, held[artifact.sha256], file)
        return 0
    spent = _patch(trust, release, file, held) if name == "fp32" else 0
    if not file.exists():
        trust.download(artifact, file)
        spent += artifact.bytes
    return spent


def _patch(trust: Trust, release: Release, file: Path, held: Mapping[str, bytes]) -> int:
    """Make the new fp32 file of the one that is here, if the delta is for that one; any doubt leaves no file."""
    delta, base = release.artifacts.get("delta"), held.get(release.delta_base)
    if delta is None or base is None or delta.bytes >= release.artifacts["fp32"].bytes:
        return 0
    try:
        _apply(trust, delta, base, release.artifacts["fp32"], file)
    except (ReleaseError, Unreachable) as error:
        log.warning("the delta to release %d is not used, the whole file is fetched: %s", release.number, error)
    return delta.bytes


def _apply(trust: Trust, delta: Artifact, base: bytes, whole: Artifact, file: Path) -> None:
    draft = file.with_name("delta.bin")
    try:
        trust.download(delta, draft)
        trust.keep(whole, apply_delta(base, draft.read_bytes(), size=whole.bytes), file)
    finally:
        draft.unlink(missing_ok=True)


def _require_known(release: Release) -> None:
    names = release.artifacts.keys()
    if not NEEDED <= names <= KNOWN:
        raise ReleaseError(f"release {release.number} has {sorted(names)}, expected {sorted(NEEDED)}")


def by_hash(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files by their SHA-256."""
    return {hashlib.sha256(body).hexdigest(): body for body in files.values()}
