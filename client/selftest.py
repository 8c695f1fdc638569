"""Tries a model on this device before it may serve: on made-up records, never on the owner's."""

import resource
import statistics
import sys
import time
from typing import Any

import numpy as np

from client.installed import SelfTest
from shared.errors import ReleaseError
from shared.feeds import Feeds, to_feeds
from shared.hostile import check_model_file
from shared.models import Release
from shared.reference import reference_feeds, require_agreement
from shared.runtime import Scores, ask, median_us, open_model
from shared.synthetic import make_columns
from shared.tasks import Task

RECORDS = 256
CALLS = 50
ROUNDING = 1e-4
MEMORY_MB = 512
_KIB_A_UNIT = 1024 if sys.platform == "darwin" else 1
"""The peak is counted in bytes on macOS, in KiB elsewhere."""


def try_release(task: Task, release: Release, fp32: bytes) -> SelfTest:
    """Open the file, ask it and time it; raise `ReleaseError` with the figure that does not hold."""
    check_model_file(fp32, what="fp32.onnx")
    before = _peak_mb()
    session, feeds = open_model(fp32), trial_feeds(task)
    probabilities(task, ask(session, feeds))
    if release.reference is not None:
        require_agreement(release.reference, ask(session, reference_feeds(task, release.reference.seed)))
    fp32_us = median_us(session, feeds, calls=CALLS)
    _require_speed(task, fp32_us)
    _require_memory(task, _peak_mb() - before)
    return SelfTest(precision="fp32", fp32_us=fp32_us, int8_us=0.0)


def trial_feeds(task: Task) -> Feeds:
    """A batch of made-up records: tame, missing and wild values."""
    return to_feeds(task, make_columns(task, RECORDS, seed=task.revision, wild=True))


def probabilities(task: Task, scores: Scores) -> Scores:
    """The scores, or `ReleaseError` unless they are a probability for each class and record."""
    if scores.shape != (RECORDS, len(task.label.classes)):
        raise ReleaseError(f"the model answers with shape {scores.shape}, not one score for each class")
    if not (np.isfinite(scores).all() and np.allclose(scores.sum(axis=1), 1, atol=ROUNDING)):
        raise ReleaseError("the model's scores are not probabilities: some are not finite or do not sum to 1")
    return scores


def batch_us(session: Any, feeds: Feeds, *, calls: int = CALLS) -> float:
    """The median time of all of `feeds` at once, in microseconds."""
    times: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        ask(session, feeds)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def _require_speed(task: Task, found_us: float) -> None:
    if found_us > task.gates.max_latency_us:
        raise ReleaseError(f"a record takes {found_us:.0f} us here, expected at most {task.gates.max_latency_us:g} us")


def _require_memory(task: Task, found_mb: float) -> None:
    limit = task.gates.max_memory_mb or MEMORY_MB
    if found_mb > limit:
        raise ReleaseError(f"the model takes {found_mb:.0f} MiB of memory here, expected at most {limit} MiB")


def _peak_mb() -> float:
    """The most memory that this process ever held; it tells of a model in the child that a look runs in."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_A_UNIT / 1024
