"""From a candidate version to a signed release, and back to older weights where that was a mistake."""

import json
from dataclasses import replace

import numpy as np

from server.config import Federation
from server.export import export
from server.gates import check
from server.records import CampaignRequest, GateVerdict
from server.releases import publish_release, published_releases, signed_files
from server.store import Store
from shared import wire
from shared.errors import InputError, ReleaseError
from shared.models import ModelVersion, Release
from shared.quantization import RECIPE, quantize
from shared.reference import make_reference
from shared.runtime import open_model
from shared.tasks import Task, Window


def promote(federation: Federation, store: Store, task: Task, version: int) -> Release:
    """Export, test, sign and record `version`.

    A failing gate raises `ReleaseError` with its figure, and nothing is signed.
    """
    recover(federation, store, task)
    candidate = store.version(version)
    _require_fit(task, candidate)
    weights = np.frombuffer(store.weights(version), dtype="<f4")
    fp32 = export(task, weights, version=version)
    verdicts = check(task, weights, fp32, quantize(task, fp32))
    _require_passed(version, verdicts)
    draft = replace(
        _draft(store, candidate), recipe=RECIPE, reference=make_reference(task, open_model(fp32), seed=version)
    )
    release = publish_release(federation, draft, {"fp32.onnx": fp32, "task.json": wire.to_json(task)})
    store.add_release(release, verdicts)
    store.audit("operator", "promote", f"{task.name}: version {version} is release {release.number}")
    return release


def withdraw(federation: Federation, store: Store, task: Task, release: int) -> Release:
    """Mark a release's version withdrawn; return the release that is in force from now on.

    If that version is in force, the newest older one that was not withdrawn is signed again, byte for byte,
    as a newer release. Raise `ReleaseError` if there is none.
    """
    recover(federation, store, task)
    history = store.releases(task.name)
    mistake = next((one for one in history if one.number == release), None)
    if mistake is None:
        raise InputError(f"task {task.name!r} has no release {release}; `covey models` lists them")
    in_force = history[-1]
    if in_force.version == mistake.version:
        in_force = _sign_again(federation, store, _before(store, history, mistake))
    store.set_stage(mistake.version, "withdrawn")
    store.audit("operator", "withdraw", f"{task.name}: release {release} gives way to release {in_force.number}")
    return in_force


def recover(federation: Federation, store: Store, task: Task) -> None:
    """Record what was signed but, because of a crash right after, not written down."""
    known = {release.number for release in store.releases(task.name)}
    for release in published_releases(federation, task.name):
        if release.number not in known:
            store.add_release(release, ())
            store.audit("coordinator", "recover", f"{task.name}: release {release.number} was signed before a crash")


def _require_fit(task: Task, candidate: ModelVersion) -> None:
    if candidate.task != task.name:
        raise InputError(f"version {candidate.number} belongs to task {candidate.task!r}, not to {task.name!r}")
    if candidate.revision != task.revision:
        raise InputError(
            f"version {candidate.number} was trained for revision {candidate.revision} of {task.name!r}, which is at"
            f" revision {task.revision} now; promote a version of this revision"
        )
    if candidate.stage == "withdrawn":
        raise InputError(f"version {candidate.number} was withdrawn; promote another one")


def _require_passed(version: int, verdicts: tuple[GateVerdict, ...]) -> None:
    failures = [f"{v.name}: expected {v.expected}, found {v.found}" for v in verdicts if not v.passed]
    if failures:
        raise ReleaseError(f"version {version} is not released; {'; '.join(failures)}")


def _draft(store: Store, candidate: ModelVersion) -> Release:
    return Release(
        number=0,
        task=candidate.task,
        revision=candidate.revision,
        version=candidate.number,
        trained_on=_window(store, candidate),
    )


def _window(store: Store, candidate: ModelVersion) -> Window:
    """The rows that the version's run asked for; a task's first, untrained version saw none."""
    if not candidate.run_id:
        return Window()
    return wire.from_json(CampaignRequest, store.run(candidate.run_id).request.encode()).window


def _before(store: Store, history: list[Release], mistake: Release) -> Release:
    """The newest release of another version that was not withdrawn."""
    for release in reversed(history):
        if release.version != mistake.version and store.version(release.version).stage != "withdrawn":
            return release
    raise ReleaseError(f"release {mistake.number} has no earlier one to give way to; promote another version instead")


def _sign_again(federation: Federation, store: Store, earlier: Release) -> Release:
    release = publish_release(federation, earlier, signed_files(federation, earlier))
    store.add_release(release, [wire.decode(GateVerdict, row) for row in json.loads(store.gates(earlier.number))])
    return release
