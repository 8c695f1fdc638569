"""Carries the weights of an earlier revision of a task into the network of the next one, as far as they mean the same.

Only public things are read: two signed tasks and a version's weights. What is new starts without influence, so that
the first candidate answers as the old release did: a split class shares its old probability evenly between its parts.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from server.store import Store
from shared.architecture import initial_weights, split
from shared.errors import InputError
from shared.features import Category, Feature
from shared.tasks import Task

Array = NDArray[np.float32]

RARE = 0.01
"""How likely a class that nothing led to is at first."""


def first_weights(store: Store, task: Task) -> tuple[Array, int]:
    """A revision's first weights, and the version that they were carried over from, 0 for none.

    That is the version in force, if it is of the revision that the map names, else the newest of that revision. Raise
    `InputError` for a map that leaves something without a word.
    """
    if task.revises is None:
        return initial_weights(task), 0
    old = store.task(task.name, revision=task.revises.revision)
    check_map(old, task)
    base = _base(store, old)
    kept = carried(old, np.frombuffer(store.weights(base), dtype="<f4"), task)
    return (kept, base) if kept is not None else (initial_weights(task), 0)


def _base(store: Store, old: Task) -> int:
    numbers = [version.number for version in store.versions(old.name) if version.revision == old.revision]
    released = [release.version for release in store.releases(old.name) if release.version in numbers]
    return released[-1] if released else numbers[-1]


def check_map(old: Task, new: Task) -> None:
    """Raise `InputError` where the map of `new` leaves a class or a column of `old` without a word."""
    if new.revises is None or new.revises.revision != old.revision:
        raise InputError(f"revision {new.revision} of {new.name!r} does not say how it revises revision {old.revision}")
    unknown = [name for name in new.revises.classes if name not in old.label.classes]
    if unknown:
        raise InputError(f"[revises.classes] names the classes {unknown}, which revision {old.revision} does not have")
    lost = [name for name in old.label.classes if name not in {*new.label.classes, *new.revises.classes}]
    if lost:
        raise InputError(
            f"the classes {lost} are neither kept nor named under [revises.classes]; say what became of them"
        )
    known = {*old.numbers, *old.texts, old.label.column}
    wanted = (*new.numbers, *new.texts, new.label.column)
    added = [name for name in wanted if name not in {*known, *new.revises.columns}]
    if added:
        raise InputError(
            f"the columns {added} are new: name under [revises.columns] which old ones held them, or [] if none did"
        )
    strange = sorted({name for names in new.revises.columns.values() for name in names} - known)
    if strange:
        raise InputError(f"[revises.columns] names the columns {strange}, which revision {old.revision} does not have")


def check_path(old: Task, new: Task, known: Mapping[int, Task]) -> None:
    """As `check_map`, by way of the revisions between that are `known` by number: each is held against the one it revises."""
    at = new
    while at.revises and at.revises.revision > old.revision and at.revises.revision in known:
        earlier = known[at.revises.revision]
        check_map(earlier, at)
        at = earlier
    check_map(old, at)


def carried(old: Task, weights: Array, new: Task) -> Array | None:
    """Weights for `new`, shape `(size,)`; None where the networks between input and head differ, so nothing can be kept."""
    shape = (new.architecture.kind, new.architecture.hidden, new.architecture.image)
    if shape != (old.architecture.kind, old.architecture.hidden, old.architecture.image):
        return None
    before, after = list(split(weights, old)), [part.copy() for part in split(initial_weights(new), new)]
    if not new.architecture.image:
        before[0] = _inputs(old, before[0], new)
    for index, part in enumerate(before[:-2]):
        after[index] = part.copy()
    after[-2], after[-1] = _head(old, before[-2], before[-1], new)
    return np.concatenate([part.ravel() for part in after]).astype(np.float32)


def _inputs(old: Task, weight: Array, new: Task) -> Array:
    """The first layer's weights over the new inputs, shape `(out, inputs)`: zeros for what the old network did not see."""
    places = dict(_places(old))
    columns = [column for feature in new.features for column in _columns(feature, places, weight, new)]
    return np.stack(columns, axis=1)


def _places(task: Task) -> Iterator[tuple[Feature, int]]:
    start = 0
    for feature in task.features:
        yield feature, start
        start += feature.width


def _columns(feature: Feature, places: dict[Feature, int], weight: Array, new: Task) -> list[Array]:
    """A feature's columns of weights: those of the same feature, of one that only its column's name tells apart, or zeros."""
    nothing = np.zeros(len(weight), np.float32)
    for known, start in places.items():
        if not _same_column(known, feature, new):
            continue
        if isinstance(feature, Category) and isinstance(known, Category):
            at = {word: start + index for index, word in enumerate(known.values)}
            return [weight[:, at[word]] if word in at else nothing for word in feature.values]
        if _but_for_its_name(known) == _but_for_its_name(feature):
            return [weight[:, start + index] for index in range(feature.width)]
    return [nothing] * feature.width


def _same_column(known: Feature, feature: Feature, new: Task) -> bool:
    earlier = new.revises.columns.get(feature.name, (feature.name,)) if new.revises else (feature.name,)
    return known.name in earlier


def _but_for_its_name(feature: Feature) -> dict[str, object]:
    return {name: getattr(feature, name) for name in feature.__dataclass_fields__ if name != "name"}


def _head(old: Task, weight: Array, bias: Array, new: Task) -> tuple[Array, Array]:
    """The last layer over the new classes: kept, shared out between the parts of a split, or joined."""
    became = new.revises.classes if new.revises else {}
    parts = {name: became.get(name, (name,)) for name in old.label.classes}
    rows, biases = zip(*(_class(name, parts, old, weight, bias) for name in new.label.classes), strict=True)
    return np.stack(rows), np.array(biases, np.float32)


def _class(name: str, parts: dict[str, tuple[str, ...]], old: Task, weight: Array, bias: Array) -> tuple[Array, float]:
    """One class's weights and bias: `k` parts of a split get `- log k`, so that they add up to what was split.

    Classes that are joined get the mean of their weights, and the sum of their probabilities where the input is zero.
    """
    origins = [index for index, word in enumerate(old.label.classes) if name in parts[word]]
    if not origins:
        return np.zeros(weight.shape[1], np.float32), _log_sum(bias) + math.log(RARE)
    shares = [bias[index] - math.log(len(parts[old.label.classes[index]])) for index in origins]
    return weight[origins].mean(axis=0), _log_sum(np.array(shares))


def _log_sum(logits: NDArray[np.floating]) -> float:
    return float(np.logaddexp.reduce(logits.astype(np.float64)))
