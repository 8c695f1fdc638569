"""Any table is searched, ordered, marked, opened and copied from, and acts apply to what is marked."""

from pathlib import Path

from screens.conftest import Commands, Open, settled, text_of, until
from textual.widgets import Button, Input

from server.tui.app import CoveyApp
from server.tui.confirm import ConfirmDialog
from server.tui.table import Order, Table


def devices(app: CoveyApp) -> Table:
    return app.query_one("#devices", Table)


async def test_a_query_narrows_the_table_while_it_is_typed(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("slash", *"state:online name~ewr -name~ua")
        await until(pilot, lambda: devices(app).keys == ["EWR-B6", "EWR-DL"])
        assert "2 of 10" in text_of(app)
        await pilot.press("enter")
        assert app.focused is devices(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(devices(app).keys) == 10)


async def test_a_query_that_is_wrong_says_why_and_keeps_what_was_found(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("slash")
        for typed in ("why:budget", "why:budget sate:"):
            app.query_one("#search", Input).value = typed
            await pilot.pause()
        await until(pilot, lambda: "no field is called 'sate'; did you mean state?" in text_of(app))
        assert devices(app).keys == ["LGA-MQ"]


async def test_every_view_with_rows_can_be_searched(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        for key, word, left in (("2", "state:finished", 4), ("5", "role:reference", 1), ("6", "device:ewr", 3)):
            await pilot.press(key, "slash", *word, "enter")
            await until(
                pilot, lambda left=left: app.require_table().found.terms and len(app.require_table().keys) == left
            )
            await pilot.press("escape")


async def test_rows_are_ordered_by_key_and_by_click(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert devices(app).keys[0] == "PHL-AA"
        await pilot.press("o")
        assert devices(app).keys[0] == "BOS-WN"
        assert "by name ▲ rising" in text_of(app)
        await pilot.press("O")
        assert devices(app).keys[0] == "PHL-AA"
        assert "by name ▼ falling" in text_of(app)
        await pilot.click("#devices", offset=(18, 1))
        assert devices(app).order == Order(name="state")
        await pilot.click("#devices", offset=(18, 1))
        assert devices(app).order == Order(name="state", falling=True)
        await pilot.press("escape")
        assert devices(app).order == Order()


async def test_marked_rows_are_acted_on_together_with_their_number(
    opened: Open, told: Path, commands: Commands
) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("slash", *"name:ewr", "enter", "asterisk")
        await until(pilot, lambda: "◆ 3 marked" in text_of(app))
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        said = text_of(app)
        assert "revoke 3 devices → EWR-B6, EWR-DL, EWR-UA" in said
        assert app.screen.query_one("#go", Button).disabled
        app.screen.query_one("#name", Input).value = "3"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: len(commands) == 3)
    assert [words[-1] for words in commands] == ["EWR-B6", "EWR-DL", "EWR-UA"]


async def test_marks_that_were_forgotten_come_back(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("space", "space")
        assert devices(app).targets == ["PHL-AA", "EWR-B6"]
        await pilot.press("escape")
        assert devices(app).marked == set()
        await pilot.press("u")
        assert devices(app).marked == {"PHL-AA", "EWR-B6"}


async def test_enter_opens_a_row_and_escape_leads_back(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "Fleet ▸ EWR-B6" in text_of(app))
        assert "Spent by our plans" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: "esc goes back" not in text_of(app))
        assert app.focused is devices(app)
        assert devices(app).key == "EWR-B6"


async def test_a_row_leads_to_another_view_and_back(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2")
        view = app.require_view()
        view.post_message(view.Go("Fleet", "devices", "JFK-B6"))
        await until(pilot, lambda: app.current == "Fleet" and devices(app).key == "JFK-B6")
        assert "Rounds 5 ▸ Fleet" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.current == "Rounds")
        await pilot.press("1")
        assert app.trail == []


async def test_names_and_rows_are_copied(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("down", "y")
        assert app.clipboard == "EWR-B6"
        await pilot.press("space", "space", "y")
        assert app.clipboard == "EWR-B6\nEWR-DL"
        await pilot.press("Y")
        assert app.clipboard.startswith("EWR-B6\tonline\t")
        assert len(app.clipboard.splitlines()) == 2


async def test_a_letter_jumps_to_what_takes_the_keyboard(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2")
        await until(pilot, lambda: app.current == "Rounds" and app.focused)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("s")
        await until(pilot, lambda: len(app.screen_stack) == 1 and app.focused is app.query_one("#rounds", Table))
