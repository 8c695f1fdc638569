"""The screen and the rows shown become files that say what was on screen."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens.conftest import Open, settled, text_of, until

from server.tui.export import as_csv, as_json, file_name, write
from shared.errors import InputError

VALUES = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=["C"])), st.floats(allow_nan=False, allow_infinity=False)
)
ROWS = st.lists(st.fixed_dictionaries({"name": VALUES, "state": VALUES, "epsilon": VALUES}), min_size=1, max_size=5)


@pytest.mark.parametrize(("letter", "form"), [("c", "csv"), ("j", "json"), ("s", "svg")])
async def test_e_writes_what_is_shown(
    opened: Open, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letter: str, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("slash", *"name:ewr", "enter", "e")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press(letter)
        file = tmp_path / f"covey-fleet{'' if form == 'svg' else '-devices'}-20260101-000000.{form}"
        await until(pilot, file.exists)
        await until(pilot, lambda: file.name in " ".join(note.message for note in app._notifications))
    names = {
        "csv": lambda: [row["name"] for row in csv.DictReader(file.read_text("utf-8").splitlines())],
        "json": lambda: [row["name"] for row in json.loads(file.read_text(encoding="utf-8"))],
        "svg": lambda: [name for name in ("EWR-B6", "EWR-DL", "EWR-UA", "LGA-MQ") if name in file.read_text("utf-8")],
    }[form]()
    assert names == ["EWR-B6", "EWR-DL", "EWR-UA"]


async def test_a_file_that_is_there_is_not_overwritten(opened: Open, told: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("precious", encoding="utf-8")
    async with opened(told).run_test(size=(200, 40)) as pilot:
        app = await settled(pilot)
        app.open_command(f"export csv {file}")
        await pilot.press("enter")
        await until(pilot, lambda: "is there already; name another file" in text_of(app))
    assert file.read_text(encoding="utf-8") == "precious"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write(tmp_path / "nowhere" / "fleet.csv", "name\n")


@given(ROWS)
def test_rows_come_back_out_of_json(rows: list[dict[str, str | float | None]]) -> None:
    assert json.loads(as_json(rows)) == rows


@given(ROWS)
def test_rows_come_back_out_of_csv(rows: list[dict[str, str | float | None]]) -> None:
    read = list(csv.DictReader(as_csv(rows).splitlines(keepends=True)))
    assert read == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def test_a_name_says_view_table_and_moment() -> None:
    assert file_name("Fleet", "", "svg", 0.0) == "covey-fleet-19700101-000000.svg"
    assert file_name("Rounds", "runs", "csv", 0.0) == "covey-rounds-runs-19700101-000000.csv"
    assert file_name("Audit", "audit", "json", 0.0) == "covey-audit-19700101-000000.json"
