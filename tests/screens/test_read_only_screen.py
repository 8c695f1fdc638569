"""`covey --read-only` shows everything and changes nothing: acts are hidden, and refused where they are asked for."""

from pathlib import Path

import pytest
from screens import story
from screens.conftest import Commands, settled, text_of, until

from server.__main__ import home_first
from server.config import Federation
from server.tui import acts
from server.tui.app import READ_ONLY, CoveyApp
from server.tui.commands import Ran
from server.tui.confirm import ConfirmDialog


@pytest.fixture
def reading(idle: Path, commands: Commands) -> CoveyApp:
    """A read-only terminal with no run under way, so that every act could be done otherwise."""

    async def note(arguments: object) -> Ran:
        commands.append((str(arguments),))
        return Ran(code=0, said="done")

    return CoveyApp(idle, clock=lambda: story.NOW, runner=note, read_only=True)


async def test_a_badge_says_so_and_no_act_is_offered(reading: CoveyApp) -> None:
    async with reading.run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        said = text_of(app)
        assert " READ-ONLY " in said
        assert "online" in said
        for key in "12345678":
            await pilot.press(key)
            await pilot.pause()
            foot = text_of(app).splitlines()[-1]
            assert "? Help" in foot
            assert not any(
                word in foot for word in ("Approve", "Revoke", "Start", "Stop", "Promote", "Withdraw", "Survey")
            )


@pytest.mark.parametrize("keys", [["s"], ["a"], ["down", "X"], ["3", "p"], ["5", "v"]], ids="-".join)
async def test_keys_that_act_do_nothing(reading: CoveyApp, commands: Commands, keys: list[str]) -> None:
    async with reading.run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press(*keys)
        await pilot.pause(0.1)
        assert len(app.screen_stack) == 1
    assert commands == []


@pytest.mark.parametrize("line", ["promote 21", "approve PHL-AA", "stop", "run roster", "start"])
async def test_words_that_act_are_refused_by_name(reading: CoveyApp, commands: Commands, line: str) -> None:
    async with reading.run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        app.open_command(line)
        await pilot.press("enter")
        await until(pilot, lambda: READ_ONLY in text_of(app))
    assert commands == []


async def test_an_act_that_comes_about_otherwise_is_not_carried_out(reading: CoveyApp, commands: Commands) -> None:
    async with reading.run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert app.snapshot
        app.ask(acts.approve(next(device for device in app.snapshot.devices if device.state == "pending")))
        await pilot.pause(0.1)
        assert not isinstance(app.screen, ConfirmDialog)
        assert [note.message for note in app._notifications] == [READ_ONLY]
    assert commands == []


async def test_searching_marking_and_themes_stay(reading: CoveyApp) -> None:
    async with reading.run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("slash", *"name:jfk", "enter", "asterisk")
        await until(pilot, lambda: "◆ 3 marked" in text_of(app))


def test_a_read_only_terminal_leaves_the_files_as_they_are(idle: Path) -> None:
    """What is opened for reading is not written to: no table, no row, no journal that stays."""
    before = Federation(idle).database.read_bytes()
    from server.tui.watcher import Reader

    reader = Reader(Federation(idle), read_only=True)
    reader.read()
    reader.close()
    assert Federation(idle).database.read_bytes() == before


def test_the_option_is_found_wherever_it_is_typed() -> None:
    assert home_first(["--read-only", "--home", "x"]) == (["--read-only", "--home", "x"], [])
    assert home_first(["fleet", "--read-only"]) == (["--read-only"], ["fleet"])
