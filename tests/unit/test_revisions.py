"""A task's next revision: old rows read through its map, kept weights carried over, and the old release goes on serving."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import machine_rows, small_task
from releasing import build_works

from client.dataset import read_columns
from client.explanation import explain
from client.inference import Predictor
from client.prepare import FieldError, Preparer
from client.served import class_of
from server.cli.founding import publish
from server.promotion import promote
from server.records import Run, SurveyRequest
from server.revising import carried, check_map, first_weights
from server.spending import noise_of, survey_events
from server.surveys import plan_survey
from shared import wire
from shared.architecture import initial_weights, size, split
from shared.errors import ContractError, InputError, ReleaseError
from shared.features import Category, Number, encode_columns
from shared.lifecycle import Gates, Revision
from shared.privacy import PrivacyBudget
from shared.revisions import UNKNOWN
from shared.tasks import Architecture, Classes, Levels, Task, Threshold, Window

LATE = Threshold(column="delay", above=15.0, classes=("on time", "late"))
SPLIT = Levels(column="delay", cuts=(15.0, 60.0), classes=("on time", "late", "very late"))
OLD = small_task(label=LATE)
NEW = small_task(revision=2, label=SPLIT, revises=Revision(revision=1, classes={"late": ("late", "very late")}))
WORDS = Classes(column="state", classes=("on time", "late", "very late"))


def scores(task: Task, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    import torch

    from shared.network import build, load

    network = build(task)
    load(network, weights.astype(np.float32), task)
    with torch.no_grad():
        return network(torch.from_numpy(inputs)).softmax(dim=1).numpy()


def drawn(task: Task, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, size(task)).astype(np.float32)


def inputs_of(task: Task, rows: int = 50) -> np.ndarray:
    frame = machine_rows(rows)
    columns = {name: frame[name].to_numpy().astype(np.float32) for name in task.numbers}
    columns |= {name: frame[name].to_numpy().astype(object) for name in task.texts}
    return encode_columns(task.features, columns)


# -- rows ---------------------------------------------------------------------------------------------


def test_a_split_by_a_number_reads_old_rows_by_that_number(tmp_path: Path) -> None:
    file = tmp_path / "old.parquet"
    machine_rows(4).with_columns(pl.Series("delay", [0.0, 20.0, 60.0, 61.0])).write_parquet(file)
    assert read_columns(file, OLD, Window())[1].tolist() == [0, 1, 1, 1]
    assert read_columns(file, NEW, Window())[1].tolist() == [0, 1, 1, 2]


def test_words_dated_before_the_change_are_read_as_they_were_meant(tmp_path: Path) -> None:
    file, words = tmp_path / "rows.parquet", ["late", "on time", "late", "very late"]
    days = ["2026-01-01", "2026-01-31", "2026-02-01", "2026-02-02"]
    machine_rows(4).with_columns(pl.Series("state", words), pl.Series("at", days)).write_parquet(file)
    map_ = Revision(revision=1, classes={"late": ("late", "very late")}, since="2026-02-01")
    task = small_task(revision=2, label=WORDS, revises=map_)
    assert read_columns(file, task, Window())[1].tolist() == [UNKNOWN, 0, 1, 2]


def test_joined_classes_need_no_date(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    machine_rows(3).with_columns(pl.Series("state", ["late", "very late", "delayed"])).write_csv(file)
    label = Classes(column="state", classes=("on time", "delayed"))
    map_ = Revision(revision=1, classes={"late": ("delayed",), "very late": ("delayed",)})
    assert read_columns(file, small_task(revision=2, label=label, revises=map_), Window())[1].tolist() == [1, 1, 1]


def test_a_word_that_means_something_else_now_needs_a_date() -> None:
    with pytest.raises(ValueError, match=r"\['late'\] mean something else now"):
        small_task(revision=2, label=WORDS, revises=Revision(revision=1, classes={"late": ("late", "very late")}))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_are_read_from_where_the_map_says_they_stood(tmp_path: Path, suffix: str) -> None:
    features = (
        Number(name="load", low=0.0, high=1.0, missing=0.5),
        Number(name="heat", low=0.0, high=9.0, missing=1.0),
        Category(name="place", values=("north", "south")),
    )
    map_ = Revision(revision=1, columns={"place": ("site", "area"), "heat": ()})
    task = small_task(revision=2, features=features, revises=map_)
    old, new = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    before = machine_rows(2).with_columns(pl.Series("area", ["south", "south"]), pl.Series("site", ["north", None]))
    after = (
        machine_rows(1).rename({"site": "place"}).with_columns(pl.Series("heat", [4.0]), pl.Series("place", ["south"]))
    )
    for frame, file in ((before, old), (after, new)):
        frame.write_csv(file) if suffix == "csv" else frame.write_parquet(file)
    columns, labels = read_columns(tmp_path, task, Window())
    assert columns["place"].tolist() == ["north", "south", "south"]
    assert np.isnan(columns["heat"][:2]).all()
    assert columns["heat"][2] == 4.0
    assert len(labels) == 3


def test_a_column_that_is_simply_missing_is_still_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    machine_rows(2).drop("load").write_csv(file)
    with pytest.raises(ContractError, match=r"lacks the columns \['load'\]"):
        read_columns(file, small_task(revision=2, revises=Revision(revision=1)), Window())


def test_one_row_more_changes_no_other_rows_words(tmp_path: Path) -> None:
    """Privacy rule 3, for what a revision adds to reading."""
    map_ = Revision(
        revision=1, classes={"late": ("late", "very late")}, columns={"site": ("area",)}, since="2026-01-15"
    )
    task = small_task(revision=2, label=WORDS, revises=map_)
    rows = machine_rows(30).with_columns(pl.Series("state", ["late", "on time", "very late"] * 10))
    rows.slice(0, 29).write_csv(fewer := tmp_path / "fewer.csv")
    rows.write_csv(more := tmp_path / "more.csv")
    first, second = read_columns(fewer, task, Window()), read_columns(more, task, Window())
    assert first[1].tolist() == second[1].tolist()[:29]
    for name, column in first[0].items():
        np.testing.assert_array_equal(column, second[0][name][:29])


@pytest.mark.parametrize(
    ("outcome", "at", "expected"),
    [("late", 0.0, UNKNOWN), ("late", 1.8e9, 1), ("very late", 0.0, 2), ("on time", 0.0, 0), ("late", None, 1)],
)
def test_an_outcome_is_read_in_the_words_of_its_time(outcome: str, at: float | None, expected: int) -> None:
    map_ = Revision(revision=1, classes={"late": ("late", "very late")}, since="2026-02-01")
    assert class_of(small_task(revision=2, label=WORDS, revises=map_), outcome, at=at) == expected


# -- weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture", [Architecture(kind="linear"), Architecture(kind="mlp", hidden=(8,))], ids=["linear", "mlp"]
)
def test_the_parts_of_a_split_class_share_what_it_had(architecture: Architecture) -> None:
    old, new = replace(OLD, architecture=architecture), replace(NEW, architecture=architecture)
    weights = drawn(old)
    kept = carried(old, weights, new)
    assert kept is not None
    before, after = scores(old, weights, inputs_of(old)), scores(new, kept, inputs_of(new))
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-6)
    np.testing.assert_allclose(after[:, 1], before[:, 1] / 2, atol=1e-6)
    np.testing.assert_allclose(after[:, 2], after[:, 1], atol=1e-7)


def test_what_has_the_same_meaning_keeps_its_weights_and_what_is_new_has_none() -> None:
    features = (
        OLD.features[1],
        Number(name="heat", low=0.0, high=9.0, missing=1.0),
        Category(name="place", values=("east", "south", "north")),
        OLD.features[0],
    )
    new = small_task(
        revision=2,
        label=LATE,
        features=features,
        revises=Revision(revision=1, columns={"place": ("site",), "heat": ()}),
    )
    weights = drawn(OLD)
    kept = carried(OLD, weights, new)
    assert kept is not None
    old_weight, new_weight = next(split(weights, OLD)), next(split(kept, new))
    np.testing.assert_array_equal(new_weight[:, :2], old_weight[:, 1:3])
    np.testing.assert_array_equal(new_weight[:, 2:4], 0)
    np.testing.assert_array_equal(new_weight[:, 4], old_weight[:, 4])
    np.testing.assert_array_equal(new_weight[:, 5], old_weight[:, 3])
    np.testing.assert_array_equal(new_weight[:, 6], old_weight[:, 0])


@given(seed=st.integers(0, 10_000))
def test_classes_that_are_joined_have_at_least_the_larger_share_at_zero(seed: int) -> None:
    old = small_task(label=SPLIT)
    new = small_task(
        revision=2, label=LATE, revises=Revision(revision=1, classes={"late": ("late",), "very late": ("late",)})
    )
    weights = drawn(old, seed=seed)
    kept = carried(old, weights, new)
    assert kept is not None
    zero = np.zeros((1, old.inputs), np.float32)
    before, after = scores(old, weights, zero), scores(new, kept, zero)
    np.testing.assert_allclose(after[0, 1], before[0, 1] + before[0, 2], atol=1e-5)


def test_a_class_from_nowhere_starts_rare() -> None:
    new = small_task(revision=2, label=SPLIT, revises=Revision(revision=1))
    weights = drawn(OLD)
    kept = carried(OLD, weights, new)
    assert kept is not None
    zero = np.zeros((1, OLD.inputs), np.float32)
    assert scores(new, kept, zero)[0, 2] == pytest.approx(0.01 / 1.01, abs=1e-5)


def test_another_network_starts_anew() -> None:
    assert carried(OLD, drawn(OLD), replace(NEW, architecture=Architecture(kind="mlp", hidden=(4,)))) is None


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (small_task(revision=2, label=SPLIT), "does not say how it revises"),
        (small_task(revision=3, label=SPLIT, revises=Revision(revision=2)), "does not say how it revises revision 1"),
        (
            small_task(revision=2, label=Classes(column="delay", classes=("a", "b")), revises=Revision(revision=1)),
            r"classes \['on time', 'late'\] are neither kept nor named",
        ),
        (
            small_task(
                revision=2,
                label=LATE,
                features=(Number(name="heat", low=0, high=1, missing=0),),
                revises=Revision(revision=1),
            ),
            r"columns \['heat'\] are new",
        ),
        (
            small_task(revision=2, label=LATE, revises=Revision(revision=1, columns={"load": ("weight",)})),
            r"names the columns \['weight'\]",
        ),
        (
            small_task(revision=2, label=LATE, revises=Revision(revision=1, classes={"tardy": ("late",)})),
            r"names the classes \['tardy'\], which revision 1 does not have",
        ),
    ],
    ids=["no-map", "other-revision", "lost-class", "new-column", "unknown-source", "unknown-class"],
)
def test_a_map_that_leaves_something_without_a_word_is_refused(new: Task, why: str) -> None:
    with pytest.raises(InputError, match=why):
        check_map(OLD, new)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"revises": Revision(revision=2)}, "only an earlier one"),
        ({"revises": Revision(revision=1, classes={"late": ("tardy",)})}, "classes that the label does not have"),
        ({"revises": Revision(revision=1, columns={"heat": ()})}, "columns that the task does not read"),
    ],
    ids=["later", "strange-class", "strange-column"],
)
def test_a_task_whose_map_contradicts_itself_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        small_task(**({"revision": 2, "label": SPLIT} | change))


# -- the whole way ------------------------------------------------------------------------------------


def test_the_old_release_serves_until_a_version_of_the_new_revision_passes(tmp_path: Path) -> None:
    works = build_works(tmp_path, OLD)
    first = works.promote(1)
    assert works.check() == first.number
    number = publish(works.federation, works.store, NEW)
    version = works.store.version(number)
    assert (version.revision, version.parent) == (2, first.version)
    assert works.check() is None
    assert works.place.signed_task().revision == 2
    assert works.serving() == first.number
    assert set(Predictor(works.place.releases / "1").predict({"load": 0.9}).scores) == {"on time", "late"}
    with pytest.raises(InputError, match="trained for revision 1"):
        promote(works.federation, works.store, NEW, first.version)
    strict = replace(NEW, revision=3, revises=Revision(revision=2), gates=Gates(max_bytes=10))
    stopped = publish(works.federation, works.store, strict)
    with pytest.raises(ReleaseError, match="size"):
        promote(works.federation, works.store, strict, stopped)
    assert works.check() is None
    assert works.serving() == first.number
    passing = replace(NEW, revision=4, revises=Revision(revision=2))
    second = promote(works.federation, works.store, passing, publish(works.federation, works.store, passing))
    assert works.check() == second.number
    assert set(Predictor(works.place.releases / str(second.number)).predict({"load": 0.9}).scores) == set(SPLIT.classes)


def test_a_map_that_leaves_a_class_out_signs_nothing(tmp_path: Path) -> None:
    works = build_works(tmp_path, OLD)
    works.add_version(1)
    label = Classes(column="delay", classes=("on time", "tardy"))
    with pytest.raises(InputError, match="neither kept nor named"):
        publish(works.federation, works.store, replace(NEW, label=label, revises=Revision(revision=1)))
    assert [task.revision for task in works.store.tasks()] == [1]


def test_a_revision_without_a_map_starts_untrained(tmp_path: Path) -> None:
    works = build_works(tmp_path, OLD)
    weights, parent = first_weights(works.store, replace(NEW, revises=None))
    assert parent == 0
    np.testing.assert_array_equal(weights, initial_weights(NEW))


# -- what a hostile review found ----------------------------------------------------------------------


def _mixed(tmp_path: Path, base: pl.DataFrame, one_more: pl.DataFrame, task: Task) -> tuple[int, int]:
    """How many rows are read from a file, and from the same file with one row more."""
    fewer, more = tmp_path / "fewer.parquet", tmp_path / "more.parquet"
    base.write_parquet(fewer)
    pl.concat([base, one_more]).write_parquet(more)
    return len(read_columns(fewer, task, Window())[1]), len(read_columns(more, task, Window())[1])


@pytest.mark.parametrize(
    ("old_kind", "value"),
    [
        (pl.Date, 2**31 - 1),
        (pl.Datetime("us"), 2**62),
        (pl.Int64, 2**62),
        (pl.Decimal(38, 20), 10**15),
        (pl.Boolean, 1),
    ],
    ids=["date", "datetime", "int", "decimal", "boolean"],
)
def test_rule_3_columns_of_several_types_are_joined_row_by_row(
    tmp_path: Path, old_kind: pl.DataType, value: int
) -> None:
    task = small_task(revision=2, revises=Revision(revision=1, columns={"site": ("area",), "load": ("weight",)}))
    rows = machine_rows(20).with_columns(
        pl.lit(None, pl.String).alias("site"), pl.lit(None, pl.Decimal(38, 30)).alias("load")
    )
    odd = pl.Series([value]).cast(old_kind) if old_kind not in (pl.Date, pl.Datetime("us")) else None
    area = (
        odd
        if odd is not None
        else pl.Series([value], dtype=pl.Int32 if old_kind == pl.Date else pl.Int64).cast(old_kind)
    )
    none = pl.lit(None, old_kind)
    base = rows.with_columns(none.alias("area"), none.alias("weight"))
    one_more = rows.head(1).with_columns(area.alias("area"), area.alias("weight"))
    assert _mixed(tmp_path, base, one_more, task) == (20, 21)


def test_rule_10_a_revision_makes_no_past_survey_cheaper(tmp_path: Path) -> None:
    costly = replace(OLD.drift, outcome_noise_multiplier=3.0)
    old = replace(OLD, drift=costly)
    request = SurveyRequest(
        task=old.name,
        release=1,
        window=Window(),
        role="current",
        features=False,
        quorum=1,
        deadline_seconds=1.0,
        outcomes=True,
    )
    priced = replace(request, noise=noise_of(request, old))
    run = Run(
        id=1, task=old.name, kind="survey", state="finished", request=wire.to_json(priced).decode(), created_at=0.0
    )
    assert survey_events(run, old) == survey_events(run, NEW)
    assert len(survey_events(run, NEW)) == 2
    with pytest.raises(InputError, match="was revised since"):
        plan_survey(1, NEW, priced)


def test_an_application_may_go_on_calling_a_column_as_before(tmp_path: Path) -> None:
    task = small_task(
        revision=2,
        features=(OLD.features[0], Category(name="place", values=("north", "south"))),
        revises=Revision(revision=1, columns={"place": ("site",)}),
    )
    ready = Preparer(task)
    row = (ctypes.c_float * len(task.numbers))()
    assert ready.fill(row, {"load": 0.5, "site": "south"}) == ["south"]
    assert ready.fill(row, {"load": 0.5, "place": "north"}) == ["north"]
    with pytest.raises(FieldError, match="sight"):
        ready.fill(row, {"load": 0.5, "sight": "south"})


def test_an_owner_reads_how_older_rows_are_read() -> None:
    budget = PrivacyBudget(epsilon=4.0, delta=1e-5)
    assert "'late' became 'late' or 'very late'" in explain(NEW, budget=budget, data="rows.csv").replace("\n", " ")
