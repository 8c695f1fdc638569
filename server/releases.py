"""What the federation signs: tasks, and the releases that devices run. The highest release of a task is in force."""

# pyright: reportPrivateImportUsage=false
# TUF documents these names here, though its modules do not mark them as exported.

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePosixPath

from tuf.api.metadata import Signed, TargetFile, Targets

from server.config import Federation
from server.repository import LIFETIME, Repository
from shared import wire
from shared.delta import make_delta
from shared.errors import InputError, ReleaseError
from shared.models import Artifact, Release
from shared.rollout import PATH as ROLLOUT
from shared.roster import PATH as ROSTER
from shared.roster import Roster
from shared.tasks import Task

MODEL, DELTA = "fp32.onnx", "delta.bin"
WORTH_WHILE = 0.9

LIFTED = "covey-lifted"
"""In the signed targets, after a backup was restored: the number that every later release's lies above."""


def create_repository(federation: Federation) -> None:
    """Make the keys and an empty signed repository; raise `InputError` if there is one already."""
    repository = Repository(federation)
    with repository.locked():
        if repository.exists():
            raise InputError(f"{federation.repository} is a signed repository already; it is left as it is")
        repository.begin()


def publish_task(federation: Federation, task: Task) -> None:
    """Sign `task`; raise `InputError` if its revision was signed before with other content."""
    path, body = f"tasks/{task.name}.json", wire.to_json(task)
    repository = Repository(federation)
    with repository.locked():
        targets = repository.targets()
        if _is_signed(targets, path, body, task):
            return
        repository.add(targets, path, body, {"revision": task.revision})
        repository.commit(targets)


def publish_roster(federation: Federation, devices: Mapping[str, bytes]) -> Roster:
    """Sign who takes part, by name and public key (PEM), as the next roster; the one in force if it says the same."""
    repository = Repository(federation)
    with repository.locked():
        targets = repository.targets()
        before = _roster(federation, targets)
        wanted = {name: key.decode("ascii") for name, key in sorted(devices.items())}
        if before is not None and before.devices == wanted:
            return before
        signed = Roster(number=before.number + 1 if before else 1, devices=wanted)
        repository.add(targets, ROSTER, wire.to_json(signed), {"number": signed.number})
        repository.commit(targets)
    return signed


def signed_roster(federation: Federation) -> Roster | None:
    """The roster in force; None where none was ever signed."""
    return _roster(federation, Repository(federation).targets())


def _roster(federation: Federation, targets: Targets) -> Roster | None:
    target = targets.targets.get(ROSTER)
    return wire.from_json(Roster, read_signed(federation, target), what=ROSTER) if target else None


def publish_release(federation: Federation, release: Release, files: Mapping[str, bytes]) -> Release:
    """Sign `files` (by name) as the next release; return it with its number, its artifacts and its time.

    An artifact is called by its file's stem: `fp32`, `task`. Beside them goes `delta`, what has changed since the
    release before, where that is smaller than the file that it makes.
    """
    repository = Repository(federation)
    with repository.locked():
        targets = repository.targets()
        number = max(_highest(targets), targets.unrecognized_fields.get(LIFTED, 0)) + 1
        if release.fallback >= number:
            raise InputError(
                f"release {number} cannot give way to release {release.fallback}, which is not an older one"
            )
        folder = f"releases/{release.task}/{number}"
        base, delta = _delta(federation, targets, release.task, files)
        files = {**files, **({DELTA: delta} if delta else {})}
        artifacts = {PurePosixPath(name).stem: _artifact(f"{folder}/{name}", body) for name, body in files.items()}
        now = int(datetime.now(UTC).timestamp())
        signed = replace(release, number=number, artifacts=artifacts, published_at=now, delta_base=base)
        for name, body in files.items():
            custom = wire.encode(signed) if name == MODEL else {"number": number}
            repository.add(targets, f"{folder}/{name}", body, custom)
        repository.commit(targets)
    return signed


def published_releases(federation: Federation, task: str) -> list[Release]:
    """Every release of `task` that was signed, oldest first, read from the signed metadata itself."""
    return _releases(Repository(federation).targets(), task)


def signed_files(federation: Federation, release: Release) -> dict[str, bytes]:
    """The files of a release by name, as they were signed; raise `ReleaseError` naming a lost or damaged one.

    Without the delta: that belongs to the place which a release has among others.
    """
    files = {PurePosixPath(artifact.path).name: artifact for artifact in release.artifacts.values()}
    return {name: _signed_file(federation, artifact) for name, artifact in files.items() if name != DELTA}


def signed_targets(federation: Federation) -> list[Artifact]:
    """Every file that the targets in force sign: tasks, the roster, and all releases' files."""
    return [_signed_as(target) for target in Repository(federation).targets().targets.values()]


def read_signed(federation: Federation, target: TargetFile) -> bytes:
    """A target's bytes as they were signed; raise `ReleaseError` where the file is lost or damaged."""
    return _signed_file(federation, _signed_as(target))


def signed_body(federation: Federation, artifact: Artifact) -> bytes | None:
    """A signed file as it was signed; None where it is lost or damaged."""
    with suppress(ReleaseError):
        body = _signed_file(federation, artifact)
        return body if len(body) == artifact.bytes else None
    return None


def current_release_number(federation: Federation, task: str | None = None) -> int:
    """The highest release signed so far, over all tasks or of one; 0 before the first."""
    return _highest(Repository(federation).targets(), task)


def refresh_timestamp(federation: Federation) -> bool:
    """Sign the online roles anew once half of a lifetime has passed; say whether that was done.

    These are `timestamp`, `snapshot` and `rollout`; each publication signs `targets` anew, and so does `renew`.
    """
    repository = Repository(federation)
    if not (_is_ageing(repository.timestamp()) or _is_ageing(repository.snapshot()) or _stale_rollout(repository)):
        return False
    with repository.locked():
        if _stale_rollout(repository) and (rollout := repository.own_rollout()):
            repository.commit_rollout(rollout)
        elif _is_ageing(repository.snapshot()):
            repository.renew_snapshot()
        else:
            repository.renew_timestamp()
    return True


def renew(federation: Federation) -> tuple[str, ...]:
    """Sign every role anew whose keys are here, and return the others; raise `InputError` where an online key is not."""
    repository = Repository(federation)
    root, targets = repository.has_root_keys(), repository.holds("targets")
    with repository.locked():
        if root:
            repository.renew_root()
        if targets:
            repository.commit(repository.targets())
        else:
            repository.renew_snapshot()
        if rollout := repository.own_rollout():
            repository.commit_rollout(rollout)
    return tuple(name for name, here in (("root", root), ("targets", targets)) if not here)


def renewal_due(federation: Federation) -> datetime:
    """When devices stop trusting the repository unless `renew` is called: the service keeps the other roles fresh."""
    repository = Repository(federation)
    return min(repository.root().expires, repository.targets().expires)


def _is_signed(targets: Targets, path: str, body: bytes, task: Task) -> bool:
    """Whether exactly this task is signed already; raise `InputError` unless its revision is new."""
    signed = targets.targets.get(path)
    if signed is None or _custom(signed)["revision"] < task.revision:
        return False
    if signed.hashes["sha256"] != sha256(body).hexdigest():
        known = _custom(signed)["revision"]
        raise InputError(
            f"task {task.name!r} is signed at revision {known}; to change it, raise its revision above that"
        )
    return True


def _releases(targets: Targets, task: str) -> list[Release]:
    """Oldest first; a release's record stands with its model, so that the signed list stays short."""
    paths = (path for path in targets.targets if path.startswith(f"releases/{task}/") and path.endswith(f"/{MODEL}"))
    releases = [wire.decode(Release, _custom(targets.targets[path])) for path in paths]
    return sorted(releases, key=lambda release: release.number)


def _delta(federation: Federation, targets: Targets, task: str, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The hash of the fp32 file that most devices hold, and what changes it into this one; empty if that saves nothing."""
    before, new = next(reversed(_releases(targets, task)), None), files.get(MODEL, b"")
    if before is None or "fp32" not in before.artifacts:
        return "", b""
    base = before.artifacts["fp32"]
    try:
        delta = make_delta(_signed_file(federation, base), new)
    except ReleaseError:
        return "", b""
    return (base.sha256, delta) if len(delta) < WORTH_WHILE * len(new) else ("", b"")


def _signed_file(federation: Federation, artifact: Artifact) -> bytes:
    path = PurePosixPath(artifact.path)
    file = federation.repository / "targets" / path.parent / f"{artifact.sha256}.{path.name}"
    body = file.read_bytes() if file.exists() else b""
    if sha256(body).hexdigest() != artifact.sha256:
        raise ReleaseError(f"{file} is missing or damaged; restore the repository from a backup")
    return body


def _signed_as(target: TargetFile) -> Artifact:
    return Artifact(path=target.path, sha256=target.hashes["sha256"], bytes=target.length)


def _artifact(path: str, body: bytes) -> Artifact:
    return Artifact(path=path, sha256=sha256(body).hexdigest(), bytes=len(body))


def _custom(target: TargetFile) -> dict[str, int]:
    return target.unrecognized_fields["custom"]


def _highest(targets: Targets, task: str | None = None) -> int:
    prefix = f"releases/{task}/" if task else "releases/"
    numbers = (_custom(target)["number"] for path, target in targets.targets.items() if path.startswith(prefix))
    return max(numbers, default=0)


def _stale_rollout(repository: Repository) -> bool:
    """Whether what the rollout role signs is to be signed anew."""
    rollout = repository.rollout()
    return rollout is not None and _is_ageing(rollout, role=ROLLOUT)


def _is_ageing(signed: Signed, *, role: str = "") -> bool:
    return signed.expires - datetime.now(UTC) < LIFETIME[role or signed.type] / 2
