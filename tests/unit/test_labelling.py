"""Labelling rules are data: read strictly, combined by the task's own label model, and applied when rows are read."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from labelled import CLASSES, confusion, heavy, labelled_task, light, machine_columns, rule, small_labelling
from machines import small_task
from typer.testing import CliRunner

from client.dataset import read_examples
from server.cli.program import app
from server.labelling import fit_labels, render
from shared import wire
from shared.errors import InputError, WireError
from shared.labelling import UNDECIDED, Condition, Labelling, votes, weak_labels
from shared.labelmodel import ABSTAINS, LabelModel, fit, majority, posterior
from shared.tasks import Task, Window

NAN = float("nan")
RULES = """
[labelling]
threshold = 0.8

[[labelling.rules]]
name = "heavy"
vote = "stops"
when = [{ column = "load", operator = ">", value = 0.7 }]

[[labelling.rules]]
name = "light"
vote = "runs"
match = "any"
when = [{ column = "load", operator = "<", value = 0.3 }, { column = "load", operator = "missing" }]

[[labelling.rules]]
name = "day"
vote = "stops"
when = [{ column = "hour", operator = "<", value = 12.0 }]
"""


def holds(operator: str, cells: list[Any], **about: Any) -> list[bool]:
    column = np.array(cells, dtype=object if any(isinstance(cell, str) for cell in cells) else np.float64)
    return Condition(column="c", operator=operator, **about).holds(column).tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("<", [True, False, False, False]),
        ("<=", [True, True, False, False]),
        (">", [False, False, True, False]),
        (">=", [False, True, True, False]),
        ("==", [False, True, False, False]),
    ],
)
def test_a_missing_number_holds_no_comparison(operator: str, expected: list[bool]) -> None:
    assert holds(operator, [-1.0, 0.1, 2.0, NAN], value=0.1) == expected


def test_numbers_compare_as_the_rows_hold_them() -> None:
    """A row's 0.1 is a float32; a rule's 0.1 must be the same number."""
    column = np.array([0.1], np.float32)
    assert Condition(column="c", operator="==", value=0.1).holds(column).tolist() == [True]


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("in", ("a",), [True, False, False, False]),
        ("not in", ("a",), [False, True, False, False]),
        ("missing", (), [False, False, True, True]),
        ("known", (), [True, True, False, False]),
    ],
)
def test_words(operator: str, values: tuple[str, ...], expected: list[bool]) -> None:
    assert holds(operator, ["a", "b", "", None], values=values) == expected


def test_a_missing_number_can_be_asked_for() -> None:
    assert holds("missing", [1.0, NAN]) == [False, True]
    assert holds("known", [1.0, NAN]) == [True, False]


def test_rules_vote_for_their_class_or_abstain() -> None:
    columns = machine_columns([0.9, 0.1, 0.5, NAN], [20.0, 20.0, 20.0, 3.0], ["north", "south", "north", None])
    assert votes(small_labelling(), columns).tolist() == [[1, -1, 0], [-1, 0, -1], [-1, -1, 0], [-1, -1, -1]]


def test_any_of_several_conditions_is_enough_where_the_rule_says_so() -> None:
    either = rule("odd", "stops", *heavy().when, *light().when, match="any")
    columns = machine_columns([0.9, 0.1, 0.5], [0.0] * 3, [None] * 3)
    assert votes(small_labelling(rules=(either,)), columns).tolist() == [[1], [1], [-1]]


def test_the_posterior_is_bayes_rule() -> None:
    model = LabelModel(prior=np.array([0.25, 0.75]), confusion=np.array([[[0.6, 0.0, 0.4], [0.1, 0.0, 0.9]]]))
    found = posterior(model, np.array([[0], [ABSTAINS]]))
    assert found[0].tolist() == pytest.approx([0.15 / 0.225, 0.075 / 0.225])
    assert found[1].tolist() == pytest.approx([0.1 / 0.775, 0.675 / 0.775])


def test_a_row_that_no_rule_speaks_of_stays_undecided_however_common_a_class_is() -> None:
    sure = small_labelling(prior=(0.99, 0.01), rules=(heavy(),))
    assert weak_labels(sure, machine_columns([0.5], [0.0], [None])).tolist() == [UNDECIDED]


def test_a_label_needs_the_threshold() -> None:
    columns = machine_columns([0.9, 0.1], [0.0, 0.0], [None, None])
    chance = posterior(small_labelling().model, votes(small_labelling(), columns))[0, 1]
    for threshold, expected in ((chance - 1e-9, 1), (chance + 1e-9, UNDECIDED)):
        assert weak_labels(small_labelling(threshold=float(threshold)), columns)[0] == expected


def test_no_rows_give_no_labels() -> None:
    assert weak_labels(small_labelling(), machine_columns([], [], [])).shape == (0,)


def test_changed_rules_relabel_rows_by_themselves(tmp_path: Path) -> None:
    frame = pl.DataFrame({"load": [0.9, 0.1, 0.5], "hour": [1.0] * 3, "site": ["north"] * 3, "stops": [None, None, 1.0],
                          "at": ["2026-01-02"] * 3}, schema_overrides={"stops": pl.Float64})  # fmt: skip
    frame.write_csv(tmp_path / "rows.csv")

    def labels(task: Task) -> list[int]:
        return read_examples(tmp_path / "rows.csv", task, Window()).labels.tolist()

    other = replace(heavy(), vote="runs", confusion=confusion("runs"))
    assert labels(small_task()) == [1]
    assert labels(labelled_task()) == [1, 0, 1]
    assert labels(labelled_task(labelling=small_labelling(threshold=0.8, rules=(other, light())))) == [0, 0, 1]


def test_a_known_label_is_never_overruled(tmp_path: Path) -> None:
    rows = "load,hour,site,stops,at\n0.9,1,north,0,2026-01-02\n"
    (tmp_path / "rows.csv").write_text(rows)
    assert read_examples(tmp_path / "rows.csv", labelled_task(), Window()).labels.tolist() == [0]


def test_a_labelling_survives_the_wire() -> None:
    task = labelled_task()
    assert wire.from_json(Task, wire.to_json(task)) == task
    assert "labelling" not in wire.encode(small_task())


def changed(**table: Any) -> dict[str, Any]:
    document = wire.encode(labelled_task())
    document["labelling"] |= table
    return document


def with_rule(**fields: Any) -> dict[str, Any]:
    return changed(rules=[wire.encode(heavy()) | fields])


def with_condition(**fields: Any) -> dict[str, Any]:
    return with_rule(when=[fields])


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (with_condition(column="stops", operator=">", value=0.5), "no feature reads the column 'stops'"),
        (with_condition(column="nobody", operator="missing"), "no feature reads the column 'nobody'"),
        (with_condition(column="site", operator=">", value=0.5), "'site' holds words, which '>' does not compare"),
        (with_condition(column="load", operator="in", values=["a"]), "'load' holds numbers, which 'in' does not"),
        (with_condition(column="load", operator=">"), "'>' on column 'load' takes a `value`"),
        (with_condition(column="load", operator=">", value="much"), r"rules\[0\].when\[0\].value must be float"),
        (with_condition(column="site", operator="in", value=1.0), "'in' on column 'site' takes `values`"),
        (with_condition(column="load", operator="missing", value=1.0), "takes neither `value` nor `values`"),
        (with_condition(column="load", operator="eval", value=1.0), "operator must be one of"),
        (with_condition(column="load", operator=">", value=1.0, code="x"), "unknown fields"),
        (with_rule(when=[]), "'heavy' has no condition"),
        (with_rule(vote="late"), "'heavy' votes for 'late'"),
        (with_rule(confusion=[[0.0, 0.5, 0.5]]), "takes 2 rows of 3 chances"),
        (with_rule(confusion=[[0.0, 0.5, 0.4], [0.0, 0.5, 0.5]]), "'heavy' for 'runs' must sum to 1, got 0.900000"),
        (with_rule(confusion=[[0.1, 0.4, 0.5], [0.0, 0.5, 0.5]]), "and 0 elsewhere"),
        (with_rule(confusion=[[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]), "must be positive for 'stops' and for abstaining"),
        (with_rule(confusion=[[-0.1, 0.6, 0.5], [0.0, 0.5, 0.5]]), "and 0 elsewhere"),
        (changed(prior=[0.5, 0.4]), "labelling.prior must sum to 1"),
        (changed(prior=[1.0, 0.0]), "a positive share for each"),
        (changed(prior=[1.0]), "a positive share for each"),
        (changed(classes=["stays", "stops"], rules=[wire.encode(heavy())]), "labelling.classes must be the label's"),
        (changed(threshold=0.5), "threshold must lie between 0.5 and 1"),
        (changed(threshold=1.0), "threshold must lie between 0.5 and 1"),
        (changed(ask_below=1.5), "ask_below must lie in"),
        (changed(rules=[]), "one rule or more"),
        (changed(rules=[wire.encode(heavy())] * 2), "each with a name of its own"),
    ],
)  # fmt: skip
def test_a_task_with_a_bad_labelling_is_refused_in_one_line(document: dict[str, Any], says: str) -> None:
    with pytest.raises(WireError, match=says) as error:
        wire.decode(Task, document)
    assert "\n" not in str(error.value)


# -- the label model ---------------------------------------------------------------------------


def made_up(rows: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, LabelModel]:
    """Classes, and the votes of six rules of very different worth."""
    random = np.random.default_rng(seed)
    truth = (random.random(rows) < 0.3).astype(np.int64)
    right, speaks = np.array([0.95, 0.9, 0.65, 0.6, 0.6, 0.55]), np.array([0.3, 0.4, 0.8, 0.7, 0.9, 0.6])
    table = np.array(
        [[[s * r, s * (1 - r), 1 - s], [s * (1 - r), s * r, 1 - s]] for r, s in zip(right, speaks, strict=True)]
    )
    draws = random.random((rows, 6, 1)) > table[np.arange(6), truth[:, None]].cumsum(axis=2)
    kinds = draws.sum(axis=2)
    return truth, np.where(kinds == 2, ABSTAINS, kinds), LabelModel(prior=np.array([0.7, 0.3]), confusion=table)


def test_fitting_finds_how_often_each_rule_errs() -> None:
    _, cast, true = made_up(40_000, seed=3)
    found = fit(cast, 2)
    np.testing.assert_allclose(found.prior, true.prior, atol=0.02)
    np.testing.assert_allclose(found.confusion, true.confusion, atol=0.03)


def test_the_label_model_beats_the_majority_vote() -> None:
    truth, cast, _ = made_up(20_000, seed=4)
    by_model = (posterior(fit(cast, 2), cast).argmax(axis=1) == truth).mean()
    by_majority = (majority(cast, 2).argmax(axis=1) == truth).mean()
    assert by_model > by_majority + 0.02


def test_the_majority_is_even_where_nobody_votes() -> None:
    assert majority(np.array([[ABSTAINS, ABSTAINS], [1, ABSTAINS], [0, 1]]), 2).tolist() == [
        [0.5, 0.5],
        [0, 1],
        [0.5, 0.5],
    ]


# -- `covey fit-labels` --------------------------------------------------------------------------


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    file = tmp_path / "machines.toml"
    file.write_text(as_toml(small_task()) + RULES)
    return file


def as_toml(task: Task) -> str:
    """The task in TOML: one inline table or value a line."""

    def written(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name} = {written(item)}" for name, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(written, value)) + "]"
        return f'"{value}"' if isinstance(value, str) else repr(value).lower()

    return "".join(f"{name} = {written(value)}\n" for name, value in wire.encode(task).items())


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    file = tmp_path / "rows.csv"
    pl.DataFrame({"load": random.random(5000), "hour": random.uniform(0, 24, 5000)}).write_csv(file)
    return file


def test_the_fitted_table_completes_the_task_file(task_file: Path, rows_file: Path) -> None:
    printed = CliRunner().invoke(app, ["fit-labels", str(task_file), str(rows_file)])
    assert printed.exit_code == 0, printed.output
    assert printed.output.startswith("# Fitted on 5000 rows: ")
    complete = tomllib.loads(as_toml(small_task()) + printed.output)
    read = wire.decode(Task, complete).labelling
    assert read is not None
    assert [one.name for one in read.rules] == ["heavy", "light", "day"]
    assert read.threshold == 0.8
    assert render(read) in printed.output


def test_rules_without_parameters_make_no_task(task_file: Path) -> None:
    with pytest.raises(WireError, match="lacks the fields"):
        wire.from_toml(Task, task_file.read_bytes())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[labelling]", "[labels]"), "unknown fields|no .labelling. table"),
        (("value = 0.7", "value = 7.0"), "'heavy' votes on none of these rows"),
        (('operator = "<", value = 12.0', 'operator = "known"'), "'day' votes on each of these rows"),
        (('column = "hour"', 'column = "minute"'), "no feature reads the column 'minute'"),
        (('vote = "runs"', 'vote = "walks"'), "'light' votes for 'walks'"),
        (("[[labelling.rules]]", "[labelling.rules]"), "cannot|declare|overwrite|TOML|list"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_said_in_one_line(
    task_file: Path, rows_file: Path, change: tuple[str, str], says: str
) -> None:
    task_file.write_text(task_file.read_text().replace(*change))
    with pytest.raises(InputError, match=says):
        fit_labels(task_file, rows_file)


def test_missing_files_are_named(task_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows .*nowhere.csv cannot be used"):
        fit_labels(task_file, tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"task file .*nowhere.toml cannot be read"):
        fit_labels(tmp_path / "nowhere.toml", task_file)


def test_rows_without_a_column_are_refused(task_file: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("load\n0.5\n")
    with pytest.raises(InputError, match="hour"):
        fit_labels(task_file, tmp_path / "rows.csv")


def test_classes_are_the_labels() -> None:
    labelling = labelled_task().labelling
    assert isinstance(labelling, Labelling)
    assert labelling.classes == CLASSES == labelled_task().label.classes
