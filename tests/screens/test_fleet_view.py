"""The fleet: what each device says in a row, in a panel and on its page, what queries know of it, and how little is drawn."""

from dataclasses import replace
from pathlib import Path

import pytest
from screens import story
from screens.conftest import Open, settled, text_of, until

from server.config import Federation
from server.records import DeviceHealth
from server.tui import fleet as fleet_view
from server.tui.app import CoveyApp
from server.tui.devicefacts import facts
from server.tui.devicepage import device_page, misses, ranges
from server.tui.devicerows import COLUMNS, FIELDS, Fleet, Known, cells_of, fleet_of
from server.tui.firststeps import first_steps
from server.tui.layout import fit
from server.tui.lazy import Fields
from server.tui.listing import plain
from server.tui.news import Changed
from server.tui.query import matches, parse
from server.tui.table import Cell, Table
from server.tui.watcher import Reader, Snapshot
from server.tui.words import micros
from shared.health import Health
from shared.signing import key_fingerprint


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    home = tmp_path_factory.mktemp("story") / "home"
    story.tell(home).close()
    reader = Reader(Federation(home))
    found = reader.read()
    reader.close()
    return found


@pytest.fixture
def fleet(snapshot: Snapshot) -> Fleet:
    return fleet_of(snapshot)


def row(fleet: Fleet, name: str) -> dict[str, str]:
    """A device's cells, by their columns' names."""
    cells = cells_of(fleet.of(fleet.by_name[name]), story.NOW)
    return {column.word or plain(column.title): plain(cell) for column, cell in zip(COLUMNS, cells, strict=True)}


# -- rows ---------------------------------------------------------------------------------------------


def test_a_row_says_what_the_device_runs_refused_spent_affords_and_how_that_fares(fleet: Fleet) -> None:
    said = row(fleet, "JFK-AA")
    assert said["state"] == "● online"
    assert said["version"] == "r1 v12"
    assert said["why"] == "consent"
    assert said["epsilon"] == f"{fleet.spent['JFK-AA'].epsilon:.2f}"
    assert (said["afford"], said["health"], said["p95"]) == ("0", "✓ serves", "12 µs")
    assert said["owner"] == "kennedy"


def test_what_an_owner_does_not_tell_is_a_dash_and_not_a_nought(fleet: Fleet) -> None:
    assert row(fleet, "LGA-DL")["afford"] == "-"
    assert row(fleet, "PHL-AA")["health"] == "-"


def test_health_is_of_the_release_that_the_device_runs(snapshot: Snapshot) -> None:
    crash = DeviceHealth(device="EWR-B6", at=story.NOW, health=Health(task="flights", release=2, verdict="crashed"))
    fleet = fleet_of(replace(snapshot, health=(*snapshot.health, crash)))
    assert row(fleet, "EWR-B6")["health"] == "✓ serves"
    moved = tuple(replace(each, release=2) if each.name == "EWR-B6" else each for each in snapshot.devices)
    fleet = fleet_of(replace(snapshot, devices=moved, health=(*snapshot.health, crash)))
    assert (row(fleet, "EWR-B6")["health"], row(fleet, "EWR-B6")["p95"]) == ("! crashed", "-")


def test_who_waits_comes_first_and_who_is_shut_out_last(fleet: Fleet) -> None:
    assert (fleet.devices[0].name, fleet.devices[-1].name) == ("PHL-AA", "BOS-WN")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (75, ["name", "state", "version", "seen", "why", "epsilon", "health", "p95"]),
        (60, ["name", "state", "version", "seen", "why", "epsilon"]),
        (20, ["name"]),
    ],
)
def test_the_least_important_columns_go_first(width: int, shown: list[str]) -> None:
    assert [COLUMNS[index].word for index, _ in fit(COLUMNS, width)] == shown


@pytest.mark.parametrize(
    ("microseconds", "said"),
    [(9, "9 µs"), (999, "999 µs"), (1840, "1.8 ms"), (240_000, "240 ms"), (3_100_000, "3.1 s")],
)
def test_a_time_fits_six_cells(microseconds: int, said: str) -> None:
    assert micros(microseconds) == said


# -- queries ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state:away", {"LGA-MQ"}),
        ("state:refused", {"JFK-AA"}),
        ("why:budget", {"LGA-MQ"}),
        ("version:21 health:not", {"JFK-B6"}),
        ("release:<2 owner:newark", {"EWR-B6", "EWR-DL"}),
        ("afford:0", {"JFK-AA"}),
        ("afford:>=2", {"EWR-B6", "EWR-UA", "JFK-B6"}),
        ("p95:>13µs", {"LGA-MQ"}),
        ("epsilon:<3", {"LGA-MQ"}),
        ("seen:>10min state:away", {"LGA-MQ"}),
        ("seen:1min -owner:newark", {"JFK-AA", "JFK-B6", "JFK-DL", "LGA-DL"}),
        ("name:lga seen:1min", {"LGA-DL"}),
    ],
)
def test_queries_find_devices(fleet: Fleet, query: str, found: set[str]) -> None:
    asked = parse(query, tuple(FIELDS))
    rows = {device.name: Fields(FIELDS, fleet.of(device), story.NOW) for device in fleet.devices}
    assert {name for name, fields in rows.items() if matches(asked, fields)} == found


def test_every_column_with_a_name_can_be_searched() -> None:
    assert {column.word for column in COLUMNS if column.word} <= set(FIELDS)


def test_a_field_is_worked_out_only_when_it_is_asked_for(fleet: Fleet) -> None:
    asked: list[str] = []
    tells = {"name": lambda known, _: known.device.name, "dear": lambda _, __: asked.append("dear")}
    fields = Fields(tells, fleet.of(fleet.devices[0]), story.NOW)
    assert fields.get("name") == "PHL-AA"
    assert (list(fields), asked) == (["name", "dear"], [])


# -- panel and page -----------------------------------------------------------------------------------


def test_who_waits_shows_the_key_to_compare_and_what_to_press(fleet: Fleet) -> None:
    device = fleet.by_name["PHL-AA"]
    said = facts(fleet.of(device), story.NOW, 78, acts=True).plain
    assert "a lets it take part, X shuts it out" in said
    assert key_fingerprint(device.public_key) in said
    assert len(said.splitlines()) <= 5
    assert "lets it take part" not in facts(fleet.of(device), story.NOW, 78, acts=False).plain


@pytest.mark.parametrize("name", [*story.FLEET, "PHL-AA", "BOS-WN"])
@pytest.mark.parametrize("width", [36, 76, 120])
def test_nothing_is_wider_than_its_room(fleet: Fleet, snapshot: Snapshot, name: str, width: int) -> None:
    known = fleet.of(fleet.by_name[name])
    for said in (facts(known, story.NOW, width, acts=True), device_page(known, snapshot, story.NOW, width, acts=True)):
        assert max(each.cell_length for each in said.split("\n")) <= width


def test_a_page_tells_every_refusal_with_its_rounds_and_time(fleet: Fleet, snapshot: Snapshot) -> None:
    said = device_page(fleet.of(fleet.by_name["LGA-MQ"]), snapshot, story.NOW, 100, acts=True).plain
    assert "budget  4 times, the last 1 d ago" in said
    assert "its owner's budget does not cover the plan" in said
    assert "run 1, rounds 17 to 20" in said
    assert f"ε {fleet.spent['LGA-MQ'].epsilon:.2f} of 8" in said
    assert "its budget does not cover the plan, as it last said" in said
    assert "only our ceiling leaves room for" in said
    assert "95 % within 16 µs  told 1 d ago  runs it" in said
    assert key_fingerprint(fleet.by_name["LGA-MQ"].public_key) in said


def test_a_page_tells_failures_apart_from_refusals(fleet: Fleet, snapshot: Snapshot) -> None:
    said = device_page(fleet.of(fleet.by_name["EWR-DL"]), snapshot, story.NOW, 100, acts=True).plain
    assert said.index("it never refused") < said.index("Failed") < said.index("no answer in time  1 time")


def test_misses_are_those_of_one_device_oldest_first(snapshot: Snapshot) -> None:
    rounds = [result for run in snapshot.runs for result in snapshot.rounds[run.id]]
    found = misses("LGA-MQ", ((result, result.refusals) for result in rounds))
    assert [each.number for each in found] == [17, 18, 19, 20]
    assert [each.at for each in found] == sorted(each.at for each in found)


@pytest.mark.parametrize(
    ("numbers", "said"), [([3], "3"), ([3, 4], "3 to 4"), ([3, 17, 18, 19, 20], "3, 17 to 20"), ([1, 3], "1, 3")]
)
def test_neighbours_are_put_together(numbers: list[int], said: str) -> None:
    assert ranges(numbers) == said


def test_the_first_step_is_ticked_once_a_coordinator_runs() -> None:
    assert "starts the coordinator, which devices talk to · next" in first_steps(serving=False).plain
    said = first_steps(serving=True).plain
    assert "starts the coordinator, which devices talk to · done" in said
    assert "prints an invitation, good for one device · next" in said


# -- on screen ----------------------------------------------------------------------------------------


async def test_a_new_federation_says_how_the_first_device_joins(opened: Open, empty: Path) -> None:
    async with opened(empty).run_test(size=(80, 24)) as pilot:
        said = text_of(await settled(pilot))
        assert all(step in said for step in ("covey serve", "covey invite", "covey-agent join INVITATION"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_panel_follows_the_cursor_and_shows_all_where_there_is_room(
    opened: Open, told: Path, size: tuple[int, int]
) -> None:
    async with opened(told).run_test(size=size) as pilot:
        app = await settled(pilot)
        assert "waits for you" in text_of(app)
        await pilot.press("j", "j", "j", "j")
        await until(pilot, lambda: "24 of 26" in text_of(app))
        assert ("Health on made-up records" in text_of(app)) == (size[0] == 200)
        assert ("enter shows all" in text_of(app)) == (size[0] != 200)


async def test_enter_opens_a_devices_page_and_escape_leads_back(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("slash", *"why:budget", "enter", "enter")
        await until(pilot, lambda: "Fleet ▸ LGA-MQ" in text_of(app))
        assert "run 1, rounds 17 to 20" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: "Fleet ▸ LGA-MQ" not in text_of(app))


async def test_of_ten_thousand_devices_only_those_in_sight_become_rows(
    opened: Open, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert app.snapshot is not None
        one = next(device for device in app.snapshot.devices if device.name == "EWR-B6")
        many = tuple(replace(one, name=f"device-{number:05d}") for number in range(10_000))
        made: list[str] = []

        def noted(known: Known, now: float) -> tuple[Cell, ...]:
            made.append(known.device.name)
            return cells_of(known, now)

        monkeypatch.setattr(fleet_view, "cells_of", noted)
        app.take(Changed(replace(app.snapshot, devices=many)))
        await until(pilot, lambda: "device-00000" in text_of(app))
        await pilot.press("G")
        await until(pilot, lambda: "device-09999" in text_of(app))
        assert len(set(made)) < 100
        assert len(app.query_one("#devices", Table).keys) == 10_000


async def test_a_read_only_terminal_names_no_key_that_acts(told: Path) -> None:
    app = CoveyApp(told, clock=lambda: story.NOW, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert "waits for an operator" in text_of(app)
