"""How evenly a version serves groups, read off noisy cells: each group's rates, and the gaps between groups.

A row is alerted on where its score of the last class lies at or above a threshold between two bins. Rates are those of
Fairlearn's `MetricFrame`, gaps those of its `demographic_parity_difference`, `demographic_parity_ratio` and
`equalized_odds_difference`, and equal them where counts are exact.

A rate's bounds are Fieller's for the share of two noisy sums (Fieller, 1954, "Some Problems in Interval Estimation"),
with a Poisson count's variance added to the noise's. A gap is the largest of all differences between two groups. The
largest true one belongs to one pair, so its upper bound is the largest of all pairs' upper bounds; a lower bound must
hold for all pairs at once, so each pair's is taken at a confidence that their number divides (Bonferroni). Groups whose
own bar tells nothing are left out of a gap, and named: the gap of the others decides nothing in their place, unless they
surely hold less than `NEGLIGIBLE` of the rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import NormalDist

import numpy as np

from server.estimates import CONFIDENCE, Estimate, bounded, difference, unknown
from server.metrics import FEWEST_DEVIATIONS, Cells, Floats, auc

NEGLIGIBLE = 0.02
"""A group of surely less than this share of all rows need not be told, such as one for words that nobody uses."""

Rate = Callable[[float], Sequence[Estimate]]
"""From a confidence to one figure a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRates:
    """One group: its rows, how many are of the last class, how many are alerted on, rightly and wrongly, and its AUC."""

    group: str
    rows: Estimate
    base_rate: Estimate
    alert_rate: Estimate
    recall: Estimate
    false_alarms: Estimate
    auc: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How far groups lie apart, which of them has the lowest figure, and which of them are too small to tell.

    `missing` are those of `untold` that may hold more than a negligible share of the rows: with any, no gap is passed.
    """

    estimate: Estimate
    worst: str
    untold: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """Everything about groups at one threshold of the score."""

    threshold: float
    groups: tuple[GroupRates, ...]
    parity_difference: Gap
    parity_ratio: Gap
    odds_difference: Gap
    auc_gap: Gap


def fairness(cells: Cells, threshold: float, confidence: float = CONFIDENCE) -> Fairness:
    """All rates and gaps where rows are alerted on from `threshold` on, or the nearest edge between bins."""
    base, alerts, recalls, wrong = (
        by(confidence)
        for by in (_base_rates(cells), *(of(cells, threshold) for of in (_alert_rates, _recalls, _wrong)))
    )
    groups = tuple(
        GroupRates(
            group=group, rows=_rows(cells.of(place), confidence), base_rate=base[place], alert_rate=alerts[place],
            recall=recalls[place], false_alarms=wrong[place], auc=auc(cells.of(place), confidence),
        )
        for place, group in enumerate(cells.groups)
    )  # fmt: skip
    return Fairness(
        threshold=cells.edges[_first_bin(cells, threshold)],
        groups=groups,
        parity_difference=parity_difference(cells, threshold, confidence),
        parity_ratio=parity_ratio(cells, threshold, confidence),
        odds_difference=odds_difference(cells, threshold, confidence),
        auc_gap=auc_gap(cells, confidence),
    )


def parity_difference(cells: Cells, threshold: float, confidence: float = CONFIDENCE) -> Gap:
    """The largest difference of groups' alert rates; the worst is the group with the fewest alerts."""
    return _widest(cells, _alert_rates(cells, threshold), confidence)


def parity_ratio(cells: Cells, threshold: float, confidence: float = CONFIDENCE) -> Gap:
    """The smallest ratio of groups' alert rates."""
    of = _alert_rates(cells, threshold)
    told, untold, missing = _told(cells, of(confidence), confidence)
    if len(told) < 2:
        return Gap(estimate=unknown(), worst="", untold=untold, missing=missing)
    rates, miss = of(confidence), 1 - confidence
    # Of the two groups that the true ratio is of, each bound may fail half as often as the ratio's may.
    either, all_ = of(1 - miss / 2), of(1 - miss / len(told))
    values = [rates[place].value for place in told]
    low = _ratio(min(either[place].low for place in told), max(either[place].high for place in told))
    high = _ratio(min(all_[place].high for place in told), max(all_[place].low for place in told))
    worst = cells.groups[told[int(np.argmin(values))]]
    estimate = bounded(_ratio(min(values), max(values)), low, high)
    return Gap(estimate=estimate, worst=worst, untold=untold, missing=missing)


def odds_difference(cells: Cells, threshold: float, confidence: float = CONFIDENCE) -> Gap:
    """The larger of the largest difference of recalls and that of false alarms."""
    gaps = [_widest(cells, of(cells, threshold), confidence, of=2) for of in (_recalls, _wrong)]
    widest = max(gaps, key=lambda gap: gap.estimate.value)
    low, high = (max(getattr(gap.estimate, end) for gap in gaps) for end in ("low", "high"))
    untold, missing = (
        tuple(group for group in cells.groups if any(group in each for each in left_out))
        for left_out in ([gap.untold for gap in gaps], [gap.missing for gap in gaps])
    )
    estimate = bounded(widest.estimate.value, low, high)
    return Gap(estimate=estimate, worst=widest.worst, untold=untold, missing=missing)


def auc_gap(cells: Cells, confidence: float = CONFIDENCE) -> Gap:
    """The AUC of all rows less that of the worst group.

    Both share the group's rows, which moves them alike; bounds as if they did not are wider.
    """
    told, untold, missing = _told(cells, _aucs(cells, range(len(cells.groups)), confidence), confidence)
    alone = len(told) < 2 and bool(missing)
    if not told or alone or not auc(cells.whole, confidence).tells:
        return Gap(estimate=unknown(), worst="", untold=untold, missing=missing)
    less, surer = (_below_all(cells, told, each) for each in (confidence, 1 - (1 - confidence) / len(told)))
    values = [each.value for each in less]
    low, high = max(each.low for each in surer), max(each.high for each in less)
    worst = cells.groups[told[int(np.argmax(values))]]
    return Gap(estimate=bounded(max(values), low, high, least=-1.0), worst=worst, untold=untold, missing=missing)


def _below_all(cells: Cells, places: Sequence[int], confidence: float) -> list[Estimate]:
    all_ = auc(cells.whole, confidence)
    return [difference(all_, each) for each in _aucs(cells, places, confidence)]


def _aucs(cells: Cells, places: Sequence[int], confidence: float) -> list[Estimate]:
    return [auc(cells.of(place), confidence) for place in places]


def negligible(cells: Cells, place: int, confidence: float = CONFIDENCE) -> bool:
    """Whether a group surely holds less than `NEGLIGIBLE` of the rows: its upper bound, of the lower one of all."""
    return _rows(cells.of(place), confidence).high < NEGLIGIBLE * _rows(cells, confidence).low


def _widest(cells: Cells, rate: Rate, confidence: float, *, of: int = 1) -> Gap:
    """The largest difference between two groups; `of` so many such that the largest will be taken of."""
    told, untold, missing = _told(cells, rate(confidence), confidence)
    if len(told) < 2:
        nothing = bounded(0.0, 0.0, 0.0) if told and untold and not missing else unknown()
        return Gap(estimate=nothing, worst="", untold=untold, missing=missing)
    pairs = list(permutations(told, 2))
    rates, surer = rate(confidence), rate(1 - (1 - confidence) / (of * len(pairs)))
    high = max(difference(rates[one], rates[other]).high for one, other in pairs)
    low = max(difference(surer[one], surer[other]).low for one, other in pairs)
    values = [rates[place].value for place in told]
    found = bounded(max(values) - min(values), low, high)
    worst = cells.groups[told[int(np.argmin(values))]]
    return Gap(estimate=found, worst=worst, untold=untold, missing=missing)


def _told(
    cells: Cells, found: Sequence[Estimate], confidence: float
) -> tuple[list[int], tuple[str, ...], tuple[str, ...]]:
    """The places of groups whose bar tells something, the names of the others, and of those not surely negligible."""
    told = [place for place, each in enumerate(found) if each.tells]
    untold = [place for place in range(len(cells.groups)) if place not in told]
    missing = [place for place in untold if not negligible(cells, place, confidence)]
    return told, tuple(cells.groups[place] for place in untold), tuple(cells.groups[place] for place in missing)


def _base_rates(cells: Cells) -> Rate:
    return _rates(cells, lambda each: (each[:, 1].sum(axis=-1), each[:, 0].sum(axis=-1)))


def _alert_rates(cells: Cells, threshold: float) -> Rate:
    first = _first_bin(cells, threshold)
    return _rates(cells, lambda each: (each[..., first:].sum(axis=(1, 2)), each[..., :first].sum(axis=(1, 2))))


def _recalls(cells: Cells, threshold: float) -> Rate:
    first = _first_bin(cells, threshold)
    return _rates(cells, lambda each: (each[:, 1, first:].sum(axis=-1), each[:, 1, :first].sum(axis=-1)))


def _wrong(cells: Cells, threshold: float) -> Rate:
    first = _first_bin(cells, threshold)
    return _rates(cells, lambda each: (each[:, 0, first:].sum(axis=-1), each[:, 0, :first].sum(axis=-1)))


def _rates(cells: Cells, parted: Callable[[Floats], tuple[Floats, Floats]]) -> Rate:
    """The share of one sum of cells in itself and another, group by group."""
    counts, variances = parted(cells.counts), parted(cells.variance)
    numbers = list(zip(*(each.tolist() for each in (*counts, *variances)), strict=True))
    return lambda confidence: [_share(*each, confidence=confidence) for each in numbers]


def _share(part: float, rest: float, part_variance: float, rest_variance: float, *, confidence: float) -> Estimate:
    """`part` in both, by Fieller's bounds: all shares r for which (1 - r) part - r rest lies within its own noise."""
    reach, all_, variance = NormalDist().inv_cdf((1 + confidence) / 2), part + rest, part_variance + rest_variance
    if all_ <= max(FEWEST_DEVIATIONS, 1.01 * reach) * variance**0.5:
        return unknown()
    square = all_**2 - reach**2 * variance
    middle = (part * all_ - reach**2 * part_variance) / square
    away = max(0.0, middle**2 - (part**2 - reach**2 * part_variance) / square) ** 0.5
    return bounded(part / all_, middle - away, middle + away)


def _rows(cells: Cells, confidence: float) -> Estimate:
    found, spread = float(cells.counts.sum()), float(cells.noise.sum()) ** 0.5
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * spread
    return bounded(found, found - reach, found + reach, most=float("inf"))


def _first_bin(cells: Cells, threshold: float) -> int:
    return int(np.argmin(np.abs(np.array(cells.edges) - threshold)))


def _ratio(small: float, large: float) -> float:
    """Of nothing and nothing, one: no group is served less than another."""
    return min(1.0, small / large) if large > 0 else 1.0
