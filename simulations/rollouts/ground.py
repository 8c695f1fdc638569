"""What the table plays on: the task, its rows, and the weights that learned them."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.architecture import size, split
from shared.features import encode_columns
from shared.lifecycle import RolloutTerms
from shared.tasks import DriftSettings, Task
from simulations import machines

PERIOD_HOURS = 24.0
ROWS = 1200
"""Predictions with an outcome, a device and reporting period."""

NOISE = 8.0
TASK: Task = replace(
    machines.TASK,
    groups=("site",),
    drift=DriftSettings(
        score_bins=10, feature_bins=5, score_noise_multiplier=NOISE, feature_noise_multiplier=NOISE, alarm_psi=0.2,
        outcome_noise_multiplier=NOISE,
    ),
    rollout=RolloutTerms(stages=(10.0, 50.0, 100.0), period_hours=PERIOD_HOURS, charged=True),
)  # fmt: skip
SITES = ("north", "south")
UNLIKE = 0.15
"""How far devices' mean loads lie apart, as a standard deviation: no two machines are alike."""

Columns = dict[str, NDArray[Any]]
Weights = NDArray[np.float32]


def draw(
    random: np.random.Generator, rows: int, *, own: float | NDArray[np.float64] = 0.0
) -> tuple[Columns, NDArray[np.int64]]:
    """Raw columns of `rows`, and which of them stopped; `own` is how much more their device is loaded than others."""
    load = np.clip(random.beta(2, 2, rows) + own, 0, 1).astype(np.float32)
    hour = random.uniform(0, 24, rows).astype(np.float32)
    site = np.array(SITES, dtype=object)[random.integers(0, 2, rows)]
    logit = 7 * (load - 0.5) + 0.8 * np.sin(hour / 24 * 2 * np.pi)
    stops = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    return {"load": load, "hour": hour, "site": site}, stops


def own_load(random: np.random.Generator) -> float:
    """How much more one device is loaded than the others."""
    return float(random.normal(0, UNLIKE))


def learn(seed: int, *, rows: int = 4000, steps: int = 400) -> Weights:
    """Flat weights, shape `(size,)`, of a logistic regression on made-up rows: a model that is right."""
    columns, stops = draw(np.random.default_rng(seed), rows)
    inputs = encode_columns(TASK.features, columns).astype(np.float64)
    weights, bias = np.zeros(inputs.shape[1]), 0.0
    for _ in range(steps):
        error = 1 / (1 + np.exp(-(inputs @ weights + bias))) - stops
        weights -= 2.0 * (inputs.T @ error / rows + 1e-3 * weights)
        bias -= 2.0 * error.mean()
    return put(weights, bias)


def put(weights: NDArray[np.float64], bias: float) -> Weights:
    """One class's weights and bias as the network's flat parameters; the other class has none."""
    flat = np.zeros(size(TASK), np.float32)
    matrix, biases = split(flat, TASK)
    matrix[1], biases[1] = weights, bias
    return flat


def scores_of(weights: Weights, columns: Columns) -> NDArray[np.float64]:
    """Each row's score of the last class, shape `(rows,)`."""
    matrix, biases = split(weights, TASK)
    logits = encode_columns(TASK.features, columns) @ matrix.T + biases
    return 1 / (1 + np.exp(-(logits[:, 1] - logits[:, 0]).astype(np.float64)))
