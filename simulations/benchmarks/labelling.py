"""How often the label model is right, beside the majority vote, and how long fitting it takes, in one run.

python -m simulations.benchmarks.labelling

The rows are made up: a rare class, and eight rules of very different worth that mostly abstain. Nothing was tuned on
them: the seed and the rules' worth are drawn once and written here.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.labelmodel import ABSTAINS, Votes, fit, majority, posterior

ROWS = 50_000
PRIOR = 0.35
RIGHT = (0.92, 0.88, 0.85, 0.72, 0.68, 0.62, 0.58, 0.55)
SPEAKS = (0.35, 0.4, 0.3, 0.7, 0.6, 0.75, 0.8, 0.65)
REPEATS = 5
SEED = 7

Row = dict[str, str | float | bool]


def measure() -> list[Row]:
    """Accuracy of both on the same rows, and the median time of a fit and of labelling all rows."""
    truth, votes = make_votes()
    model = fit(votes, 2)
    by_model = _accuracy(posterior(model, votes), truth)
    by_majority = _accuracy(majority(votes, 2), truth)
    fit_ms = _median_ms(lambda: fit(votes, 2))
    label_ms = _median_ms(lambda: posterior(model, votes))
    return [
        {"name": "device.labelling.majority.accuracy", "value": by_majority, "unit": "share"},
        {
            "name": "device.labelling.dawid_skene.accuracy",
            "value": by_model,
            "unit": "share",
            "target": by_majority,
            "meets": by_model > by_majority,
        },
        {"name": "device.labelling.fit_50k_by_8", "value": fit_ms, "unit": "ms"},
        {"name": "device.labelling.label_50k_by_8", "value": label_ms, "unit": "ms"},
    ]


def make_votes() -> tuple[NDArray[np.int64], Votes]:
    """True classes of shape `(rows,)`, and votes of shape `(rows, rules)`."""
    random = np.random.default_rng(SEED)
    truth = (random.random(ROWS) < PRIOR).astype(np.int64)
    right, speaks = (random.random((ROWS, len(RIGHT))) < np.array(chances) for chances in (RIGHT, SPEAKS))
    cast = np.where(right, truth[:, None], 1 - truth[:, None])
    return truth, np.where(speaks, cast, ABSTAINS)


def main() -> None:
    """Print the table, and how much the label model gains."""
    rows = measure()
    for row in rows:
        verdict = f"  target {row['target']:.4g}: {'met' if row['meets'] else 'missed'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<44} {row['value']:>10.4f} {row['unit']}{verdict}\n")
    gain = float(rows[1]["value"]) - float(rows[0]["value"])
    sys.stdout.write(f"the label model is right on {gain:.1%} more of the rows than the majority vote\n")


def _accuracy(chances: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The share of rows whose likeliest class is the true one; where several are, each counts for its part."""
    likeliest = chances >= chances.max(axis=1, keepdims=True) - 1e-12
    return float((likeliest[np.arange(len(truth)), truth] / likeliest.sum(axis=1)).mean())


def _median_ms(act: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
