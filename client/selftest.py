"""Tries a release on this device before it may serve: on made-up records, never on the owner's."""

import numpy as np

from client.installed import SelfTest
from shared.errors import ReleaseError
from shared.feeds import to_feeds
from shared.hostile import check_model_file
from shared.runtime import Scores, ask, median_us, open_model
from shared.synthetic import make_columns
from shared.tasks import Task

RECORDS = 256
CALLS = 200
ROUNDING = 1e-4


def try_release(task: Task, *, fp32: bytes, int8: bytes) -> SelfTest:
    """Open both files, ask them, and time them; raise `ReleaseError` with the figure that does not hold."""
    check_model_file(fp32, what="fp32.onnx")
    check_model_file(int8, what="int8.onnx")
    feeds = to_feeds(task, make_columns(task, RECORDS, seed=task.revision, wild=True))
    sessions = open_model(fp32), open_model(int8)
    exact, small = (_probabilities(task, ask(session, feeds)) for session in sessions)
    _require_agreement(task, exact, small)
    fp32_us, int8_us = (median_us(session, feeds, calls=CALLS) for session in sessions)
    _require_speed(task, min(fp32_us, int8_us))
    return SelfTest(precision="fp32" if fp32_us <= int8_us else "int8", fp32_us=fp32_us, int8_us=int8_us)


def _probabilities(task: Task, scores: Scores) -> Scores:
    if scores.shape != (RECORDS, len(task.label.classes)):
        raise ReleaseError(f"the model answers with shape {scores.shape}, not one score for each class")
    if not (np.isfinite(scores).all() and np.allclose(scores.sum(axis=1), 1, atol=ROUNDING)):
        raise ReleaseError("the model's scores are not probabilities: some are not finite or do not sum to 1")
    return scores


def _require_agreement(task: Task, exact: Scores, small: Scores) -> None:
    loss = float(np.abs(exact - small).max())
    if loss > task.gates.max_int8_loss:
        raise ReleaseError(f"int8 differs from fp32 by {loss:.3f}, expected at most {task.gates.max_int8_loss:g}")


def _require_speed(task: Task, found_us: float) -> None:
    if found_us > task.gates.max_latency_us:
        raise ReleaseError(f"a record takes {found_us:.0f} us here, expected at most {task.gates.max_latency_us:g} us")
