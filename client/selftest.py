"""Tries a model on this device before it may serve: on made-up records, never on the owner's."""

import resource
import statistics
import sys
import time
from typing import Any

import numpy as np

from client.installed import Installed, SelfTest, file_of
from shared.errors import ReleaseError, TooSlow, WrongAnswers
from shared.feeds import Feeds, to_feeds
from shared.hostile import check_model_file
from shared.models import Release
from shared.reference import reference_feeds, require_agreement
from shared.runtime import Scores, ask, open_model, quantiles_us
from shared.synthetic import make_columns
from shared.tasks import Task

RECORDS = 256
CALLS = 50
SHARES = (0.5, 0.95)
"""Of the times of so many calls, what decides and what is told: the median and the 95th percentile."""
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
    fp32_us, p95_us = quantiles_us(session, feeds, SHARES, calls=CALLS)
    _require_speed(task, fp32_us, p95_us=p95_us)
    _require_memory(task, _peak_mb() - before)
    return SelfTest(precision="fp32", fp32_us=fp32_us, int8_us=0.0)


def try_again(installed: Installed) -> float:
    """Ask what answers here anew, on made-up records; what 95 % of them take at most, in microseconds.

    Raise `ReleaseError` as `try_release` does. The reference was made by the signed file and is answered by it; what was
    tuned of that file may differ as far as tuning allowed.
    """
    task, release = installed.task, installed.release
    session = open_model(installed.model, optimized=installed.optimized, provider=installed.tried.provider)
    feeds = trial_feeds(task)
    probabilities(task, ask(session, feeds))
    if release.reference is not None:
        signed = open_model(file_of(installed.model_file.parent, "fp32").read_bytes())
        require_agreement(release.reference, ask(signed, reference_feeds(task, release.reference.seed)))
    found_us, p95_us = quantiles_us(session, feeds, SHARES, calls=CALLS)
    _require_speed(task, found_us, p95_us=p95_us)
    return p95_us


def trial_feeds(task: Task) -> Feeds:
    """A batch of made-up records: tame, missing and wild values."""
    return to_feeds(task, make_columns(task, RECORDS, seed=task.revision, wild=True))


def probabilities(task: Task, scores: Scores) -> Scores:
    """The scores, or `WrongAnswers` unless they are a probability for each class and record."""
    if scores.shape != (RECORDS, len(task.label.classes)):
        raise WrongAnswers(f"the model answers with shape {scores.shape}, not one score for each class")
    if not (np.isfinite(scores).all() and np.allclose(scores.sum(axis=1), 1, atol=ROUNDING)):
        raise WrongAnswers("the model's scores are not probabilities: some are not finite or do not sum to 1")
    return scores


def batch_us(session: Any, feeds: Feeds, *, calls: int = CALLS) -> float:
    """The median time of all of `feeds` at once, in microseconds."""
    times: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        ask(session, feeds)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def _require_speed(task: Task, found_us: float, *, p95_us: float) -> None:
    """The median is what counts, here as in the gate; one pause in a try of so few records must not refuse a release."""
    if found_us > task.gates.max_latency_us:
        text = f"a record takes {found_us:.0f} us here, expected at most {task.gates.max_latency_us:g} us"
        raise TooSlow(text, p95_us=p95_us)


def _require_memory(task: Task, found_mb: float) -> None:
    limit = task.gates.max_memory_mb or MEMORY_MB
    if found_mb > limit:
        raise ReleaseError(f"the model takes {found_mb:.0f} MiB of memory here, expected at most {limit} MiB")


def _peak_mb() -> float:
    """The most memory that this process ever held; it tells of a model in the child that a look runs in."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_A_UNIT / 1024
