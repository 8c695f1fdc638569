"""The contract: a record and a table are judged alike, one row more changes no other row, and what is broken is kept aside."""

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import machine_rows, small_task

from client.contract import BROKEN, first_broken
from client.dataset import read_columns, read_examples
from shared import wire
from shared.contract import Breach, Contract, NumberRule, WordRule, judge
from shared.errors import ContractError, WireError
from shared.tasks import Task, Window

CONTRACT = Contract(
    columns=(
        NumberRule(name="load", low=0.0, high=1.0, nulls=False),
        NumberRule(name="hour", high=24.0),
        WordRule(name="site", values=("north", "south"), nulls=False),
        WordRule(name="note", values=("x",)),
        NumberRule(name="free"),
    )
)
FIELDS = ("load", "hour", "site", "note", "free")
TASK = small_task(contract=replace(CONTRACT, columns=CONTRACT.columns[:3]))
NOW = datetime(2026, 2, 1, tzinfo=UTC)

floats = st.one_of(
    st.none(), st.floats(width=64), st.floats(-1, 2), st.sampled_from([0.0, -0.0, 1.0, 24.0, float("nan"), 1.0000001])
)
words = st.one_of(st.none(), st.sampled_from(["north", "south", "x", "", "North", " "]), st.text(max_size=3))
records = st.fixed_dictionaries({"load": floats, "hour": floats, "site": words, "note": words, "free": floats})
SCHEMA = {"load": pl.Float64, "hour": pl.Float64, "site": pl.String, "note": pl.String, "free": pl.Float64}


def judged(frame: pl.DataFrame, contract: Contract = CONTRACT) -> list[int | None]:
    return frame.select(first_broken(contract, frame.columns, now=NOW))[BROKEN].to_list()


def as_rule(breach: Breach | None) -> int | None:
    if breach is None:
        return None
    return [(rule.column, rule.kind) for rule in CONTRACT.row_rules].index((breach.field, breach.rule))


@settings(max_examples=100, deadline=None)
@given(table=st.lists(records, min_size=1, max_size=5))
def test_a_record_and_a_table_are_judged_alike(table: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(table, schema=SCHEMA)
    assert judged(frame) == [as_rule(judge(CONTRACT, record, fields=FIELDS)) for record in table]


@settings(max_examples=50, deadline=None)
@given(table=st.lists(records, min_size=1, max_size=4))
def test_numbers_written_as_words_are_judged_as_the_numbers_they_say(table: list[dict[str, Any]]) -> None:
    """As in a CSV file, where a word that says no number is one where a number belongs."""
    frame = pl.DataFrame([record | {"free": "1,5"} for record in table], schema={**SCHEMA, "free": pl.String})
    texts = frame.with_columns(pl.col("load", "hour").cast(pl.String))
    expected = [judge(CONTRACT, record | {"free": "1,5"}, fields=FIELDS) for record in table]
    assert judged(texts) == [as_rule(breach) for breach in expected]
    assert None not in judged(texts)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"load": None}, "load must be given"),
        ({"load": float("nan")}, "load must be given"),
        ({"load": 1.5}, "load must lie between 0 and 1, got 1.5"),
        ({"load": "0.5"}, "load must be a number, got '0.5'"),
        ({"load": True}, "load must be a number, got True"),
        ({"hour": 25}, "hour must lie at or below 24, got 25"),
        ({"site": "west"}, "site must be one of ['north', 'south'], got 'west'"),
        ({"site": "w" * 99}, "site must be one of ['north', 'south'], got 'www"),
        ({"free": 10**400}, None),
        ({}, None),
    ],
)
def test_a_breach_names_the_field_and_says_what_is_wrong(change: dict[str, Any], says: str | None) -> None:
    record = {"load": 0.5, "hour": 3, "site": "north", "note": None, "free": None} | change
    found = judge(CONTRACT, record, fields=FIELDS)
    assert (found is None) if says is None else (found is not None and found.says.startswith(says))


def test_a_record_is_judged_by_the_fields_of_the_model_alone() -> None:
    assert judge(CONTRACT, {"hour": 3.0, "site": "north"}, fields=("hour", "site")) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('columns = [{kind = "number", name = "load", low = 2.0, high = 1.0}]', "low must not be above high"),
        ('columns = [{kind = "number", name = "a"}, {kind = "word", name = "a"}]', "names a column twice"),
        ('columns = [{kind = "date", name = "a"}]', "kind must be one of"),
        ('columns = [{kind = "number", name = "a", lowest = 1.0}]', "unknown fields"),
        ("noise_multiplier = 0.0", "noise_multiplier must be positive"),
        ("max_age_days = 0.0", "max_age_days must be positive"),
    ],
)
def test_a_contract_that_says_nothing_clear_is_refused(text: str, says: str) -> None:
    with pytest.raises(WireError, match=says):
        wire.from_toml(Contract, text.encode())


@pytest.mark.parametrize(
    ("contract", "says"),
    [
        (Contract(columns=(WordRule(name="load"),)), "words where features say numbers"),
        (Contract(columns=(NumberRule(name="site"),)), "or the reverse"),
    ],
)
def test_a_contract_that_contradicts_the_features_is_refused(contract: Contract, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        small_task(contract=contract)
    with pytest.raises(ValueError, match="needs the task's timestamp"):
        small_task(contract=Contract(max_age_days=1.0), timestamp=None)


def test_a_task_of_before_has_an_empty_contract() -> None:
    """It is not written either, so the owner's consent to such a task stays one to the same bytes."""
    document = wire.encode(small_task())
    assert "contract" not in document
    assert wire.decode(Task, document).contract == Contract()
    assert wire.from_json(Task, wire.to_json(TASK)) == TASK
    assert Contract().rules == ()


# -- rows that break it ----------------------------------------------------------------------


def test_a_bad_row_is_never_trained_on_and_lies_beside_the_data_with_its_reasons(tmp_path: Path) -> None:
    rows = machine_rows(20).with_columns(
        load=pl.when(pl.int_range(20) == 3).then(7.0).otherwise("load"),
        site=pl.when(pl.int_range(20).is_in([3, 5])).then(pl.lit("west")).otherwise("site"),
    )
    rows.write_parquet(tmp_path / "a.parquet")
    found = read_examples(tmp_path / "a.parquet", TASK, Window())
    assert len(found.labels) == 18
    assert len(read_columns(tmp_path / "a.parquet", TASK, Window())[1]) == 18
    aside = tmp_path / "a.parquet.machines.quarantine.parquet"
    kept = pl.read_parquet(aside)
    assert kept["file"].to_list() == ["a.parquet"] * 2
    assert kept["row"].to_list() == [4, 6]
    assert kept["reasons"].to_list() == [
        "load outside its range; site not a declared word", "site not a declared word",
    ]  # fmt: skip
    assert kept["load"].to_list()[0] == 7.0
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", aside.name]


def test_a_csv_files_bad_lines_are_named_by_their_numbers(tmp_path: Path) -> None:
    lines = [
        "load,hour,site,stops,at", "0.5,1,north,1,2026-01-02", "9,1,north,1,2026-01-02", "",
        '0.5,1,"nor"th,1,2026-01-02', "0.5,one,south,0,2026-01-02", '0.5,1,"south",0,2026-01-02',
    ]  # fmt: skip
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    assert len(read_examples(tmp_path / "a.csv", TASK, Window()).labels) == 2
    kept = pl.read_parquet(tmp_path / "a.csv.machines.quarantine.parquet")
    assert dict(zip(kept["row"], kept["reasons"], strict=True)) == {
        3: "load outside its range", 5: "quotes do not match", 6: "hour not a number",
    }  # fmt: skip


def test_the_quarantine_is_the_same_each_time_and_goes_once_the_rows_are_mended(tmp_path: Path) -> None:
    data, aside = tmp_path / "a.parquet", tmp_path / "a.parquet.machines.quarantine.parquet"
    machine_rows(5).with_columns(load=pl.lit(3.0)).write_parquet(data)
    read_examples(data, TASK, Window())
    first = aside.stat()
    read_examples(data, TASK, Window(start="2026-01-03"))
    assert (aside.stat().st_ino, aside.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    machine_rows(5).write_parquet(data)
    read_examples(data, TASK, Window())
    assert not aside.exists()


def test_an_old_row_breaks_the_contract_by_its_own_timestamp(tmp_path: Path) -> None:
    task = small_task(contract=Contract(max_age_days=30.0))
    now = datetime.now(UTC).replace(tzinfo=None)
    ages = pl.Series("at", [now - timedelta(days=days) for days in (0, 29, 31, 400)], dtype=pl.Datetime("us"))
    machine_rows(4).with_columns(ages).write_parquet(tmp_path / "a.parquet")
    assert len(read_examples(tmp_path / "a.parquet", task, Window()).labels) == 2
    machine_rows(4).with_columns(ages.cast(pl.String).str.replace(r" .*", "x")).write_csv(tmp_path / "b.csv")
    assert len(read_examples(tmp_path / "b.csv", task, Window()).labels) == 0


def test_a_repeated_key_decides_nothing(tmp_path: Path) -> None:
    """Rule 3: uniqueness looks across rows."""
    rows = machine_rows(6).with_columns(site=pl.lit("north"))
    rows.write_parquet(tmp_path / "a.parquet")
    task = small_task(contract=Contract(unique=("site",)))
    assert len(read_examples(tmp_path / "a.parquet", task, Window()).labels) == 6


def test_a_column_that_only_the_contract_names_is_needed(tmp_path: Path) -> None:
    machine_rows(3).write_parquet(tmp_path / "a.parquet")
    task = small_task(contract=Contract(columns=(NumberRule(name="weight"),), unique=("serial",)))
    with pytest.raises(ContractError, match=r"lacks the columns \['weight', 'serial'\]"):
        read_examples(tmp_path / "a.parquet", task, Window())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    load=st.one_of(st.none(), st.floats(width=32)), site=st.sampled_from(["north", "west", "", None]),
    place=st.integers(0, 8),
)  # fmt: skip
def test_one_row_more_changes_no_other_under_a_contract(
    tmp_path: Path, load: float | None, site: str | None, place: int
) -> None:
    less = machine_rows(8)
    extra = less.head(1).with_columns(pl.lit(load, pl.Float64).alias("load"), pl.lit(site, pl.String).alias("site"))
    task = replace(TASK, contract=replace(TASK.contract, unique=("site",)))
    pl.concat([less.head(place), extra, less.tail(8 - place)]).write_parquet(tmp_path / "more.parquet")
    less.write_parquet(tmp_path / "less.parquet")
    more, fewer = (read_examples(tmp_path / name, task, Window()).inputs for name in ("more.parquet", "less.parquet"))
    good = judge(task.contract, {"load": load, "hour": 1.0, "site": site}, fields=("load", "hour", "site")) is None
    assert len(more) == 8 + good
    assert np.array_equal(np.delete(more, place, axis=0) if good else more, fewer)
