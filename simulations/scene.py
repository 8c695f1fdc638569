"""Where a rehearsal plays: whose rows teach, and which rows tell what was learned."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError
from shared.tasks import Task, Window
from simulations.fleet.behaviour import Behaviour
from simulations.fleet.conditions import Conditions
from simulations.fleet.population import Names, Packed, Rows, Source, pack
from simulations.fleet.traces_rows import Altered


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A fleet's devices by name, how many rows each learns from, and the rows that it is tested on, if there are any.

    `about` says in words whose rows they are; `tested_on` which of `test`'s rows count, and `apart` that these belong to
    other devices than the fleet's. `classes` is how many labels tell apart.
    """

    source: Source
    names: Sequence[str]
    rows: NDArray[np.int64]
    about: str
    classes: int
    test: Packed | None = None
    tested_on: Window = field(default_factory=Window)
    apart: bool = False

    def source_of(self, behaviour: Behaviour, seed: int) -> Source:
        """The rows as devices that behave so have them: some labels are late, and some rows have drifted."""
        if not (behaviour.drifts or behaviour.label_delay_hours or behaviour.labels_never):
            return self.source
        if self.test is None or not isinstance(self.source, partial):
            raise InputError(
                "labels that come late and drift take rows that are dated; these are made as they are asked for"
            )
        return partial(_altered, self.source, behaviour, len(self.names), seed, self.classes)


def packed(folder: Path, task: Task, rows: Rows | None, *, about: str, learn: Window, test: Window | None) -> Scene:
    """A scene from packed rows in `folder`; `rows` are packed there first, if given."""
    if rows is not None:
        pack(folder, rows)
    population = Packed(folder)
    spans = [population.rows(device, learn) for device in range(len(population))]
    return Scene(
        source=partial(Packed, folder), about=about, classes=len(task.label.classes),
        names=Names(population),
        rows=np.array([span.stop - span.start for span in spans], np.int64),
        test=population if test else None, tested_on=test or Window(),
    )  # fmt: skip


def _altered(source: Source, behaviour: Behaviour, devices: int, seed: int, classes: int) -> Altered:
    rows = source()
    if not isinstance(rows, Packed):
        raise InputError("labels that come late and drift take rows that are dated; synthetic ones are not")
    return Altered(rows, Conditions(behaviour, devices, seed=seed), classes=classes)
