"""Everything that is audited, by name; each in a process of its own, so that two go at a time."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from simulations.audit.canaries import Effort
from simulations.audit.findings import Case

NAMES = ("light", "opacus", "opacus stock", "survey", "distributed", "central", "devices", "accountant")

_LONG = ("opacus stock", "opacus", "distributed")
"""What takes longest goes first, so that no core waits for the other at the end."""

THOROUGH = Effort(canaries=4000, calls=240, surveys=1200)


def cases(name: str, effort: Effort) -> Iterator[Case]:
    """A target as it ships, then each mutant of it."""
    match name:
        case "light" | "opacus" | "opacus stock":
            from simulations.audit import trainers, training

            yield from training.cases(next(one for one in trainers.trainers() if one.name == name), effort)
        case "survey":
            from simulations.audit import survey_mutants

            yield from survey_mutants.cases(effort)
        case "distributed":
            from simulations.audit import sum_mutants

            yield from sum_mutants.cases(effort)
        case "central":
            from simulations.audit import centrals

            yield from centrals.cases(effort)
        case "devices":
            from simulations.audit import devices

            yield from devices.cases()
        case _:
            from simulations.audit import accountant

            yield from accountant.cases()


def audit(names: Sequence[str], effort: Effort, *, jobs: int, tell: Callable[[str, int, float], None]) -> list[Case]:
    """All cases of the named targets, in the order of the names; `tell` hears of each target that is done."""
    found: dict[str, list[Case]] = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        first = sorted(names, key=lambda name: name not in _LONG)
        running = {pool.submit(_alone, name, effort): name for name in first}
        for done in as_completed(running):
            name = running[done]
            found[name], seconds = done.result()
            tell(name, len(found[name]), seconds)
    return [case for name in names for case in found[name]]


def _alone(name: str, effort: Effort) -> tuple[list[Case], float]:
    """One target in this process, on one core."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    import torch

    torch.set_num_threads(1)
    started = time.monotonic()
    return list(cases(name, effort)), time.monotonic() - started
