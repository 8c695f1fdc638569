"""The gates that a task declares beyond the file: what passes, what fails, and what nobody can tell yet."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from machines import machine_rows, small_task
from releasing import Works, build_works, some_weights
from trained import campaign, evaluate

from server.cli.founding import publish
from server.estimates import Estimate
from server.gates.scoredrift import parts_of
from server.gates.verdicts import exact, measured, unmeasured
from server.gating import gate
from server.promotion import promote
from server.records import GateVerdict
from shared import wire
from shared.contract import Contract, NumberRule
from shared.errors import InputError, ReleaseError
from shared.lifecycle import Evaluation, Gates, Revision
from shared.tasks import Task, Threshold

EVALUATION = Evaluation(noise_multiplier=2.0, score_bins=10)


def works_with(folder: Path, gates: Gates, **changes: object) -> Works:
    return build_works(folder, small_task(**{"gates": gates, "groups": ("site",), "evaluation": EVALUATION, **changes}))


def verdicts(works: Works, version: int, *, probe: Path | None = None) -> dict[str, GateVerdict]:
    return {verdict.name: verdict for verdict in gate(works.federation, works.store, version, probe=probe).verdicts}


# -- one figure, one limit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "limit", "state"),
    [
        ("at least", 0.70, "passed"), ("at least", 0.80, "undecided"), ("at least", 0.90, "failed"),
        ("at most", 0.90, "passed"), ("at most", 0.80, "undecided"), ("at most", 0.70, "failed"),
    ],
)  # fmt: skip
def test_bounds_decide_and_not_the_value(side: str, limit: float, state: str) -> None:
    found = Estimate(value=0.81, low=0.75, high=0.85)
    verdict = measured("AUC", side, limit, found, note="evaluation 7")  # type: ignore[arg-type]
    assert verdict.state == state
    assert verdict.passed == (state == "passed")
    assert verdict.found == "0.810 (0.750 to 0.850), evaluation 7"


def test_a_figure_that_is_no_number_does_not_pass() -> None:
    assert exact("epsilon", "at most", 1.0, float("nan")).state == "failed"
    assert unmeasured("AUC", "at least", 0.7, "nothing").state == "undecided"
    with pytest.raises(ValueError, match="undecided is not passed"):
        GateVerdict(name="AUC", expected="", found="", passed=True, undecided=True)


def test_verdicts_of_an_older_covey_read_as_before() -> None:
    old = {"name": "size", "expected": "at most 100 bytes", "found": "90 bytes", "passed": True}
    assert wire.decode(GateVerdict, old).state == "passed"
    assert wire.encode(wire.decode(GateVerdict, old)) == old


# -- by an evaluation ---------------------------------------------------------------------------

DEMANDS = {
    "AUC": (Gates(min_auc=0.7), Gates(min_auc=0.999)),
    "PR-AUC": (Gates(min_pr_auc=0.7), Gates(min_pr_auc=0.9999)),
    "recall at 20% alerts": (Gates(min_recall=0.3, alert_rate=0.2), Gates(min_recall=0.6, alert_rate=0.2)),
    "calibration error": (Gates(max_calibration_error=0.3), Gates(max_calibration_error=0.01)),
    "worst group's AUC gap": (Gates(max_group_gap=0.1), Gates(max_group_gap=0.0)),
    "alert rate gap": (Gates(max_parity_gap=0.2), Gates(max_parity_gap=0.0)),
}


@pytest.mark.parametrize("name", DEMANDS)
def test_an_evaluation_decides_each_declared_limit(name: str, tmp_path: Path) -> None:
    kind, strict = DEMANDS[name]
    for folder, gates, state in (("kind", kind, "passed"), ("strict", strict, "failed")):
        (tmp_path / folder).mkdir()
        works = works_with(tmp_path / folder, gates)
        version = works.add_version(1)
        evaluate(works, version, rows=20_000, edge=3.0, blind=folder == "strict" and "gap" in name)
        found = verdicts(works, version)[name]
        assert found.state == state, found
        assert "evaluation" in found.found


@pytest.mark.parametrize("name", DEMANDS)
def test_without_an_evaluation_nothing_is_passed(name: str, tmp_path: Path) -> None:
    works = works_with(tmp_path, DEMANDS[name][0])
    found = verdicts(works, works.add_version(1))[name]
    assert found.state == "undecided"
    assert "`covey evaluate 1`" in found.found


def test_few_rows_beside_the_noise_leave_it_undecided(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.7))
    version = works.add_version(1)
    evaluate(works, version, rows=40, noise=10.0)
    assert verdicts(works, version)["AUC"].state == "undecided"


GAPS = {"worst group's AUC gap": Gates(max_group_gap=0.1), "alert rate gap": Gates(max_parity_gap=0.2)}


@pytest.mark.parametrize("name", GAPS)
@pytest.mark.parametrize(
    ("sizes", "noise", "state", "says"),
    [
        ((0.6, 0.375, 0.025), 30.0, "undecided", "too small to tell: other"),
        ((0.96, 0.02, 0.02), 30.0, "undecided", "too small to tell: south, other"),
        ((0.6, 0.4, 0.0), 5.0, "passed", "surely less than 2% of the rows are not judged: other"),
        ((1.0, 0.0, 0.0), 5.0, "passed", "surely less than 2% of the rows are not judged: south, other"),
    ],
    ids=["small", "one told", "negligible", "all but one negligible"],
)
def test_the_worst_group_may_be_one_that_cannot_be_told(
    name: str, sizes: tuple[float, ...], noise: float, state: str, says: str, tmp_path: Path
) -> None:
    works = works_with(tmp_path, GAPS[name])
    version = works.add_version(1)
    evaluate(works, version, rows=20_000, sizes=sizes, noise=noise)
    found = verdicts(works, version)[name]
    assert (found.state, found.found.endswith(says)) == (state, True), found.found


def test_the_newest_evaluation_counts(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.7))
    version = works.add_version(1)
    evaluate(works, version, edge=0.0, run=50)
    assert verdicts(works, version)["AUC"].state == "failed"
    evaluate(works, version, edge=3.0, run=51)
    assert verdicts(works, version)["AUC"].state == "passed"


def test_more_confidence_demands_more(tmp_path: Path) -> None:
    found: list[str] = []
    for confidence in (0.5, 0.9999):
        (tmp_path / str(confidence)).mkdir()
        works = works_with(tmp_path / str(confidence), Gates(min_auc=0.975, confidence=confidence))
        version = works.add_version(1)
        evaluate(works, version, rows=1500, edge=2.6)
        found.append(verdicts(works, version)["AUC"].state)
    assert found == ["passed", "undecided"]


def test_what_is_undecided_is_not_promoted_and_is_kept(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.7))
    version = works.add_version(1)
    with pytest.raises(ReleaseError, match=r"AUC: expected at least 0.7, found no evaluation"):
        promote(works.federation, works.store, works.task, version)
    assert works.store.releases() == []
    (kept,) = works.store.gatings(version)
    assert [verdict.state for verdict in kept.verdicts if verdict.name == "AUC"] == ["undecided"]
    evaluate(works, version)
    promote(works.federation, works.store, works.task, version)
    assert json.loads(works.store.gates(1))[5]["name"] == "AUC"


# -- by the operator's own rows -------------------------------------------------------------------


def trained_weights(task: Task) -> bytes:
    """Weights that follow the load, which is what decides in `machine_rows`."""
    weights = np.zeros_like(some_weights(task, seed=1))
    weights[0], weights[5] = -4.0, 4.0
    return weights.tobytes()


def probe_file(folder: Path, *, rows: int = 2000, suffix: str = "parquet") -> Path:
    path = folder / f"probe.{suffix}"
    frame = machine_rows(rows)
    frame.write_parquet(path) if suffix == "parquet" else frame.write_csv(path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_probe_set_decides_where_devices_cannot_be_asked(suffix: str, tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.8, max_group_gap=0.1), evaluation=None)
    good = works.store.add_initial_version("machines", 1, trained_weights(works.task)).number
    found = verdicts(works, good, probe=probe_file(tmp_path, suffix=suffix))
    assert found["AUC on the probe set"].state == "passed"
    assert found["worst group's AUC gap on the probe set"].state == "passed"
    assert "probe set of 2,000 rows" in found["AUC on the probe set"].found
    assert "AUC" not in found
    assert verdicts(works, good)["AUC"].state == "undecided"
    promote(works.federation, works.store, works.task, good, probe=probe_file(tmp_path))
    assert len(works.store.releases()) == 1


def test_a_probe_set_does_not_stand_in_for_the_fleet(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.8))
    good = works.store.add_initial_version("machines", 1, trained_weights(works.task)).number
    found = verdicts(works, good, probe=probe_file(tmp_path))
    assert (found["AUC on the probe set"].state, found["AUC"].state) == ("passed", "undecided")
    evaluate(works, good, edge=0.0)
    assert verdicts(works, good, probe=probe_file(tmp_path))["AUC"].state == "failed"


def test_a_small_probe_set_has_wide_bounds(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.9), evaluation=None)
    good = works.store.add_initial_version("machines", 1, trained_weights(works.task)).number
    found = verdicts(works, good, probe=probe_file(tmp_path, rows=40))
    assert found["AUC on the probe set"].state == "undecided"


BAD_PROBES = {
    "cannot be used": lambda path: path.write_text("load,hour\n1,2\n"),
    "holds no row whose 'stops' is known": lambda path: path.write_text("load,hour,site,stops\n1,2,north,\n"),
}


@pytest.mark.parametrize("says", BAD_PROBES)
def test_a_probe_set_that_cannot_be_read_is_named(says: str, tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.8))
    path = tmp_path / "bad.csv"
    BAD_PROBES[says](path)
    with pytest.raises(InputError, match=f"probe set .*bad.csv {says}"):
        verdicts(works, works.add_version(1), probe=path)


def test_rows_without_an_outcome_are_left_out(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(min_auc=0.8), evaluation=None)
    good = works.store.add_initial_version("machines", 1, trained_weights(works.task)).number
    path = tmp_path / "holes.parquet"
    rows = machine_rows(1000).with_row_index("n")
    rows.with_columns(stops=pl.when(pl.col("n") < 400).then(None).otherwise(pl.col("stops"))).write_parquet(path)
    assert "600 rows" in verdicts(works, good, probe=path)["AUC on the probe set"].found


# -- epsilon --------------------------------------------------------------------------------------


def test_epsilon_grows_with_the_rounds_behind_a_version(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(max_epsilon=6.0))
    made = [works.add_version(1), *campaign(works, 1, 6)]
    states = [verdicts(works, number)["epsilon"].state for number in made]
    assert states[0] == "passed"
    assert states[-1] == "failed"
    assert states == sorted(states, reverse=True), "once above the limit, further rounds never come below it"


# -- drift of scores ------------------------------------------------------------------------------


def test_scores_are_held_against_the_release_in_force(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(max_score_drift=0.1))
    first = works.promote(seed=1)
    near = works.store.add_initial_version("machines", 1, some_weights(works.task, seed=1).tobytes()).number
    found = verdicts(works, near)["score drift"]
    assert (found.state, found.found) == ("passed", "0, 4,096 made-up records, against release 1")
    assert "score drift" not in verdicts(works, first.version), "there is nothing before it"
    away = some_weights(works.task, seed=1) * 8
    far = works.store.add_initial_version("machines", 1, away.tobytes()).number
    assert verdicts(works, far)["score drift"].state == "failed"
    assert "the probe set" in verdicts(works, far, probe=probe_file(tmp_path))["score drift"].found


@pytest.mark.parametrize(("edge", "state"), [(3.0, "passed"), (0.0, "failed")])
def test_two_evaluations_of_one_window_tell_drift_of_scores(edge: float, state: str, tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(max_score_drift=0.2))
    first = works.promote(seed=1)
    evaluate(works, first.version, rows=20_000, edge=3.0)
    second = works.add_version(2)
    evaluate(works, second, rows=20_000, edge=edge)
    found = verdicts(works, second)["score drift"]
    assert found.state == state, found
    assert "two evaluations of one window" in found.found


def test_an_evaluation_of_hardly_any_rows_does_not_say_that_nothing_moved(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates(max_score_drift=0.2))
    first = works.promote(seed=1)
    evaluate(works, first.version, rows=20_000)
    second = works.add_version(2)
    evaluate(works, second, rows=10, noise=10.0)
    assert verdicts(works, second)["score drift"].state == "undecided"


# -- compatibility --------------------------------------------------------------------------------

LEVEL = Threshold(column="stops", above=0.5, classes=("runs", "halts"))
REVISIONS: dict[str, tuple[dict[str, object], str]] = {
    "only the training": ({"title": "Another question"}, "passed"),
    "a column without a map": ({"contract": Contract(columns=(NumberRule(name="load", low=0.0),))}, "failed"),
    "a column by a map": (
        {"contract": Contract(columns=(NumberRule(name="load", low=0.0),)), "revises": Revision(revision=1)}, "passed",
    ),
    "a class by a map": ({"label": LEVEL, "revises": Revision(revision=1, classes={"stops": ("halts",)})}, "passed"),
    "a class without a map": ({"label": LEVEL}, "failed"),
}  # fmt: skip


@pytest.mark.parametrize("change", REVISIONS)
def test_a_revision_fits_what_is_in_force_or_says_how(change: str, tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates())
    first = works.promote(seed=1)
    changes, state = REVISIONS[change]
    works.task = small_task(revision=2, groups=("site",), **changes)
    number = publish(works.federation, works.store, works.task)
    found = verdicts(works, number)["contract compatibility"]
    assert found.state == state, found
    assert f"release {first.number}" in found.found


def test_the_first_release_has_nothing_to_be_compatible_with(tmp_path: Path) -> None:
    works = works_with(tmp_path, Gates())
    assert "contract compatibility" not in verdicts(works, works.add_version(1))


def test_a_split_class_is_compared_by_the_sum_of_its_parts() -> None:
    old = small_task()
    split = Revision(revision=1, classes={"stops": ("stops soon", "stops now")})
    label = {"kind": "levels", "column": "stops", "cuts": [0.5, 0.9], "classes": ["runs", "stops soon", "stops now"]}
    new = wire.decode(Task, {**wire.encode(replace(old, revision=2)), "label": label, "revises": wire.encode(split)})
    assert parts_of(old, new) == (1, 2)
    assert parts_of(old, old) == (1,)
    assert parts_of(old, replace(old, label=LEVEL)) is None
