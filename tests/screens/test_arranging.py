"""Thousands of rows are searched and ordered beside the keys, with the same outcome as at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from screens.conftest import Open, settled, text_of, until

from server.tui.app import CoveyApp
from server.tui.arranging import TURN, arranging, at_once, in_turns
from server.tui.listing import Listing, Order
from server.tui.news import Changed
from server.tui.query import parse
from server.tui.table import AT_ONCE, Table

MANY = AT_ONCE + 500
NUMBERS = st.lists(st.one_of(st.none(), st.integers(0, 99)), max_size=3 * TURN)


def listing(numbers: Sequence[int | None]) -> Listing:
    return Listing(
        items=list(enumerate(numbers)), key=lambda item: str(item[0]), cells=lambda item: (str(item[1]),),
        fields=lambda item: {"number": item[1]},
    )  # fmt: skip


@given(NUMBERS, st.booleans())
def test_turns_change_nothing(numbers: list[int | None], falling: bool) -> None:
    rows, query, order = listing(numbers), parse("-number:>90", ["number"]), Order(name="number", falling=falling)
    found = at_once(arranging(rows, query, order))
    assert asyncio.run(in_turns(arranging(rows, query, order))) == found
    said = [(place, number) for place, number in enumerate(numbers) if number is not None and number <= 90]
    silent = [(place, None) for place, number in enumerate(numbers) if number is None]
    assert list(found) == [*sorted(said, key=lambda item: item[1], reverse=falling), *silent]


def test_other_work_has_its_turns() -> None:
    seen: list[str] = []

    async def other() -> None:
        for _ in range(3):
            seen.append("other")
            await asyncio.sleep(0)

    async def both() -> None:
        beside = asyncio.create_task(other())
        await in_turns(arranging(listing([1] * 4 * TURN), parse("number:1", ["number"]), Order()))
        seen.append("arranged")
        await beside

    asyncio.run(both())
    assert seen == ["other"] * 3 + ["arranged"]


def grown(app: CoveyApp, *, release: int) -> Changed:
    """The story's federation with many devices more; every hundredth runs another release."""
    assert app.snapshot is not None
    one = app.snapshot.devices[0]
    many = [
        replace(one, name=f"device-{place:05d}", release=release if place % 100 == 0 else 1) for place in range(MANY)
    ]
    return Changed(replace(app.snapshot, devices=tuple(many)))


async def test_a_large_fleet_is_searched_and_ordered_and_follows_the_store(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        devices = app.query_one("#devices", Table)
        app.take(grown(app, release=9))
        await pilot.press("j", "j", "slash", *"release:9", "enter")
        await until(pilot, lambda: f"{MANY // 100} of {MANY}" in text_of(app))
        assert devices.keys[:2] == ["device-00000", "device-00100"]
        await pilot.press("o", "O")
        await until(pilot, lambda: devices.keys[0] == f"device-{MANY - 100:05d}")
        app.take(grown(app, release=8))
        await until(pilot, lambda: not devices.keys)
        await pilot.press("escape")
        await until(pilot, lambda: len(devices.keys) == MANY)


async def test_what_is_typed_meanwhile_wins(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        devices = app.query_one("#devices", Table)
        app.take(grown(app, release=9))
        for typed in ("name~0", "name~00", "name~0012"):
            devices.search(parse(typed, devices.names))
        await until(pilot, lambda: len(devices.keys) == 11)
        assert all("0012" in key for key in devices.keys)
