"""All that the store knows of versions, read once: what pedigrees, trees and scorecards are put together from."""

from dataclasses import dataclass, field

from server.records import EvaluationResult, Gating, Lineage, RolloutStep, Run
from server.store import Store
from server.store.blobs import NOTHING
from shared.errors import InputError
from shared.models import ModelVersion, Release
from shared.rounds import RoundResult
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRole:
    """One role in force: its version, when it expires (ISO 8601, UTC), and the ids of the keys whose signatures hold."""

    role: str
    version: int
    expires: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Rows by what they are about; lists run from the oldest to the newest. `signed` are the roles that vouch for releases."""

    tasks: dict[tuple[str, int], Task]
    versions: dict[int, ModelVersion]
    runs: dict[int, Run] = field(default_factory=dict[int, Run])
    rounds: dict[int, list[RoundResult]] = field(default_factory=dict[int, list[RoundResult]])
    lineages: dict[int, Lineage] = field(default_factory=dict[int, Lineage])
    gatings: dict[int, Gating] = field(default_factory=dict[int, Gating])
    evaluations: dict[int, EvaluationResult] = field(default_factory=dict[int, EvaluationResult])
    releases: tuple[Release, ...] = ()
    rollouts: tuple[RolloutStep, ...] = ()
    collected: frozenset[int] = frozenset()
    signed: tuple[SignedRole, ...] = ()

    def version(self, number: int) -> ModelVersion:
        """The version numbered `number`, or `InputError`."""
        if number not in self.versions:
            raise InputError(f"there is no version {number}; `covey models` lists them")
        return self.versions[number]

    def task_of(self, version: ModelVersion) -> Task:
        """The task as it was signed when the version was made."""
        return self.tasks[version.task, version.revision]


def read_history(store: Store, *, signed: tuple[SignedRole, ...] = ()) -> History:
    """The store's rows as they are now; of gatings and evaluations each version's newest."""
    versions = {version.number: version for version in store.versions()}
    revisions = sorted({(version.task, version.revision) for version in versions.values()})
    sizes = store.blob_sizes()
    rounds: dict[int, list[RoundResult]] = {}
    for result in store.rounds():
        rounds.setdefault(result.plan.run_id, []).append(result)
    return History(
        tasks={(name, revision): store.task(name, revision=revision) for name, revision in revisions},
        versions=versions,
        runs={run.id: run for run in store.runs()},
        rounds=rounds,
        lineages=store.lineages(),
        gatings={gating.version: gating for gating in store.gatings()},
        evaluations={result.version: result for result in store.evaluations()},
        releases=tuple(store.releases()),
        rollouts=tuple(store.rollouts()),
        collected=frozenset(number for number, each in versions.items() if is_collected(each.weights_sha256, sizes)),
        signed=signed,
    )


def is_collected(address: str, sizes: dict[str, int]) -> bool:
    """Whether the bytes that an address names were dropped."""
    return sizes.get(address) == 0 and address != NOTHING
