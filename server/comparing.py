"""Takes the figures of a scorecard: what evaluations say, what files weigh, and how long an answer takes here."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from server import fairness, metrics, modelcard
from server.estimates import CONFIDENCE, Estimate
from server.export import export
from server.history import History, read_history
from server.pedigree import Pedigree, pedigree, window_of
from server.scorecard import Criterion, Entrant
from server.store import Store
from shared.feeds import to_feeds
from shared.models import ModelVersion
from shared.runtime import median_us, open_model
from shared.synthetic import make_columns
from shared.tasks import Task, Window

CALLS, REPEATS = 200, 5
DAY = 86_400


def entrants(store: Store, numbers: list[int], *, say: Callable[[str], None]) -> list[Entrant]:
    """The named versions' figures; `say` hears which one is being measured. Raise `InputError` for one that is not there."""
    history, found = read_history(store), list[Entrant]()
    for number in numbers:
        say(f"version {number}")
        found.append(_entrant(store, history, history.version(number)))
    return found


def chosen(store: Store) -> list[int]:
    """The versions compared where none is named: those that serve devices, and each task's newest."""
    versions = store.versions()
    newest = {version.task: version.number for version in versions}
    released = {version.number for version in versions if version.stage in ("canary", "released")}
    return sorted(released | set(newest.values()))


def _entrant(store: Store, history: History, version: ModelVersion) -> Entrant:
    task, found = history.task_of(version), pedigree(history, version.number)
    figures: dict[Criterion, Estimate | None] = {
        "privacy": _exactly(found.spend.epsilon),
        "freshness": _age(history, version),
        **_measured(history, version, task),
        **_timed(store, history, found, task),
    }
    return Entrant(version=version.number, parameters=found.parameters, figures=figures)


def _measured(history: History, version: ModelVersion, task: Task) -> dict[Criterion, Estimate | None]:
    """The AUC and the widest gap between a group's and that of all, of the newest evaluation."""
    result = history.evaluations.get(version.number)
    if result is None:
        return {"accuracy": None, "fairness": None}
    cells, sure = metrics.read(result.cells, task, result.score_bins), task.gates.confidence or CONFIDENCE
    gap = fairness.auc_gap(cells, sure).estimate if task.groups else None
    return {"accuracy": metrics.auc(cells, sure), "fairness": gap}


def _timed(store: Store, history: History, found: Pedigree, task: Task) -> dict[Criterion, Estimate | None]:
    """The size of the file with its card as devices get it, and the median time of an answer: middle, least and most tries."""
    version = found.version
    if version.number in history.collected:
        return {"size": None, "latency": None}
    weights = np.frombuffer(store.weights(version.number), dtype="<f4")
    fp32 = export(task, weights, version=version.number, card=modelcard.inside(found, task))
    signed = [offer.release.artifacts["fp32"].bytes for offer in found.offers if "fp32" in offer.release.artifacts]
    session, feeds = open_model(fp32), to_feeds(task, make_columns(task, CALLS, seed=task.revision))
    times = sorted(median_us(session, feeds, calls=CALLS) for _ in range(REPEATS))
    return {
        "size": _exactly(signed[-1] if signed else len(fp32)),
        "latency": Estimate(value=times[REPEATS // 2], low=times[0], high=times[-1]),
    }


def _age(history: History, version: ModelVersion) -> Estimate | None:
    """Days since the newest row that it can have learned: the window's end, or the round where that is open."""
    window = window_of(history, version)
    if window is None:
        return None
    return _exactly(max(0.0, (time.time() - _end(window, version)) / DAY))


def _end(window: Window, version: ModelVersion) -> float:
    if not window.end:
        return version.created_at
    moment = datetime.fromisoformat(window.end)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _exactly(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)
