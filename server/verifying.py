"""Holds all that the store and the repository keep of versions against their hashes, records and signatures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from server import signatures
from server.config import Federation
from server.export import export, same_content
from server.history import History, read_history
from server.releases import published_releases, signed_body, signed_targets
from server.rollout_role import is_illegible, signed_rollout
from server.rollout_word import newest
from server.store import Store
from shared import wire
from shared.errors import CoveyError
from shared.models import Artifact, ModelVersion, Release
from shared.tasks import Task

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How many of each kind were looked at, and a line for each thing that is wrong."""

    blobs: int
    versions: int
    targets: int
    releases: int
    wrong: tuple[str, ...]


def verify(federation: Federation, store: Store, *, say: Say) -> Verification:
    """Look at everything; `say` hears what is being looked at."""
    history = read_history(store)
    say("weights")
    blobs = list(_damaged_blobs(store))
    say("versions and rounds")
    rows = list(_broken_rows(history))
    say("metadata and its signatures")
    roles = list(signatures.complaints(federation))
    say("signed files")
    files = list(_damaged_files(federation))
    say("releases against their versions")
    releases = list(_wrong_releases(federation, store, history))
    say("tasks")
    tasks = list(_wrong_tasks(federation, store, history))
    say("rollouts")
    rollouts = list(_wrong_rollouts(federation, store))
    return Verification(
        blobs=len(store.blob_sizes()),
        versions=len(history.versions),
        targets=sum(1 for file in (federation.repository / "targets").rglob("*") if file.is_file()),
        releases=len(history.releases),
        wrong=(*blobs, *rows, *roles, *files, *releases, *tasks, *rollouts),
    )


def _damaged_blobs(store: Store) -> Iterator[str]:
    """Weights and optimizer states that are not what their address says; those collected hold nothing."""
    for address, data in store.blobs():
        if data and sha256(data).hexdigest() != address:
            yield f"weights {address[:12]} are damaged: their SHA-256 differs"


def _broken_rows(history: History) -> Iterator[str]:
    for version in history.versions.values():
        yield from _broken_version(history, version)


def _broken_version(history: History, version: ModelVersion) -> Iterator[str]:
    """A parent that is not there, or a round that does not say what the version says of it."""
    name = f"version {version.number}"
    if version.parent and version.parent not in history.versions:
        yield f"{name} names version {version.parent} as its parent, which is not there"
    if not version.run_id:
        return
    if version.run_id not in history.runs:
        yield f"{name} came from run {version.run_id}, which is not there"
    rounds = (result for result in history.rounds.get(version.run_id, []) if result.plan.number == version.round_number)
    result = next(rounds, None)
    if result is None or result.outcome != "committed":
        yield f"{name} came from round {version.round_number} of run {version.run_id}, of which there is no committed record"
    elif (result.plan.task, result.plan.base_version) != (version.task, version.parent):
        yield f"{name} and the record of its round name different tasks or parents"


def _damaged_files(federation: Federation) -> Iterator[str]:
    """Files that are not what their own name says, and signed ones that are missing or of another length."""
    folder = federation.repository / "targets"
    for file in sorted(folder.rglob("*")):
        part_written = file.name.startswith(".")
        if file.is_file() and not part_written and sha256(file.read_bytes()).hexdigest() != file.name.partition(".")[0]:
            yield f"targets/{file.relative_to(folder)} is damaged: its SHA-256 differs"
    try:
        for artifact in signed_targets(federation):
            if signed_body(federation, artifact) is None:
                yield f"targets/{artifact.path} is missing, or not the {artifact.bytes:,} bytes that were signed"
    except CoveyError as error:
        yield str(error)


def _wrong_releases(federation: Federation, store: Store, history: History) -> Iterator[str]:
    """Releases that the store and the signed list do not both know, and models that are not their version's."""
    try:
        signed = {each.number: each for task in store.tasks() for each in published_releases(federation, task.name)}
    except CoveyError as error:
        yield str(error)
        return
    kept = {release.number: release for release in history.releases}
    for number in sorted(signed.keys() | kept.keys()):
        if signed.get(number) != kept.get(number):
            yield f"release {number} is not the same in the store and in the signed list"
    for release in kept.values():
        yield from _wrong_model(federation, store, history, release)


def _wrong_tasks(federation: Federation, store: Store, history: History) -> Iterator[str]:
    """Tasks that the store does not keep as they were signed: the newest revision, and the one of each release."""
    try:
        files = {artifact.path: artifact for artifact in signed_targets(federation)}
    except CoveyError as error:
        yield str(error)
        return
    for task in store.tasks():
        yield from _wrong_task(federation, task, files.get(f"tasks/{task.name}.json"), "the signed task file")
    for release in history.releases:
        task = history.tasks.get((release.task, release.revision))
        if task is None:
            yield f"release {release.number} is of revision {release.revision} of {release.task}, which is not there"
        elif "task" in release.artifacts:
            signed = release.artifacts["task"]
            yield from _wrong_task(federation, task, signed, f"the task file of release {release.number}")


def _wrong_task(federation: Federation, task: Task, signed: Artifact | None, where: str) -> Iterator[str]:
    body = signed_body(federation, signed) if signed else None
    if body is None or body != wire.to_json(task):
        yield f"revision {task.revision} of {task.name} in the store is not {where}"


def _wrong_rollouts(federation: Federation, store: Store) -> Iterator[str]:
    """Documents in force that are not the newest one that the store knows."""
    try:
        for name in sorted({task.name for task in store.tasks()}):
            signed, known = signed_rollout(federation, name), newest(store.rollouts(name))
            if signed != known or is_illegible(federation, name):
                here, there = (f"document {each.number}" if each else "none" for each in (known, signed))
                yield f"the rollout of {name} is not the same in the store and in the signed list: {here} and {there}"
    except CoveyError as error:
        yield str(error)


def _wrong_model(federation: Federation, store: Store, history: History, release: Release) -> Iterator[str]:
    """A released model whose content is not an export of its version's weights."""
    version, artifact = history.versions.get(release.version), release.artifacts.get("fp32")
    if version is None or artifact is None:
        yield f"release {release.number} names version {release.version}, or a model, that is not there"
        return
    if version.number in history.collected:
        yield f"release {release.number} is of version {version.number}, whose weights were collected"
        return
    data = signed_body(federation, artifact)
    try:
        weights = np.frombuffer(store.weights(version.number), dtype="<f4")
        expected = export(history.task_of(version), weights, version=version.number)
        if data is not None and not same_content(data, expected):
            yield f"release {release.number} is not an export of the weights of version {version.number}"
    except CoveyError as error:
        yield f"release {release.number}: {error}"
