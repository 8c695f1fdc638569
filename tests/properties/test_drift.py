"""A drift report: what one row can change, how much noise hides it, and how reports merge."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from client import drift as device
from client.config import AgentHome, TaskHome
from client.dataset import count_rules
from server import drift as coordinator
from shared import wire
from shared.contract import KEEPS, Contract, NumberRule, WordRule
from shared.drift import (
    CONTRACT,
    OUTCOMES,
    SCORE,
    Bins,
    DriftReport,
    Histogram,
    SurveyPlan,
    columns_of,
    edges_of,
    rule_counts,
)
from shared.errors import WireError
from shared.tasks import Task, Window

TASK = wire.decode(
    Task,
    {
        "name": "flights",
        "revision": 1,
        "title": "Late arrivals",
        "features": [
            {"kind": "number", "name": "distance", "low": 0.0, "high": 3000.0, "missing": 1000.0},
            {"kind": "category", "name": "carrier", "values": ["AA", "UA", "DL"]},
            {"kind": "cycle", "name": "hour", "period": 24.0},
            {"kind": "bucket", "name": "hour", "edges": [6.0, 12.0]},
            {"kind": "bucket", "name": "seats", "edges": [50.0, 150.0, 300.0]},
            {"kind": "bucket", "name": "engines", "edges": [2.5]},
        ],
        "label": {"kind": "threshold", "column": "delay", "above": 15.0, "classes": ["on time", "late"]},
        "architecture": {"kind": "linear"},
        "training": {
            "rounds": 1, "sample_rate": 0.1, "steps": 1, "normalizer": 1.0, "learning_rate": 1.0, "max_grad_norm": 1.0,
            "noise_multiplier": 1.0, "max_update_norm": 1.0,
        },
        "privacy": {
            "epsilon": 8.0, "delta": 1e-5, "min_noise_multiplier": 1.0, "max_sample_rate": 0.1, "max_steps": 1,
            "max_grad_norm": 1.0,
        },
        "drift": {
            "score_bins": 10, "feature_bins": 10, "score_noise_multiplier": 10.0, "feature_noise_multiplier": 14.0,
            "alarm_psi": 0.2,
        },
    },
)  # fmt: skip
PLAN = SurveyPlan(
    run_id=1, task="flights", revision=1, release=2, window=Window(), role="current", features=True, score_bins=10,
    feature_bins=6, score_noise_multiplier=10.0, feature_noise_multiplier=14.0,
)  # fmt: skip
BINS = edges_of(TASK, PLAN)
RULED = replace(
    TASK,
    groups=("carrier",),
    contract=Contract(
        columns=(
            NumberRule(name="distance", low=0.0, high=3000.0, nulls=False),
            NumberRule(name="hour", low=0.0, high=24.0),
            WordRule(name="carrier", values=("AA", "UA", "DL")),
        ),
        unique=("carrier", "hour"),
    ),
)
FULL = replace(PLAN, contract_noise_multiplier=12.0, outcome_noise_multiplier=8.0)

anything = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=32), st.floats(0, 1, width=32), st.floats(0, 3000, width=32)
)
words = st.one_of(st.sampled_from(["AA", "UA", "DL", "aa", ""]), st.none())
rows = st.tuples(anything, anything, words, anything, anything, anything)


def columns(table: list[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    names = ("distance", "carrier", "hour", "seats", "engines")
    found = {name: [row[i + 1] for row in table] for i, name in enumerate(names)}
    return {name: np.array(column, dtype=object if name == "carrier" else np.float32) for name, column in found.items()}


def count(table: list[tuple[Any, ...]]) -> tuple[NDArray[np.int64], ...]:
    scores = np.array([row[0] for row in table], dtype=np.float32)
    return device.count(PLAN, TASK, columns=columns(table), scores=scores)


# -- counting -------------------------------------------------------------------------------


@settings(max_examples=200)
@given(table=st.lists(rows, max_size=12), extra=rows)
def test_one_row_more_changes_one_count_by_one_in_each_histogram(
    table: list[tuple[Any, ...]], extra: tuple[Any, ...]
) -> None:
    for before, after in zip(count(table), count([*table, extra]), strict=True):
        assert sorted(after - before) == [0] * (len(before) - 1) + [1]


@given(table=st.lists(rows, max_size=12))
def test_the_counts_fill_the_bins_that_the_plan_declares(table: list[tuple[Any, ...]]) -> None:
    found = count(table)
    assert [len(counts) for counts in found] == [bins.size for bins in BINS]
    assert all(counts.sum() == len(table) for counts in found)


def test_each_raw_column_is_counted_once_and_the_score_stands_first() -> None:
    assert [bins.name for bins in BINS] == [SCORE, "distance", "carrier", "hour", "seats", "engines"]
    assert [feature.kind for feature in columns_of(TASK)] == ["number", "category", "cycle", "bucket", "bucket"]
    assert edges_of(TASK, replace(PLAN, features=False)) == BINS[:1]


def test_the_edges_are_the_declared_ones() -> None:
    edges = {bins.name: bins.edges for bins in BINS}
    assert edges[SCORE] == pytest.approx(np.linspace(0, 1, 11))
    assert edges["distance"] == (0.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0)
    assert edges["hour"] == (0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0)
    assert edges["carrier"] == (0.0, 1.0, 2.0, 3.0)
    assert edges["seats"] == (-50.0, 50.0, 150.0, 300.0, 450.0)
    assert edges["engines"] == (1.5, 2.5, 3.5)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (0, 0.0, 0), (0, 0.0999, 0), (0, 0.1001, 1), (0, 1.0, 9), (0, float("nan"), 0),
        (1, -5.0, 0), (1, 0.0, 0), (1, 499.0, 0), (1, 500.0, 1), (1, 3000.0, 5), (1, float("inf"), 5),
        (1, float("nan"), 6),
        (2, "AA", 0), (2, "DL", 2), (2, "aa", 3), (2, None, 3),
        (3, 4.0, 1), (3, 23.9, 5), (3, float("nan"), 6),
        (4, -1e9, 0), (4, 49.0, 0), (4, 50.0, 1), (4, 300.0, 3), (4, 1e9, 3), (4, float("nan"), 4),
        (5, 2.0, 0), (5, 3.0, 1), (5, float("nan"), 2),
    ],
)  # fmt: skip
def test_a_value_falls_in_its_bin(column: int, value: Any, expected: int) -> None:
    row: list[Any] = [0.5, 100.0, "AA", 5.0, 100.0, 2.0]
    row[column] = value
    assert count([tuple(row)])[column].argmax() == expected


# -- noise ----------------------------------------------------------------------------------


def test_the_noise_covers_the_sensitivity_that_is_charged() -> None:
    score, *features = BINS
    assert score.noise == PLAN.score_noise_multiplier
    changed = math.sqrt(len(features))
    assert {bins.noise for bins in features} == {PLAN.feature_noise_multiplier * changed}
    assert [event.noise_multiplier for event in PLAN.events] == [10.0, 14.0]


@pytest.mark.parametrize("scale", [0.7, 10.0, 31.3])
def test_the_noise_is_a_discrete_gaussian_of_the_stated_size(scale: float) -> None:
    draws = np.array(device.add_noise([100] * 20_000, scale=scale)) - 100
    assert (draws == np.round(draws)).all()
    # Five standard errors of a mean and of a standard deviation over 20 000 draws.
    assert abs(draws.mean()) < 5 * scale / math.sqrt(20_000)
    assert abs(draws.std() / scale - 1) < 5 / math.sqrt(2 * 20_000) + 0.005
    assert abs((np.abs(draws) < scale).mean() - 0.683) < 0.02 + 0.5 / scale


def test_large_counts_do_not_overflow() -> None:
    assert device.add_noise([2**40], scale=1.0)[0] == pytest.approx(2**40, abs=50)


def report(rows: int = 500, *, plan: SurveyPlan = PLAN, seed: int = 0) -> DriftReport:
    random = np.random.default_rng(seed)
    table = [(0.0, d, "AA", h, 120.0, 2.0) for d, h in random.uniform((0, 0), (3000, 24), (rows, 2))]
    late = random.beta(2, 5, rows).astype(np.float32)
    return device.report(plan, TASK, columns=columns(table), scores=np.stack([1 - late, late], axis=1))


def test_a_report_carries_noise_even_without_rows() -> None:
    found = report(0)
    assert any(count != 0 for histogram in found.histograms for count in histogram.counts)
    assert [histogram.noise for histogram in found.histograms] == [bins.noise for bins in BINS]
    coordinator.check(found, TASK, PLAN)


def test_every_histogram_of_a_report_gets_its_own_noise() -> None:
    empty = [report(0).histograms for _ in range(300)]
    for histograms in zip(*empty, strict=True):
        counts = np.array([histogram.counts for histogram in histograms])
        assert counts.std() == pytest.approx(histograms[0].noise, rel=0.1)


def test_no_two_reports_of_the_same_rows_are_equal() -> None:
    assert report() != report()


class Frozen:
    """A served model that finds every row late."""

    def __init__(self, place: TaskHome) -> None:
        """Open no file."""

    def predict_alone(self, columns: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        rows = len(columns["distance"])
        return np.stack([np.full(rows, 0.05), np.full(rows, 0.95)], axis=1).astype(np.float32)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "client.inference", SimpleNamespace(Predictor=Frozen))


@pytest.mark.usefixtures("served")
def test_a_device_counts_its_own_rows_under_the_served_model(tmp_path: Path) -> None:
    csv = "distance,carrier,hour,seats,engines,delay\n" + "700,UA,9,120,2,20\n" * 1000
    (tmp_path / "rows.csv").write_text(csv)
    found = device.answer(PLAN, TASK, AgentHome(tmp_path).task("flights"), tmp_path / "rows.csv")
    coordinator.check(found, TASK, PLAN)
    peaks = [int(np.argmax(histogram.counts)) for histogram in found.histograms]
    assert peaks == [9, 1, 1, 2, 1, 0]
    assert found.histograms[0].counts[9] == pytest.approx(1000, abs=100)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("content", [None, "distance\n1\n", ""])
def test_data_that_cannot_be_read_is_answered_with_noise_alone(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "rows.csv").write_text(content)
    found = device.answer(PLAN, TASK, AgentHome(tmp_path).task("flights"), tmp_path / "rows.csv")
    coordinator.check(found, TASK, PLAN)
    assert max(abs(count) for histogram in found.histograms for count in histogram.counts) < 14 * math.sqrt(5) * 8


# -- merging --------------------------------------------------------------------------------


def test_counts_and_variances_add() -> None:
    reports = [report(seed=seed) for seed in range(4)]
    for index, merged in enumerate(coordinator.merge(reports, TASK, PLAN)):
        parts = [one.histograms[index] for one in reports]
        assert merged.counts == pytest.approx(np.sum([part.counts for part in parts], axis=0))
        assert merged.noise == pytest.approx(2 * parts[0].noise)
        assert (merged.name, merged.edges) == (BINS[index].name, BINS[index].edges)


def test_nothing_merges_to_nothing() -> None:
    assert coordinator.merge([], TASK, PLAN) == ()


def spoil(**changes: Any) -> DriftReport:
    first, *others = report().histograms
    return replace(report(), histograms=(replace(first, **changes), *others))


@pytest.mark.parametrize(
    "bad",
    [
        lambda: replace(report(), run_id=9),
        lambda: replace(report(), release=9),
        lambda: replace(report(), histograms=()),
        lambda: replace(report(), histograms=report().histograms[:-1]),
        lambda: replace(report(), histograms=report().histograms * 2),
        lambda: replace(report(), histograms=report().histograms[::-1]),
        lambda: report(plan=replace(PLAN, features=False)),
        lambda: report(plan=replace(PLAN, score_bins=11)),
        lambda: report(plan=replace(PLAN, score_noise_multiplier=1.0)),
        lambda: spoil(name="SCORE"),
        lambda: spoil(edges=(0.0, 1.0)),
        lambda: spoil(counts=(1.0,) * 9),
        lambda: spoil(counts=(1.0,) * 11),
        lambda: spoil(counts=(float("nan"),) * 10),
        lambda: spoil(counts=(float("inf"),) * 10),
        lambda: spoil(counts=(1e12,) * 10),
        lambda: spoil(counts=(-1000.0,) * 10),
        lambda: spoil(noise=float("nan")),
    ],
)
def test_a_report_that_does_not_answer_the_plan_is_refused(bad: Any) -> None:
    with pytest.raises(WireError):
        coordinator.check(bad(), TASK, PLAN)
    with pytest.raises(WireError):
        coordinator.merge([report(), bad()], TASK, PLAN)


# -- bins ----------------------------------------------------------------------------------


def test_bins_know_how_many_counts_they_hold() -> None:
    assert Bins(name="x", edges=(0.0, 1.0, 2.0), other=False, noise=1.0).size == 2
    assert Bins(name="x", edges=(0.0, 1.0, 2.0), other=True, noise=1.0).size == 3


# -- the contract and the outcomes -----------------------------------------------------------


cells = st.tuples(
    st.one_of(st.none(), st.sampled_from([float("nan"), -1.0, 0.0, 700.0, 3000.0, 3000.5, float("inf")])),
    st.one_of(st.none(), st.sampled_from(["AA", "UA", "aa", ""])),
    st.one_of(st.none(), st.sampled_from([1.0, 2.0, 99.0])),
)


def write(path: Path, table: list[tuple[Any, ...]]) -> Path:
    names = {"distance": pl.Float64, "carrier": pl.String, "hour": pl.Float64}
    frame = pl.DataFrame(table, schema=names, orient="row")
    frame.with_columns(seats=pl.lit(1.0), engines=pl.lit(2.0), delay=pl.lit(0.0)).write_parquet(path)
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(cells, max_size=10), extra=cells, place=st.integers(0, 10))
def test_one_row_more_changes_one_count_of_the_contract_by_one(
    tmp_path: Path, table: list[tuple[Any, ...]], extra: tuple[Any, ...], place: int
) -> None:
    """Repetition looks across rows: it is counted so that the L2 sensitivity still is 1, which is what is charged."""
    more = [*table[:place], extra, *table[place:]]
    before, after = (count_rules(write(tmp_path / "a.parquet", rows), RULED, Window()) for rows in (table, more))
    assert sorted(after - before) == [0] * (len(before) - 1) + [1]
    assert before.sum() == len(table)
    assert len(before) == len(RULED.contract.rules) + 1


def test_each_row_counts_where_it_breaks_first(tmp_path: Path) -> None:
    table: list[tuple[Any, ...]] = [
        (None, "AA", 1.0), (5000.0, "xx", 99.0), (1.0, "xx", 99.0), (1.0, "xx", 1.0), (1.0, "UA", 1.0), (2.0, "UA", 1.0),
        (3.0, "UA", 1.0), (3.0, None, None),
    ]  # fmt: skip
    found = count_rules(write(tmp_path / "a.parquet", table), RULED, Window())
    names = [*(rule.name for rule in RULED.contract.rules), KEEPS]
    assert {name: count for name, count in zip(names, found.tolist(), strict=True) if count} == {
        "distance missing": 1, "distance outside its range": 1, "hour outside its range": 1,
        "carrier not a declared word": 1, "repeated carrier, hour": 2, KEEPS: 2,
    }  # fmt: skip


def test_the_contract_and_the_outcomes_are_charged_and_stand_last() -> None:
    assert [event.noise_multiplier for event in FULL.events] == [10.0, 14.0, 12.0, 8.0]
    assert [event.noise_multiplier for event in replace(FULL, features=False).events] == [10.0, 12.0, 8.0]
    assert {(event.sample_rate, event.steps) for event in FULL.events} == {(1.0, 1)}
    *columns, rules, outcomes = edges_of(RULED, FULL)
    assert tuple(columns) == BINS
    assert (rules.name, rules.size, rules.noise) == (CONTRACT, len(RULED.contract.rules) + 1, 12.0)
    assert (outcomes.name, outcomes.size, outcomes.noise) == (OUTCOMES, 4 * 2 * 10, 8.0)
    assert len(edges_of(RULED, FULL)) - len(BINS) + 2 == len(FULL.events)


@pytest.mark.parametrize("noise", ["contract_noise_multiplier", "outcome_noise_multiplier"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf")])
def test_a_plan_whose_counts_cannot_be_charged_is_refused(noise: str, value: float) -> None:
    with pytest.raises(ValueError, match="noise_multiplier"):
        replace(PLAN, **{noise: value})


@pytest.mark.usefixtures("served")
def test_a_device_answers_with_its_rules_and_its_outcomes(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [(-1.0, "AA", 1.0)] * 1000 + [(1.0, "AA", float(i % 24)) for i in range(2400)])
    place, outcomes = AgentHome(tmp_path).task("flights"), np.full((4, 2, 10), 500)
    found = device.answer(FULL, RULED, place, tmp_path / "a.parquet", outcomes=lambda *_: outcomes)
    coordinator.check(found, RULED, FULL)
    merged = coordinator.merge([found], RULED, FULL)
    counts = {count.rule: count for count in rule_counts(RULED, merged)}
    assert counts["distance outside its range"].rows == pytest.approx(1000, abs=8 * 12)
    assert counts["repeated carrier, hour"].rows == pytest.approx(2400 - 24, abs=8 * 12)
    assert str(replace(counts[KEEPS], rows=24.4)) == "keeps the contract: 24 ± 24"
    assert np.mean(merged[-1].counts) == pytest.approx(500, abs=8)
    assert sum(found.histograms[0].counts) == pytest.approx(2400, abs=8 * 10 * math.sqrt(10))


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("broken", ["data", "outcomes", "shape"])
def test_what_cannot_be_counted_is_noise_on_zeros(tmp_path: Path, broken: str) -> None:
    def outcomes(*_: object) -> NDArray[np.int64]:
        if broken == "outcomes":
            raise RuntimeError("a row did this")
        return np.zeros(3, np.int64)

    if broken != "data":
        write(tmp_path / "a.parquet", [])
    found = device.answer(FULL, RULED, AgentHome(tmp_path).task("flights"), tmp_path / "a.parquet", outcomes=outcomes)
    coordinator.check(found, RULED, FULL)
    assert max(map(abs, (*found.histograms[-1].counts, *found.histograms[-2].counts))) < 12 * 8
    coordinator.check(device.answer_without_rows(FULL, RULED), RULED, FULL)


def test_the_contract_does_not_drift_and_an_old_reference_still_compares() -> None:
    old = coordinator.merge([report()], TASK, PLAN)
    cells = (Histogram(name=CONTRACT, edges=(0.0, 1.0), counts=(5.0,), noise=1.0),)
    alone = replace(PLAN, features=False)
    new = (*coordinator.merge([report(plan=alone)], TASK, alone), *cells)
    assert [shift.name for shift in coordinator.shifts(old, new, devices=1)] == [SCORE]
    assert [shift.name for shift in coordinator.shifts((*old, *cells), (*old, *cells), devices=1)][-1] == "engines"
