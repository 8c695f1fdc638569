"""What is said after `:` does what its keys do, is completed, remembered, and refused by name."""

from pathlib import Path

import pytest
from screens.conftest import Commands, Open, settled, text_of, until
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from server.tui.app import CoveyApp
from server.tui.commandline import CommandLine
from server.tui.confirm import ConfirmDialog
from server.tui.header import VIEWS
from server.tui.spoken import WORDS
from server.tui.table import Order, Table
from server.tui.vocabulary import History, begun, completed, completions, split, word_of
from shared.errors import InputError


async def say(pilot: Pilot[None], line: str) -> CoveyApp:
    """Type a line behind `:` and enter it."""
    app = await settled(pilot)
    app.open_command(line)
    await pilot.press("enter")
    await pilot.pause()
    return app


@pytest.mark.parametrize("view", VIEWS)
async def test_every_view_has_its_word(opened: Open, told: Path, view: str) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await say(pilot, view.lower())
        await until(pilot, lambda: app.current == view)
        assert not app.query_one(CommandLine).display


async def test_a_view_is_shown_with_the_rows_that_a_query_finds(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await say(pilot, "fleet state:away")
        await until(pilot, lambda: app.query_one("#devices", Table).keys == ["LGA-MQ"])


async def test_an_act_asks_first_as_its_key_does(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await say(pilot, "approve PHL-AA")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert commands == []
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "approve", "PHL-AA")]


async def test_any_other_command_of_covey_runs_behind_run(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await say(pilot, "run invite --hours 2")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "invite", "--hours", "2")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fleat", "there is no command 'fleat'; did you mean fleet?"),
        ("r", "'r' may be rounds or rollouts"),
        ("promote", "promote VERSION needs VERSION after it"),
        ("promote 400", "there is no version 400"),
        ("approve EWR-B6", "EWR-B6 does not wait for approval; it is approved"),
        ("revoke nobody", "no device is called 'nobody'"),
        ("theme pink", "no theme is called 'pink'"),
        ("sort weight", "no field is called 'weight'"),
        ("filter colour:red", "no field is called 'colour'"),
        ("export pdf", "nothing is exported as 'pdf'; there are svg, csv, json"),
        ("mark some", "mark all or none"),
        ('approve "PHL', "has a quotation mark without its other"),
    ],
)
async def test_what_cannot_be_done_stays_on_the_line_with_the_reason(
    opened: Open, told: Path, line: str, said: str
) -> None:
    async with opened(told).run_test(size=(160, 40)) as pilot:
        app = await say(pilot, line)
        await until(pilot, lambda: said in text_of(app))
        assert app.query_one("#typed", Input).value == line
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.focused, Table))


async def test_rows_are_searched_ordered_and_marked_by_words(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await say(pilot, "filter state:online")
        await say(pilot, "sort epsilon falling")
        await say(pilot, "mark all")
        table = app.query_one("#devices", Table)
        assert table.order == Order(name="epsilon", falling=True)
        assert len(table.targets) == 7
        await say(pilot, "theme covey-safe-light")
        assert app.theme == "covey-safe-light"


async def test_tab_completes_and_arrows_remember(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("colon", *"appr", "tab", "tab")
        assert app.query_one("#typed", Input).value == "approve PHL-AA"
        await pilot.press("escape")
        await say(pilot, "rounds")
        await pilot.press("colon", "up")
        assert app.query_one("#typed", Input).value == "rounds"
        await pilot.press("down")
        assert app.query_one("#typed", Input).value == ""


async def test_q_leaves(opened: Open, told: Path) -> None:
    app = opened(told)
    async with app.run_test(size=(120, 40)) as pilot:
        await say(pilot, "q")
        assert app._exit


async def test_the_palette_lists_views_acts_and_colours(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        listed = app.screen.query_one(OptionList)
        await until(pilot, lambda: listed.option_count > 20)
        said = " ".join(str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count))
        assert all(word in said for word in ("rollouts", "promote VERSION", "Revoke", "theme covey-safe-dark"))
        await pilot.press(*"rollo")
        await pilot.pause(0.5)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.current == "Rollouts")


def test_a_word_is_found_by_its_beginning_where_that_is_enough() -> None:
    assert word_of("prom", WORDS).name == "promote"
    assert word_of("q", WORDS).name == "q"
    with pytest.raises(InputError, match="may be"):
        word_of("re", WORDS)


def test_lines_are_split_as_a_shell_does() -> None:
    assert begun(':Approve  "a b" c') == ("approve", '"a b" c')
    assert split('"a b" c') == ["a b", "c"]
    assert begun("  ") == ("", "")


def test_completions_share_what_they_have_in_common() -> None:
    assert completed("ro", completions("ro", WORDS, None)) == "ro"
    assert completed("pro", completions("pro", WORDS, None)) == "promote "
    assert completions("nothing ", WORDS, None) == []


def test_a_line_said_twice_is_remembered_once() -> None:
    history = History()
    for said in ("fleet", "rounds", "fleet"):
        history.add(said)
    assert history.lines == ["rounds", "fleet"]
    assert [history.move(-1), history.move(-1), history.move(-1), history.move(9)] == ["fleet", "rounds", "rounds", ""]
