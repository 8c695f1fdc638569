"""Whether the devices of a canary do worse than the others: a randomization test on their charged, noisy counts.

The draw of `shared.rollout` places devices at random, independently of their rows. Where a release makes no difference,
any other set of as many devices would have been as likely to run it, however unlike the devices are and whatever noise
their counts carry. So the figure is computed for the sets that might have been, and its place among them is how often
chance alone goes so far (Fisher, 1935, "The Design of Experiments"; Ernst, 2004, "Permutation Methods"; with drawn sets
the observed one counts among them: Phipson & Smyth, 2010). Each figure alarms by mistake at most one time in
`1 / FALSE_ALARM`. One device of ten can never alarm: its place is one of ten at best; `server/placing.py` says who can.
What can never alarm is untold, and so is a gap where a group that may hold more than a few rows is too small to tell.

Three figures: the AUC, lower under the new release; the widest gap of a group, wider under the new one, where a gap is
how much further a group's mean score lies above its share of the last class than that of all rows does; and the score's
stability index, which alarms only above what the task's gate allows, because a better release scores differently too.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from server import fairness, metrics
from server.drift import FLOOR
from server.metrics import FEWEST_DEVIATIONS, Cells, Floats
from server.placing import FALSE_ALARM, SETS, can_alarm
from server.records import Comparison
from shared.drift import OUTCOMES, SCORE, DriftReport, Histogram
from shared.tasks import Task

SEED = 2013
"""Fixed, so that one survey always shows the same; no privacy depends on it."""

INVERTED = 0.5


def compare(task: Task, canary: Sequence[DriftReport], control: Sequence[DriftReport]) -> tuple[Comparison, ...]:
    """Hold the answers of devices that run the new release against the others'; nothing where one side has none.

    Reports must have been checked on arrival, each against its own plan.
    """
    if not canary or not control:
        return ()
    sets = placements(len(canary), len(canary) + len(control))
    reports = [*canary, *control]
    found = [_score_drift(task, [_named(report, SCORE) for report in reports], sets)]
    outcomes = [_named(report, OUTCOMES) for report in reports]
    if all(histogram is not None for histogram in outcomes):
        cells = [metrics.read(each, task, task.drift.score_bins) for each in outcomes if each is not None]
        found = [_auc(cells, sets), *([_gap(cells, sets)] if len(cells[0].groups) > 1 else []), *found]
    able = can_alarm(len(canary), len(reports))
    return tuple(found if able else [_unable(each, len(canary), len(reports)) for each in found])


def _unable(found: Comparison, canary: int, devices: int) -> Comparison:
    """The figure as it is; it tells nothing, because so few devices can never raise an alarm."""
    return replace(found, untold=True, says=f"{found.says}; {canary} of {devices} devices can never show harm")


def placements(canary: int, devices: int) -> Floats:
    """Sets of `canary` of all devices as ones among zeros, shape `(sets, devices)`; the first is the observed one."""
    if math.comb(devices, canary) <= SETS:
        chosen = np.array(list(combinations(range(devices), canary)), np.int64)
    else:
        random = np.random.Generator(np.random.PCG64(SEED))
        chosen = np.argsort(random.random((SETS, devices)), axis=1)[:, :canary]
        chosen[0] = np.arange(canary)
    sets = np.zeros((len(chosen), devices))
    np.put_along_axis(sets, chosen, 1.0, axis=1)
    return sets


def _chance(harm: Floats) -> float:
    """How often a set is at least as bad as the first one; what cannot be computed counts as that bad."""
    return float(np.mean(~(harm < harm[0] - 1e-12)))


def _auc(cells: Sequence[Cells], sets: Floats) -> Comparison:
    """The AUC on both sides, and whether the canary's is lower than chance makes it."""
    counts = np.stack([each.whole.counts[0] for each in cells])
    ours, others = _areas(counts, sets), _areas(counts, 1 - sets)
    first = [cell for cell, taken in zip(cells, sets[0], strict=True) if taken]
    if not _are_told(cells, sets):
        return _untold("AUC")
    chance = _chance(others - ours)
    here, there = (min(1.0, max(0.0, float(each[0]))) for each in (ours, others))  # noise may lead beyond both ends
    alarm, figures = chance <= FALSE_ALARM, f"AUC {here:.3f} beside {there:.3f} (chance {chance:.2%})"
    upside_down = metrics.auc(_summed(first), confidence=1 - 2 * FALSE_ALARM).high < INVERTED <= there
    what = "labels look inverted: " if alarm and upside_down else "worse: " if alarm else ""
    return Comparison(name="AUC", canary=here, control=there, chance=chance, alarm=alarm, says=what + figures)


def _areas(counts: Floats, sets: Floats) -> Floats:
    """The AUC of each set's devices taken together; `counts` have shape `(devices, 2, bins)`."""
    negative, positive = np.moveaxis(np.tensordot(sets, counts, axes=1), 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return metrics.area(positive, negative)


def _gap(cells: Sequence[Cells], sets: Floats) -> Comparison:
    """The widest gap of a group on both sides, and of which group it grew most."""
    counts = np.stack([each.counts for each in cells])
    told = _told_groups(cells, sets)
    missing = _missing(cells, told)
    if not told.any() or not _are_told(cells, sets) or (told.sum() < 2 and missing):
        return _untold("group gap")
    (ours, our_gaps), (others, their_gaps) = (_offsets(counts[:, told], each) for each in (sets, 1 - sets))
    chance = _chance((np.abs(our_gaps) - np.abs(their_gaps)).max(axis=1))
    worst = int(np.argmax(np.abs(ours[0]) - np.abs(others[0])))
    group = [name for name, is_told in zip(cells[0].groups, told, strict=True) if is_told][worst]
    alarm, here, there = chance <= FALSE_ALARM, float(ours[0, worst]), float(others[0, worst])
    side = "above" if here > 0 else "below"
    figures = (
        f"scores of {group!r} lie {abs(here):.3f} {side} its outcomes, {there:+.3f} elsewhere (chance {chance:.2%})"
    )
    left_out = f"; too few outcomes to tell of {', '.join(missing)}" if missing else ""
    return Comparison(
        name="group gap", canary=here, control=there, chance=chance, alarm=alarm,
        says=f"biased: {figures}" if alarm else f"{figures}{left_out}", untold=bool(missing) and not alarm,
    )  # fmt: skip


def _missing(cells: Sequence[Cells], told: NDArray[np.bool_]) -> list[str]:
    """The groups that are not told, and may hold more than a negligible share of the rows."""
    summed = _summed(cells)
    untold = [place for place, is_told in enumerate(told) if not is_told]
    return [summed.groups[place] for place in untold if not fairness.negligible(summed, place)]


def _offsets(counts: Floats, sets: Floats) -> tuple[Floats, Floats]:
    """How far a group's mean score lies above its share of the last class, and how much further than all rows' does.

    `counts` have shape `(devices, groups, 2, bins)`; both figures have shape `(sets, groups)`.
    """
    merged = np.tensordot(sets, counts, axes=1)
    middles = (np.arange(counts.shape[-1]) + 0.5) / counts.shape[-1]
    above = (merged.sum(axis=2) * middles).sum(axis=-1) - merged[:, :, 1].sum(axis=-1)
    rows = merged.sum(axis=(2, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        offsets, whole = above / rows, above.sum(axis=1) / rows.sum(axis=1)
    return offsets, offsets - whole[:, None]


def _score_drift(task: Task, histograms: Sequence[Histogram | None], sets: Floats) -> Comparison:
    """The stability index between both sides, less what it is on average between sets that do not differ."""
    counts = np.stack([np.array(each.counts) for each in histograms if each is not None])
    noise = histograms[0].noise if histograms[0] is not None else 0.0
    ours, others = sets @ counts, (1 - sets) @ counts
    total = max(1.0, min(float(ours[0].sum()), float(others[0].sum())))
    floor = max(FLOOR, noise * math.sqrt(float(sets[0].sum())) / total)
    index = _stability(ours, others, floor)
    psi, chance, most = float(index[0] - index.mean()), _chance(index), task.gates.max_score_drift
    alarm = most is not None and psi > most and chance <= FALSE_ALARM
    figures = f"score PSI {max(0.0, psi):.3f} (chance {chance:.2%})"
    return Comparison(
        name="score drift", canary=psi, control=0.0, chance=chance, alarm=alarm,
        says=f"scores differ: {figures}, at most {most:g} may" if alarm else figures,
    )  # fmt: skip


def _stability(ours: Floats, others: Floats, floor: float) -> Floats:
    p, q = (np.maximum(each / np.maximum(each.sum(axis=1, keepdims=True), 1.0), floor) for each in (ours, others))
    p, q = (each / each.sum(axis=1, keepdims=True) for each in (p, q))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=1))


def _are_told(cells: Sequence[Cells], sets: Floats) -> bool:
    """Whether an average set of the canary's size has both classes well above their noise."""
    return _share_is_told(_summed(cells).whole, sets).all().item()


def _told_groups(cells: Sequence[Cells], sets: Floats) -> NDArray[np.bool_]:
    """Which groups have rows well above their noise in an average set of the canary's size, shape `(groups,)`."""
    summed = _summed(cells)
    return np.array(
        [_share_is_told(summed.of(place), sets, together=True).all() for place in range(len(summed.groups))]
    )


def _share_is_told(cells: Cells, sets: Floats, *, together: bool = False) -> NDArray[np.bool_]:
    """Of the two classes of one group, or of both `together`: whether the canary's share stands out of its noise.

    It looks at all devices' counts, which are the same whichever set they are parted into.
    """
    share = float(sets[0].mean())
    axes = (0, 1) if together else (1,)
    rows, noise = (each[0].sum(axis=axes) for each in (cells.counts, cells.noise))
    return np.atleast_1d(share * rows > FEWEST_DEVIATIONS * np.sqrt(share * noise))


def _summed(cells: Sequence[Cells]) -> Cells:
    counts, noise = (
        sum(each, np.zeros_like(each[0])) for each in ([c.counts for c in cells], [c.noise for c in cells])
    )
    return Cells(groups=cells[0].groups, counts=counts, noise=noise, edges=cells[0].edges)


def _untold(name: Literal["AUC", "group gap"]) -> Comparison:
    says = f"{name}: too few outcomes to tell"
    return Comparison(name=name, canary=0.0, control=0.0, chance=1.0, alarm=False, says=says, untold=True)


def _named(report: DriftReport, name: str) -> Histogram | None:
    return next((histogram for histogram in report.histograms if histogram.name == name), None)
