"""Which weights nothing refers to any more, and dropping them; what they were stays in the rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from server.records import ACTIVE, CampaignRequest, EvaluationRequest, EvaluationResult, Run
from server.store import Store
from shared import wire
from shared.errors import WireError
from shared.models import ModelVersion, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What is dropped: the addresses and their bytes, the versions whose weights they are; `kept` says why others stay."""

    addresses: tuple[str, ...]
    bytes: int
    versions: tuple[int, ...]
    kept: dict[int, str]


def plan(store: Store) -> Collection:
    """What could be dropped now."""
    versions, runs, sizes = store.versions(), store.runs(), store.blob_sizes()
    kept = reasons(versions, runs, store.releases(), store.evaluations())
    active = {run.id for run in runs if run.state in ACTIVE}
    needed = {version.weights_sha256 for version in versions if version.number in kept}
    needed |= {address for address, users in store.momenta().items() if users & active}
    dropped = sorted(address for address, size in sizes.items() if size and address not in needed)
    return Collection(
        addresses=tuple(dropped),
        bytes=sum(sizes[address] for address in dropped),
        versions=tuple(version.number for version in versions if version.weights_sha256 in set(dropped)),
        kept=kept,
    )


def collect(store: Store) -> Collection:
    """Drop what nothing refers to, while no other process can write; the store's file shrinks where it can."""
    with store.alone():
        found = plan(store)
        store.drop_blobs(found.addresses)
    if found.addresses:
        store.compact()
    return found


def reasons(
    versions: Sequence[ModelVersion],
    runs: Iterable[Run],
    releases: Iterable[Release],
    evaluations: Iterable[EvaluationResult],
) -> dict[int, str]:
    """Why each version's weights stay, by number; one that is not named here is referred to by nothing.

    The first reason counts: a release, whatever became of it; being the newest of a revision; a run that started from
    it or asks for it; the newest of a run that goes on; an evaluation, which devices paid for.
    """
    found: dict[int, str] = {}
    newest = {(version.task, version.revision): version.number for version in versions}
    last = {version.run_id: version.number for version in versions if version.run_id}
    for release in releases:
        found.setdefault(release.version, f"release {release.number}")
    for (task, revision), number in newest.items():
        found.setdefault(number, f"the newest of {task}, revision {revision}")
    for run in runs:
        for number in _asked(run):
            found.setdefault(
                number, f"run {run.id} starts from it" if run.kind == "train" else f"run {run.id} asks for it"
            )
        if run.state in ACTIVE and run.id in last:
            found.setdefault(last[run.id], f"run {run.id} goes on from it")
    for result in evaluations:
        found.setdefault(result.version, f"evaluation {result.run_id}")
    return found


def _asked(run: Run) -> Iterator[int]:
    """The version that a run's request names, if it names one."""
    try:
        if run.kind == "train":
            yield wire.from_json(CampaignRequest, run.request.encode()).base_version
        elif run.kind == "evaluate":
            yield wire.from_json(EvaluationRequest, run.request.encode()).version
    except WireError:
        return
