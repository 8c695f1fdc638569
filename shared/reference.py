"""A release's reference answers: made where it was signed, repeated on every device before it may serve."""

from typing import Any

import numpy as np

from shared.errors import WrongAnswers
from shared.feeds import Feeds, to_feeds
from shared.models import Reference
from shared.runtime import Scores, ask
from shared.synthetic import make_columns
from shared.tasks import Task

RECORDS = 16
_MILLION = 1_000_000


def make_reference(task: Task, session: Any, *, seed: int) -> Reference:
    """What the model in `session` answers to the records of `seed`."""
    scores = ask(session, reference_feeds(task, seed))
    return Reference(seed=seed, scores=tuple(np.rint(scores * _MILLION).astype(int).ravel().tolist()))


def reference_feeds(task: Task, seed: int) -> Feeds:
    """The made-up records of a seed: within the declared bounds, some values missing; the same on every machine."""
    return to_feeds(task, make_columns(task, RECORDS, seed=seed))


def require_agreement(reference: Reference, scores: Scores) -> None:
    """Raise `WrongAnswers` unless this device's scores, shape `(RECORDS, classes)`, are the reference's."""
    expected = np.array(reference.scores, dtype=np.float64)
    if scores.size != expected.size:
        raise WrongAnswers(f"the release names {expected.size} reference scores, and the model gives {scores.size}")
    found = float(np.abs(scores.ravel() * _MILLION - expected).max())
    if not found <= reference.tolerance:
        raise WrongAnswers(
            f"reference records are answered {found / _MILLION:.6f} away from what was signed, expected at most"
            f" {reference.tolerance / _MILLION:.6f}: this device computes otherwise"
        )
