"""Devices as they run, with randomness from the operating system: no two releases of any two share their noise."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.config import AgentHome, TaskHome
from client.work import InProcess, count_nothing, without_rows
from shared import noise
from shared.architecture import initial_weights
from shared.privacy import PrivacyBudget
from shared.tasks import Architecture, Task
from simulations.audit.canaries import DELTA, plan_of, task_of
from simulations.audit.findings import Case, Finding, unrelated
from simulations.audit.surveys import BINS, scales, survey_plan, survey_task
from simulations.cohort import found_agent

HIDDEN, ROWS, ROUNDS = 500, 4, 2


class _OneSeed:
    """A machine image copied with its seed, or a `random_state=0` that was never taken out."""

    def token_bytes(self, count: int) -> bytes:
        """The same bytes each time."""
        return bytes(count)


def cases() -> Iterator[Case]:
    """Two devices, then two that share a seed."""
    yield Case(target="devices", findings=tuple(_checks()))
    with patch.object(noise, "secrets", _OneSeed()):
        yield Case(target="devices", mutant="noise seed shared by two devices", findings=tuple(_checks()))


def _checks() -> Iterator[Finding]:
    task = task_of(Architecture(kind="mlp", hidden=(HIDDEN,)), 2)
    plan = plan_of(task, noise_multiplier=4.0, steps=4)
    with tempfile.TemporaryDirectory(prefix="covey-audit-") as folder:
        places = [_found(Path(folder), task, name) for name in ("ada", "ben")]
        updates = [
            InProcess().train(replace(plan, number=number), task, place, initial_weights(task), request=f"{number}")
            for place in places
            for number in range(ROUNDS)
        ]
    updates += [without_rows(plan, task) for _ in places]
    yield unrelated("updates", np.stack(updates))
    yield unrelated("surveys", np.stack([_survey() for _ in places]))


def _found(folder: Path, task: Task, name: str) -> TaskHome:
    """An agent whose owner granted it a file of a few rows of zeros, so that noise is all there is to see."""
    data = folder / f"{name}.parquet"
    pl.DataFrame({column: np.zeros(ROWS) for column in (*task.numbers, "y")}).write_parquet(data)
    home = AgentHome(folder / name)
    found_agent(home, task, name=name, data=data, budget=PrivacyBudget(epsilon=1e6, delta=DELTA))
    return home.task(task.name)


def _survey() -> NDArray[np.float64]:
    plan, task = survey_plan(score_bins=BINS), survey_task()
    counts = np.concatenate([histogram.counts for histogram in count_nothing(plan, task).histograms])
    return counts / scales(task, plan)
