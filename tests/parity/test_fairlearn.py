"""Where counts are exact, rates and gaps are Fairlearn's."""

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    count,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    false_positive_rate,
    mean_prediction,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import roc_auc_score

from server.fairness import fairness
from server.metrics import Cells

BINS = 20
GROUPS = ("east", "north", "south", "west")


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, score bins and groups of rows that a model serves unevenly."""
    random = np.random.default_rng(seed)
    group = random.choice(len(GROUPS), 8000, p=(0.4, 0.3, 0.2, 0.1))
    chance = 1 / (1 + np.exp(0.4 + 0.4 * group - (1 + 0.5 * group) * random.normal(size=len(group))))
    label = (random.random(len(group)) < chance).astype(int)
    shown = np.clip(chance + random.normal(0, 0.05 * group, len(group)), 0, 0.999)
    return label, (shown * BINS).astype(int), group


def cells_of(label: np.ndarray, bins: np.ndarray, group: np.ndarray) -> Cells:
    counts = np.zeros((len(GROUPS), 2, BINS))
    np.add.at(counts, (group, label, bins), 1)
    edges = tuple(edge / BINS for edge in range(BINS + 1))
    return Cells(groups=GROUPS, counts=counts, noise=np.zeros_like(counts), edges=edges)


@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize("seed", [1, 2])
def test_exact_counts_give_what_fairlearn_gives(seed: int, threshold: float) -> None:
    label, bins, group = drawn(seed)
    alert = (bins >= round(threshold * BINS)).astype(int)
    found = fairness(cells_of(label, bins, group), threshold)
    assert found.threshold == threshold
    gaps = (found.parity_difference, found.parity_ratio, found.odds_difference)
    for gap, theirs in zip(
        gaps, (demographic_parity_difference, demographic_parity_ratio, equalized_odds_difference), strict=True
    ):
        assert gap.untold == ()
        assert gap.estimate.value == pytest.approx(theirs(label, alert, sensitive_features=group), abs=1e-12)
        assert gap.estimate.low <= gap.estimate.value <= gap.estimate.high
    metrics = {
        "rows": count, "alert_rate": selection_rate, "recall": true_positive_rate, "false_alarms": false_positive_rate,
    }  # fmt: skip
    by_group = MetricFrame(metrics=metrics, y_true=label, y_pred=alert, sensitive_features=group).by_group
    base = MetricFrame(metrics=mean_prediction, y_true=label, y_pred=label, sensitive_features=group).by_group
    auc = MetricFrame(metrics=roc_auc_score, y_true=label, y_pred=bins, sensitive_features=group)
    for place, one in enumerate(found.groups):
        for name in metrics:
            assert getattr(one, name).value == pytest.approx(by_group.loc[place, name], abs=1e-12)
        assert one.base_rate.value == pytest.approx(base.loc[place], abs=1e-12)
        assert one.auc.value == pytest.approx(auc.by_group.loc[place], abs=1e-12)
    worst = auc.overall - auc.group_min()
    assert found.auc_gap.estimate.value == pytest.approx(worst, abs=1e-12)
    assert found.auc_gap.worst == GROUPS[int(np.argmin(auc.by_group))]


def test_a_group_of_a_few_rows_is_named_and_not_measured() -> None:
    label, bins, group = drawn(1)
    few = np.flatnonzero(group == 3)[12:]
    kept = np.setdiff1d(np.arange(len(group)), few)
    found = fairness(cells_of(label[kept], bins[kept], group[kept]), 0.5)
    assert str(found.groups[3].recall) == "cannot tell"
    assert found.odds_difference.untold == ("west",)
    alert = (bins >= 10).astype(int)
    others = kept[group[kept] != 3]
    theirs = equalized_odds_difference(label[others], alert[others], sensitive_features=group[others])
    assert found.odds_difference.estimate.value == pytest.approx(theirs, abs=1e-12)


def test_groups_that_cannot_be_told_have_no_gap() -> None:
    label, bins, group = drawn(1)
    found = fairness(cells_of(label[:20], bins[:20], group[:20]), 0.5)
    for gap in (found.parity_difference, found.parity_ratio, found.odds_difference, found.auc_gap):
        assert (str(gap.estimate), gap.worst, gap.untold) == ("cannot tell", "", GROUPS)
