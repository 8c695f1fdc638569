"""The yardstick itself: AUC as others compute it, and a central model that learns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import machine_rows, small_task
from scipy.stats import mannwhitneyu

from client.inputs import Examples
from shared.features import encode_columns
from simulations.demo.central import auc, best_central, pool


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_auc_is_the_mann_whitney_statistic(rows: list[tuple[int, bool]]) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    positives = int(labels.sum())
    if 0 < positives < len(rows):
        statistic = mannwhitneyu(scores[labels], scores[~labels]).statistic
        expected = statistic / (positives * (len(rows) - positives))
        assert auc(scores.astype(np.float32), labels.astype(np.int64)) == pytest.approx(expected)


def examples(rows: int, *, seed: int) -> Examples:
    frame, task = machine_rows(rows, seed=seed), small_task()
    columns = {name: frame[name].to_numpy() for name in (*task.numbers, *task.texts)}
    return Examples(inputs=encode_columns(task.features, columns), labels=frame["stops"].to_numpy().astype(np.int64))


def test_central_learns_from_pooled_rows() -> None:
    train = pool([examples(1500, seed=seed) for seed in (1, 2)])
    assert len(train.labels) == 3000
    assert best_central(small_task(), train, examples(800, seed=3)).auc > 0.95
