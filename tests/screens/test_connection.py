"""A store that goes, a coordinator that goes, and terminals that change their size without rest."""

import random
import sqlite3
from pathlib import Path

import pytest
from screens import story
from screens.conftest import Open, settled, text_of, until
from textual.color import Color
from textual.widget import Widget

from server.config import Federation
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.header import Banner
from shared.lock import only_one


async def test_a_store_that_goes_away_is_told_greyed_and_found_again(opened: Open, told: Path) -> None:
    database = Federation(told).database
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await until(pilot, lambda: "LGA-MQ" in text_of(app))
        before = colours(app)
        database.rename(told / "elsewhere.db")
        await until(pilot, lambda: "The store cannot be read" in text_of(app))
        said = text_of(app)
        assert paler(colours(app), before)
        assert "✕ store unreadable" in said
        assert "EWR-UA" in said
        assert app.query_one("#views").has_class("-stale")
        (told / "elsewhere.db").rename(database)
        await until(pilot, lambda: not app.query_one(Banner).display)
        assert not app.query_one("#views").has_class("-stale")
        assert colours(app) == before
        assert "The store can be read again." in [note.message for note in app._notifications]


@pytest.mark.parametrize("view", "1234567")  # the eighth shows files, and the story has none
@pytest.mark.parametrize("theme", ["covey-dark", "covey-light"])
async def test_all_of_a_view_is_greyed_while_its_store_is_gone(opened: Open, told: Path, view: str, theme: str) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        app.theme = theme
        await pilot.press(view)
        await pilot.pause(0.3)
        before = colours(app)
        Federation(told).database.rename(told / "elsewhere.db")
        await until(pilot, lambda: "The store cannot be read" in text_of(app))
        assert paler(colours(app), before)


async def test_a_store_put_back_from_a_backup_is_read_anew(opened: Open, told: Path) -> None:
    database = Federation(told).database
    copy = told / "copy.db"
    with sqlite3.connect(database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    other = Store(copy)
    other.set_device_state("PHL-AA", "approved")
    other._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        for ending in ("-wal", "-shm"):
            database.with_name(database.name + ending).unlink(missing_ok=True)
        copy.replace(database)
        await until(
            pilot, lambda: app.snapshot and {d.name: d.state for d in app.snapshot.devices}["PHL-AA"] == "approved"
        )


async def test_the_terminal_waits_for_a_store_that_is_not_there_yet(opened: Open, told: Path) -> None:
    database = Federation(told).database
    database.rename(told / "elsewhere.db")
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = pilot.app
        await until(pilot, lambda: "cannot be found" in text_of(app))  # type: ignore[arg-type]
        assert not database.exists()
        (told / "elsewhere.db").rename(database)
        await until(pilot, lambda: "EWR-UA" in text_of(app))  # type: ignore[arg-type]


async def test_a_coordinator_that_goes_is_told_and_welcomed_back(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert not app.query_one(Banner).display
        with only_one(Federation(told).lock, what="a coordinator"):
            await until(pilot, lambda: "● serving" in text_of(app))
            assert not app.query_one(Banner).display
        await until(pilot, lambda: "The coordinator is gone, run 5 stands still" in text_of(app))
        with only_one(Federation(told).lock, what="a coordinator"):
            await until(pilot, lambda: not app.query_one(Banner).display)
            assert "The coordinator is back." in [note.message for note in app._notifications]


async def test_a_storm_of_sizes_ends_in_a_right_screen(opened: Open, told: Path) -> None:
    draw = random.Random(7)
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await until(pilot, lambda: "? Help" in text_of(app) and "PHL-AA" in text_of(app))
        await pilot.pause(0.3)
        calm = text_of(app)
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        for _ in range(60):
            await pilot.resize_terminal(draw.randint(20, 220), draw.randint(6, 70))
        await pilot.press("2", "1")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: text_of(app) == calm)


async def test_a_view_under_way_survives_a_store_that_writes_and_goes(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "Fleet ▸ EWR-B6" in text_of(app))
        store = Store(Federation(told).database)
        store.touch_device("EWR-B6", at=story.NOW - 50, bytes_up=1, bytes_down=1)
        store.close()
        await until(pilot, lambda: "seen 50 s ago" in text_of(app))


def colours(app: CoveyApp) -> dict[Widget, set[tuple[Color, Color]]]:
    """The colours of the letters, and of the ground below each, of each widget in sight, as they are drawn."""
    return {
        widget: seen
        for widget in app.require_view().walk_children(Widget)
        if not widget.children and widget.display and widget.region.area and (seen := drawn(widget))
    }


def drawn(widget: Widget) -> set[tuple[Color, Color]]:
    segments = [segment for strip in widget.render_lines(widget.size.region) for segment in strip]
    return {
        (Color.from_rich_color(each.style.color), Color.from_rich_color(each.style.bgcolor))
        for each in segments
        if each.style and each.style.color and each.style.bgcolor and each.text.strip()
    }


def paler(after: dict[Widget, set[tuple[Color, Color]]], before: dict[Widget, set[tuple[Color, Color]]]) -> bool:
    """Whether every widget's letters stand out from their ground by no more than half of what they did."""
    return bool(before) and all(contrast(after[widget]) <= contrast(seen) / 2 for widget, seen in before.items())


def contrast(seen: set[tuple[Color, Color]]) -> float:
    """By how much the clearest letter differs from its ground, from 0 to 1."""
    return max(abs(letter.brightness - ground.brightness) for letter, ground in seen)
