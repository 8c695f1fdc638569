"""Outcomes from a file: each row is read by itself; a bad one is named, counted, and spoils no other."""

import json
from pathlib import Path

import polars as pl
import pytest
from machines import small_task
from predicted import prediction_log, served

from client.outcomes import Imported, check_label, import_outcomes
from client.predictions import PredictionLog
from shared.errors import InputError

TASK = small_task()


def imported(folder: Path, name: str, content: bytes) -> tuple[Imported, dict[str, str | None]]:
    (folder / name).write_bytes(content)
    with prediction_log(folder) as log:
        log.add([served(number) for number in range(4)])
        return import_outcomes(log, TASK, folder / name), labels(log)


def labels(log: PredictionLog) -> dict[str, str | None]:
    return {one.id[-1]: one.label for one in log.recent(9) if one.label}


def test_a_csv_file_joins_and_names_its_bad_lines(tmp_path: Path) -> None:
    lines = [
        b"\xef\xbb\xbfwho,id,label", b"a,prediction-0,stops", b'b,prediction-1,"runs', b"", b"c,prediction-1,walks",
        b"d,prediction-2,", b"e,,runs", b"f,prediction-2", b'"g, h","prediction-2",0.75', b"\xff,prediction-3,runs",
        b"i,elsewhere,runs",
    ]  # fmt: skip
    found, joined = imported(tmp_path, "a.csv", b"\r\n".join(lines))
    assert joined == {"0": "stops", "2": "0.75"}
    assert found == Imported(
        joined=2,
        waiting=1,
        bad=6,
        reasons=(
            "a.csv, line 3 does not have 3 fields",
            "a.csv, line 5: label 'walks' is no outcome of task 'machines'; it knows ['runs', 'stops']",
            "a.csv, line 6 has no label",
            "a.csv, line 7 has no id",
            "a.csv, line 8 does not have 3 fields",
            "a.csv, line 10 does not have 3 fields",
        ),
    )


def test_json_lines_join_and_name_their_bad_lines(tmp_path: Path) -> None:
    rows = [
        {"id": "prediction-0", "label": "stops", "more": 1},
        {"id": "prediction-1", "label": 0.25},
        {"id": 5, "label": 1},
    ]
    lines = [*(json.dumps(row).encode() for row in rows), b"[1]", b"{", b"[" * 100_000, b'{"id": "x", "label": []}']
    found, joined = imported(tmp_path, "a.jsonl", b"\n".join(lines))
    assert joined == {"0": "stops", "1": "0.25"}
    assert (found.joined, found.waiting, found.bad) == (2, 0, 5)
    assert found.reasons[:3] == (
        "a.jsonl, line 3 has no id",
        *(f"a.jsonl, line {n} is not a JSON object" for n in (4, 5)),
    )


@pytest.mark.parametrize(("column", "expected"), [(["stops", None, "x"], "stops"), ([1.0, None, float("nan")], "1.0")])
def test_a_parquet_file_joins_words_and_numbers(tmp_path: Path, column: list[object], expected: str) -> None:
    ids = [f"prediction-{number}" for number in range(3)]
    pl.DataFrame({"id": ids, "label": column}).write_parquet(tmp_path / "b.parquet")
    found, joined = imported(tmp_path, "a.parquet", (tmp_path / "b.parquet").read_bytes())
    assert joined == {"0": expected}
    assert (found.joined, found.bad) == (1, 2)
    assert found.reasons[0] == "a.parquet, row 2 has no label"


def test_a_long_file_is_joined_whole_and_names_a_few_of_its_bad_lines(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(number) for number in range(2500)])
        lines = ["id,label", *(f"prediction-{n},{'runs' if n % 10 else 'walks'}" for n in range(2500))]
        (tmp_path / "a.csv").write_text("\n".join(lines))
        found = import_outcomes(log, TASK, tmp_path / "a.csv")
        assert (found.joined, found.waiting, found.bad, len(found.reasons)) == (2250, 0, 250, 20)
        assert len(list(log.unlabelled())) == 250


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", "must end in .csv, .jsonl or .parquet"),
        ("a.csv", b"", "must name the columns id and label in its first line"),
        ("a.csv", b"id,outcome\n", "must name the columns id and label"),
        ("a.csv", b"\xff\n", "must name the columns id and label"),
        ("a.parquet", b"PAR1", "cannot be read: "),
    ],
)
def test_a_file_that_holds_no_outcomes_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=f"outcomes file .*{name} {words}"):
        imported(tmp_path, name, content)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_file_that_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with prediction_log(tmp_path) as log, pytest.raises(InputError, match=f"{name} cannot be read: No such file"):
        import_outcomes(log, TASK, tmp_path / name)


def test_an_outcome_is_checked_before_it_is_taken() -> None:
    assert [check_label(TASK, label) for label in ("stops", 0.5, 1, True)] == ["stops", "0.5", "1", "1"]
    for label in ("walks", None, [], float("nan")):
        with pytest.raises(InputError, match="is no outcome of task 'machines'"):
            check_label(TASK, label)
