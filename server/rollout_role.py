"""What the online rollout role signs: `rollout/TASK.json`, how far the newest release of a task has come.

It needs the keys `rollout`, `snapshot` and `timestamp`, which lie on the coordinator anyway, and never `targets`: it can
choose among what targets signed, stay under the ceiling, or halt (privacy rule 19).
"""

# pyright: reportPrivateImportUsage=false
# TUF documents these names here, though its modules do not mark them as exported.

from tuf.api.metadata import Targets

from server.config import Federation
from server.releases import published_releases, read_signed
from server.repository import Repository
from shared import wire
from shared.errors import InputError
from shared.rollout import PATH, Rollout


def publish_rollout(federation: Federation, rollout: Rollout) -> Rollout:
    """Sign `rollout` in place of the task's last document, and return it.

    Raise `InputError` unless its number rises and it speaks of the task's newest signed release, within its ceiling.
    """
    repository = Repository(federation)
    with repository.locked():
        signed = _delegated(repository)
        _check_release(federation, rollout)
        _check_number(rollout, after=_document(federation, signed, rollout.task))
        repository.add(signed, _path(rollout.task), wire.to_json(rollout), {"number": rollout.number})
        repository.commit_rollout(signed)
    return rollout


def signed_rollout(federation: Federation, task: str) -> Rollout | None:
    """The document in force of a task; None where none was ever signed."""
    signed = Repository(federation).rollout()
    return _document(federation, signed, task) if signed else None


def _delegated(repository: Repository) -> Targets:
    signed = repository.rollout()
    if signed is None:
        raise InputError(
            "this repository names no key for rollouts yet; `covey renew`, or the next release, lets targets name it"
        )
    return signed


def _check_release(federation: Federation, rollout: Rollout) -> None:
    newest = next(reversed(published_releases(federation, rollout.task)), None)
    if newest is None or newest.number != rollout.release:
        found = f"release {newest.number} is its newest" if newest else "it has none"
        raise InputError(f"release {rollout.release} of task {rollout.task!r} cannot be rolled out: {found}")
    if max(rollout.share_bp, rollout.shadow_bp) > newest.ceiling_bp:
        raise InputError(
            f"release {rollout.release} was signed for at most {newest.ceiling_bp / 100:g} % of devices, not for "
            f"{max(rollout.share_bp, rollout.shadow_bp) / 100:g} %; sign a release with a higher ceiling"
        )


def _check_number(rollout: Rollout, *, after: Rollout | None) -> None:
    last = after.number if after else 0
    if rollout.number <= last:
        raise InputError(
            f"document {rollout.number} of task {rollout.task!r} cannot follow document {last}: another act came first; "
            "look again"
        )


def _document(federation: Federation, signed: Targets, task: str) -> Rollout | None:
    target = signed.targets.get(_path(task))
    return wire.from_json(Rollout, read_signed(federation, target), what=target.path) if target else None


def _path(task: str) -> str:
    return f"{PATH}/{task}.json"
