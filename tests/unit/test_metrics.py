"""Figures off cells: exact where counts are, unmoved by what noise does to empty cells, and bars that say their width."""

import math

import numpy as np
import pytest
from machines import small_task
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from server import metrics
from server.estimates import Estimate, bounded, decide, difference, unknown
from server.metrics import Cells
from shared.drift import Histogram
from shared.errors import InputError
from shared.lifecycle import Evaluation
from shared.tasks import Levels

BINS = 20
EDGES = tuple(edge / BINS for edge in range(BINS + 1))
TASK = small_task(evaluation=Evaluation(noise_multiplier=5.0), groups=("site",))


def rows(count: int, *, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and score bins of a calibrated model."""
    random = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(1.2 - random.normal(size=count)))
    return (random.random(count) < chance).astype(np.int64), (chance * BINS).astype(np.int64)


def exact(labels: NDArray[np.int64], bins: NDArray[np.int64]) -> Cells:
    counts = np.stack([np.bincount(bins[labels == label], minlength=BINS) for label in (0, 1)])[None].astype(float)
    return Cells(groups=("",), counts=counts, noise=np.zeros_like(counts), edges=EDGES)


def test_exact_counts_give_what_scikit_learn_gives() -> None:
    labels, bins = rows(3000)
    cells = exact(labels, bins)
    assert metrics.auc(cells).value == pytest.approx(roc_auc_score(labels, bins), abs=1e-12)
    assert metrics.pr_auc(cells).value == pytest.approx(average_precision_score(labels, bins), abs=1e-12)
    middles, off = (bins + 0.5) / BINS, 0.0
    for bin_ in np.unique(bins):
        here = bins == bin_
        off += here.mean() * abs(labels[here].mean() - middles[here][0])
    assert metrics.calibration_error(cells).value == pytest.approx(off, abs=1e-12)


def test_an_alert_rate_at_an_edge_is_that_of_the_rows_above_it() -> None:
    labels, bins = rows(3000)
    above = bins >= 8
    rate = float(above.mean())
    cells = exact(labels, bins)
    assert metrics.threshold_at(cells, rate) == 0.4
    assert metrics.recall(cells, rate).value == pytest.approx(labels[above].sum() / labels.sum(), abs=1e-9)
    assert metrics.precision(cells, rate).value == pytest.approx(labels[above].mean(), abs=1e-9)


def test_between_edges_part_of_a_bin_is_alerted_on() -> None:
    cells = exact(np.array([0, 0, 1, 1] * 100), np.array([3, 4, 4, 5] * 100))
    # A quarter scores highest, all of it right; the next half holds as many right as wrong.
    assert metrics.recall(cells, 0.5).value == pytest.approx(0.75)
    assert metrics.precision(cells, 0.5).value == pytest.approx(0.75)


@pytest.mark.parametrize("rate", [0.0, 1.0, math.nan])
def test_no_rate_is_no_threshold(rate: float) -> None:
    with pytest.raises(InputError, match="an alert rate lies between 0 and 1"):
        metrics.threshold_at(exact(*rows(100)), rate)


def test_a_model_that_knows_nothing_and_one_that_knows_all() -> None:
    labels = np.array([0, 1] * 500)
    assert metrics.auc(exact(labels, np.zeros(1000, np.int64))).value == 0.5
    assert metrics.auc(exact(labels, labels * 19)).value == 1.0
    assert metrics.auc(exact(labels, 19 - labels * 19)).value == 0.0


@pytest.mark.parametrize("figure", [metrics.auc, metrics.pr_auc, metrics.calibration_error])
def test_cells_that_are_all_noise_tell_nothing(figure: metrics.Figure) -> None:
    noise = np.random.default_rng(1).normal(0, 50, (1, 2, BINS))
    cells = Cells(groups=("",), counts=noise, noise=np.full_like(noise, 2500.0), edges=EDGES)
    found = figure(cells)  # type: ignore[call-arg]
    assert isinstance(found, Estimate)
    assert (found.low, found.high) == (0.0, 1.0)
    assert str(found) == "cannot tell"


def test_more_noise_widens_the_bar_and_does_not_move_the_figure() -> None:
    cells = exact(*rows(20_000))
    bands: list[float] = []
    for spread in (0.0, 20.0, 60.0):
        noisy = Cells(groups=("",), counts=cells.counts, noise=np.full_like(cells.counts, spread**2), edges=EDGES)
        assert metrics.auc(noisy).value == metrics.auc(cells).value
        bands.append(metrics.auc(noisy).band)
    assert bands == sorted(bands)
    assert bands[2] > 2 * bands[0]


def test_the_same_cells_show_the_same_bars_each_time() -> None:
    cells = exact(*rows(500))
    assert metrics.recall(cells, 0.1) == metrics.recall(cells, 0.1)


def test_cells_are_read_group_by_group_then_by_label_then_by_score() -> None:
    counts = tuple(float(cell) for cell in range(3 * 2 * 4))
    found = metrics.read(Histogram(name="@evaluation", edges=(), counts=counts, noise=2.0), TASK, 4)
    assert found.groups == ("north", "south", "other")
    assert found.counts[1].tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    assert found.noise.min() == found.noise.max() == 4.0
    assert found.edges == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert found.of(1).groups == ("south",)
    assert found.whole.counts.tolist() == [found.counts.sum(axis=0).tolist()]


def test_of_several_classes_the_last_is_held_against_all_others() -> None:
    label = Levels(column="stops", cuts=(0.3, 0.6), classes=("runs", "slows", "stops"))
    counts = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    task = small_task(label=label)
    found = metrics.read(Histogram(name="@evaluation", edges=(), counts=counts, noise=3.0), task, 2)
    assert found.counts.tolist() == [[[4.0, 6.0], [5.0, 6.0]]]
    assert found.noise.tolist() == [[[18.0, 18.0], [9.0, 9.0]]]


def test_cells_of_another_revision_are_refused() -> None:
    with pytest.raises(InputError, match="of another revision"):
        metrics.read(Histogram(name="@evaluation", edges=(), counts=(1.0,) * 8, noise=2.0), TASK, 4)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.71, 0.80, "passed"), (0.60, 0.69, "failed"), (0.65, 0.75, "undecided"), (0.70, 0.75, "passed")],
    ids=["above", "below", "around", "from the bound on"],
)
def test_a_bound_decides_only_where_the_whole_bar_lies_on_one_side(low: float, high: float, verdict: str) -> None:
    estimate = Estimate(value=(low + high) / 2, low=low, high=high)
    assert decide(estimate, at_least=0.70) == verdict
    mirrored = Estimate(value=-estimate.value, low=-high, high=-low)
    assert decide(mirrored, at_most=-0.70) == verdict


def test_nothing_known_decides_nothing() -> None:
    assert decide(unknown(), at_least=0.5) == "undecided"
    assert decide(unknown(), at_most=0.5) == "undecided"
    assert decide(unknown(), at_least=0.0, at_most=1.0) == "passed"


def test_a_difference_is_as_unsure_as_both() -> None:
    one, other = Estimate(value=0.8, low=0.77, high=0.83), Estimate(value=0.7, low=0.66, high=0.74)
    found = difference(one, other)
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.15))


def test_a_figure_reads_as_a_person_would_write_it() -> None:
    assert str(bounded(0.712, 0.68, 0.75)) == "0.71 ± 0.04"
    assert str(Estimate(value=0.5, low=0.3, high=0.6)) == "cannot tell"
    with pytest.raises(ValueError, match="a value lies between its bounds"):
        Estimate(value=0.5, low=0.6, high=0.7)
    assert bounded(1.3, 0.9, 1.5) == Estimate(value=1.0, low=0.9, high=1.0)
