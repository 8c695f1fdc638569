"""All gates of a version, from the evidence that there is: what `covey gate` shows and `covey promote` demands."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from server import modelcard
from server.config import Federation
from server.export import export
from server.gates import accuracy, check, compatible, scoredrift, spend
from server.gates.scoredrift import Side
from server.history import History, read_history
from server.metrics import Cells, read
from server.pedigree import ancestry, pedigree, rounds_behind, spend_of
from server.probe import Probe, cells_of, read_probe
from server.records import GateVerdict
from server.releases import signed_files
from server.rollouts import in_force
from server.store import Store
from shared.models import Release
from shared.quantization import quantize
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """A candidate's exported file, as a release would carry it, and every verdict on it."""

    fp32: bytes
    verdicts: tuple[GateVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing is undecided."""
        return all(verdict.passed for verdict in self.verdicts)


def gate(federation: Federation, store: Store, number: int, *, probe: Path | None = None) -> Gated:
    """Export version `number` with its card, hold it against every gate of its task, and keep how that came out.

    Raise `InputError` for a version that is not there, and for a probe set that cannot be used.
    """
    history = read_history(store)
    version = history.version(number)
    task = history.task_of(version)
    rows = read_probe(probe, task) if probe else None
    weights = np.frombuffer(store.weights(number), dtype="<f4")
    fp32 = export(task, weights, version=number, card=modelcard.inside(pedigree(history, number), task))
    verdicts = check(task, weights, fp32, quantize(task, fp32))
    if verdicts[0].passed:
        verdicts += _declared(federation, history, number, Side(task=task, fp32=fp32), rows)
    store.add_gating(number, verdicts)
    return Gated(fp32=fp32, verdicts=verdicts)


def _declared(
    federation: Federation, history: History, number: int, candidate: Side, probe: Probe | None
) -> tuple[GateVerdict, ...]:
    """What the task itself demands, beyond the file."""
    task, version = candidate.task, history.version(number)
    before = _in_force(history, task.name, number)
    mine, theirs = _comparable(history, number, before)
    parent = (
        Side(task=before[1], fp32=signed_files(federation, before[0])["fp32.onnx"], cells=theirs) if before else None
    )
    spent = spend_of(task, rounds_behind(history, list(ancestry(history, version))))
    whose = f"release {before[0].number}" if before else ""
    return (
        *_accurate(history, number, candidate, probe),
        *spend.hold(task.gates, spent),
        *scoredrift.hold(
            task.gates.max_score_drift, replace(candidate, cells=mine), parent, whose=whose,
            probe=probe.columns if probe else None,
        ),
        *compatible.hold(task, before, {each.revision: each for each in history.tasks.values() if each.name == task.name}),
    )  # fmt: skip


def _accurate(history: History, number: int, candidate: Side, probe: Probe | None) -> tuple[GateVerdict, ...]:
    """By the newest charged evaluation, and by the probe set beside it.

    A probe set stands alone only where the task does not let devices be asked.
    """
    task, result = candidate.task, history.evaluations.get(number)
    found: list[GateVerdict] = []
    if result or task.evaluation or probe is None:
        cells = _cells(history, number, task)
        note = f"evaluation {result.run_id}, {result.devices} devices" if result else _nothing(task, number)
        found += accuracy.hold(task.gates, cells, note=note)
    if probe is not None:
        found += accuracy.hold(
            task.gates, cells_of(probe, task, candidate.fp32), note=probe.said, suffix=" on the probe set"
        )
    return tuple(found)


def _nothing(task: Task, number: int) -> str:
    if task.evaluation:
        return f"no evaluation of this version; `covey evaluate {number}` asks for one"
    return "the task declares no [evaluation], so devices cannot be asked; --probe FILE takes public rows instead"


def _cells(history: History, number: int, task: Task) -> Cells | None:
    result = history.evaluations.get(number)
    return read(result.cells, task, result.score_bins) if result else None


def _comparable(
    history: History, number: int, before: tuple[Release, Task] | None
) -> tuple[Cells, Cells] | tuple[None, None]:
    """The cells of both evaluations, if both versions were evaluated over the same window by one revision."""
    if before is None:
        return None, None
    release, task = before
    mine, theirs = history.evaluations.get(number), history.evaluations.get(release.version)
    if mine is None or theirs is None or (mine.window, mine.revision) != (theirs.window, theirs.revision):
        return None, None
    return read(mine.cells, task, mine.score_bins), read(theirs.cells, task, theirs.score_bins)


def _in_force(history: History, task: str, number: int) -> tuple[Release, Task] | None:
    """The newest release of another version that is meant for the whole fleet, and the task as it was signed for it."""
    others = [each for each in history.releases if each.task == task and each.version != number]
    sound = [each for each in others if history.version(each.version).stage not in ("halted", "withdrawn")]
    release = in_force(sound, history.rollouts)
    return (release, history.tasks[task, release.revision]) if release else None
