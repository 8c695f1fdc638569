"""What the online rollout role signs: `rollout/TASK.json`, how far the newest release of a task has come.

It needs the keys `rollout`, `snapshot` and `timestamp`, which lie on the coordinator anyway, and never `targets`: it can
choose among what targets signed, stay under the ceiling, or halt (privacy rule 19).
"""

# pyright: reportPrivateImportUsage=false
# TUF documents these names here, though its modules do not mark them as exported.

from collections.abc import Iterable, Iterator

from tuf.api.metadata import Targets

from server.config import Federation
from server.releases import published_releases, read_signed
from server.repository import LISTED, Repository, published_tasks, rollout_path
from shared import wire
from shared.errors import InputError, ReleaseError, WireError
from shared.rollout import Rollout


def publish_rollout(federation: Federation, rollout: Rollout, *, after: int | None = None) -> Rollout:
    """Sign `rollout` in place of the task's last document, and return it.

    `after` is the number of the last document that the coordinator itself signed, by default of the one in force. Raise
    `InputError` unless the number rises and the document speaks of the task's newest signed release, within its ceiling.
    """
    repository = Repository(federation)
    with repository.locked():
        signed = _delegated(repository)
        _check_release(federation, rollout)
        _check_number(rollout, after=_last(federation, signed, rollout.task) if after is None else after)
        _list(repository, signed, rollout)
        repository.commit_rollout(signed)
    return rollout


def signed_rollout(federation: Federation, task: str) -> Rollout | None:
    """The document in force of a task; None where none was ever signed, or none that can be read."""
    signed = Repository(federation).rollout()
    return _document(federation, signed, task) if signed else None


def is_illegible(federation: Federation, task: str) -> bool:
    """Whether the role says something of a task that no device can read."""
    signed = Repository(federation).rollout()
    if signed is None or rollout_path(task) not in signed.targets:
        return False
    return _document(federation, signed, task) is None


def sign_anew(federation: Federation, task: str, rollout: Rollout | None) -> None:
    """Let the role say `rollout` of the task, or nothing, whatever it says now, and of other published tasks what it says.

    Unlike `publish_rollout`, it takes a document of a release that is no longer the newest.
    """
    repository = Repository(federation)
    with repository.locked():
        signed = _delegated(repository)
        signed.targets.pop(rollout_path(task), None)
        if rollout is not None:
            _list(repository, signed, rollout)
        repository.commit_rollout(signed)


def only(repository: Repository, documents: Iterable[Rollout]) -> Targets:
    """These documents and nothing else, for the role to sign."""
    signed = Targets(version=1)
    for rollout in documents:
        _list(repository, signed, rollout)
    return signed


def strays(federation: Federation) -> Iterator[str]:
    """Each thing that the role, or the snapshot beside it, says though no coordinator of ours would, in words."""
    repository = Repository(federation)
    signed = repository.rollout()
    if signed is None:
        return
    if signed.delegations is not None:
        yield f"the rollout role names roles of its own ({', '.join(sorted(signed.delegations.roles or {})) or 'unnamed'})"
    own = {rollout_path(task) for task in published_tasks(repository.targets())}
    for path in sorted(signed.targets):
        if path not in own:
            yield f"the rollout role signs {path}, which is of no published task"


def strangers(federation: Federation) -> Iterator[str]:
    """Roles that the snapshot lists and Covey has none of; a new snapshot key is what makes devices forget them."""
    for name in sorted(set(Repository(federation).snapshot().meta) - set(LISTED)):
        yield f"the snapshot lists {name}, a role that is none of ours; `covey rotate snapshot` drops it"


def _delegated(repository: Repository) -> Targets:
    signed = repository.own_rollout()
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


def _check_number(rollout: Rollout, *, after: int) -> None:
    if rollout.number <= after:
        raise InputError(
            f"document {rollout.number} of task {rollout.task!r} cannot follow document {after}: another act came first; "
            "look again"
        )


def _last(federation: Federation, signed: Targets, task: str) -> int:
    document = _document(federation, signed, task)
    return document.number if document else 0


def _list(repository: Repository, signed: Targets, rollout: Rollout) -> None:
    repository.add(signed, rollout_path(rollout.task), wire.to_json(rollout), {"number": rollout.number})


def _document(federation: Federation, signed: Targets, task: str) -> Rollout | None:
    """A document as devices understand it: what is lost, unreadable or of another task says nothing."""
    target = signed.targets.get(rollout_path(task))
    if target is None:
        return None
    try:
        rollout = wire.from_json(Rollout, read_signed(federation, target), what=target.path)
    except (WireError, ReleaseError):
        return None
    return rollout if rollout.task == task else None
