"""What is typed stays as it was typed, however fast the keys come and however much there is to do beside them."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from screens import lifecycle_story, story
from screens.conftest import Commands, Open, settled, text_of, until
from screens.test_arranging import grown
from textual.events import Key
from textual.keys import _character_to_key
from textual.screen import ModalScreen
from textual.widgets import Input, Select, Static

from server.config import Federation
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.commandline import CommandLine
from server.tui.confirm import ConfirmDialog
from server.tui.promotedialog import PromoteDialog
from server.tui.status import StatusLine
from server.tui.table import Table

TYPED = "state:refused why:battery version:<7"


async def burst(app: CoveyApp, typed: str, *, turns: bool = True) -> None:
    """Press these keys without waiting for what comes of them; without turns before anything else is done at all."""
    for each in typed:
        named = {"\t": "tab", "\n": "enter"}.get(each)
        app.post_message(Key(named or _character_to_key(each), each if named is None else None))
        if turns:
            await asyncio.sleep(0)


def field(app: CoveyApp, name: str) -> str:
    """What a field of the screen holds."""
    return app.screen.query_one(f"#{name}", Input).value


@pytest.mark.parametrize("many", [False, True], ids=["small", "large"])
async def test_a_filter_typed_at_once_is_kept_letter_by_letter(opened: Open, told: Path, many: bool) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        if many:
            app.take(grown(app, release=9))
        await burst(app, f"/{TYPED}")
        await until(pilot, lambda: str(app.query_one("#devices", Table).found) == TYPED)
        assert app.query_one(StatusLine).query_one(Input).value == TYPED


async def test_an_old_text_searches_for_nothing_once_another_is_typed(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        devices, search = app.query_one("#devices", Table), app.query_one("#search", Input)
        await pilot.press("slash")
        for typed in ("name:e", "name:ew", "name:ewr"):
            search.value = typed
        search.post_message(Input.Changed(search, "name:jfk"))
        await until(pilot, lambda: devices.keys == ["EWR-B6", "EWR-DL", "EWR-UA"])
        assert search.value == "name:ewr"


async def test_the_line_of_another_table_leaves_what_is_typed(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2", "slash", *"state:fin")
        other = next(table for table in app.require_view().query(Table) if table.id != "runs")
        other.post_message(Table.Arranged(other))
        await pilot.press(*"ished")
        assert app.require_view().query_one("#search", Input).value == "state:finished"


async def test_a_completion_takes_what_was_typed_before_it(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await burst(app, ":appr\tPHL", turns=False)
        await until(pilot, lambda: field(app, "typed") == "approve PHL")


@pytest.mark.parametrize("home", ["told", "empty"])
@pytest.mark.parametrize("line", ["fleet foo:bar", "rounds foo:bar", "logs foo:bar"])
async def test_a_line_that_is_refused_keeps_the_keyboard(
    opened: Open, stories: Path, tmp_path: Path, commands: Commands, home: str, line: str
) -> None:
    async with opened(Path(shutil.copytree(stories / home, tmp_path / "home"))).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await burst(app, f":{line}\nX")
        await until(pilot, lambda: "✕" in text_of(app))
        assert (app.current, app.focused) == ("Fleet", app.query_one("#typed"))
        await pilot.press("X", "backspace")
        assert field(app, "typed").removesuffix("X") == line
        assert not isinstance(app.screen, ModalScreen)
        await pilot.press("escape")
        await until(pilot, lambda: not app.query_one(CommandLine).display)
        assert app.focused in (app.view_in_sight(), app.query_one("#devices"))
    assert commands == []


async def test_a_view_made_by_its_word_shows_what_the_query_finds(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("colon", *"rounds state:finished", "enter")
        await until(pilot, lambda: app.current == "Rounds" and len(app.require_table().keys) == 4)
        assert app.focused is app.require_table()


async def test_a_command_is_typed_on_while_the_first_device_joins(opened: Open, empty: Path) -> None:
    async with opened(empty).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("colon", *"rou")
        with closing(Store(Federation(empty).database)) as store:
            story.enrol(store)
        await until(pilot, lambda: app.query_one("#devices", Table).keys)
        await pilot.press(*"nds")
        assert field(app, "typed") == "rounds"


async def test_a_click_into_the_view_ends_the_command(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("colon", *"fle")
        await pilot.click("#devices", offset=(5, 3))
        await until(pilot, lambda: not app.query_one(CommandLine).display)
        assert app.focused is app.query_one("#devices")


@pytest.mark.parametrize(
    ("home", "line", "said"),
    [
        ("empty", "start", "there is no task yet"),
        ("told", "start", "every task has a run under way"),
        ("empty", "survey", "there is no task yet"),
        ("told", "undo", "nothing was done in the last 10 s that can be undone"),
        ("empty", "filter x", "Fleet has no rows to search yet"),
    ],
)
async def test_what_has_nothing_to_do_says_why(
    opened: Open, stories: Path, tmp_path: Path, home: str, line: str, said: str
) -> None:
    async with opened(Path(shutil.copytree(stories / home, tmp_path / "home"))).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("colon", *line, "enter")
        await until(pilot, lambda: said in text_of(app))
        assert app.query_one(CommandLine).typing


async def test_where_there_is_no_release_a_survey_is_no_advice(opened: Open, empty: Path) -> None:
    with closing(Store(Federation(empty).database)) as store:
        task = lifecycle_story.flights(story.TASK)
        store.add_task(task)
        store.add_initial_version(task.name, task.revision, story.weights(0))
    async with opened(empty).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("5")
        await until(pilot, lambda: "covey promote VERSION" in text_of(app))
        assert "covey survey" not in text_of(app)
        await pilot.press("colon", *"survey", "enter")
        await until(pilot, lambda: "there is no release to survey yet; promote a version first" in text_of(app))


async def test_a_quoted_phrase_stays_one_phrase(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        for line in ('filter "a b" -c', 'fleet "a b" -c'):
            await pilot.press("colon", *line, "enter")
            await until(pilot, lambda: str(app.query_one("#devices", Table).found) == '"a b" -c')
            await pilot.press("escape")
            await until(pilot, lambda: not app.query_one("#devices", Table).found.terms)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("/stte:refused", "no field is called 'stte'; did you mean state?"),
        (":theme x\n", "no theme is called 'x'; there are covey-dark, covey-light, covey-safe-dark, covey-safe-light, …"),
        (":theme covey-safe-drk\n", "did you mean covey-safe-dark?"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_read_to_its_end_on_a_small_screen(
    opened: Open, told: Path, keys: str, said: str
) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await burst(app, keys)
        shown = "#found" if keys.startswith("/") else "#candidates"
        await until(pilot, lambda: said in str(app.query_one(shown, Static).visual))
        wrong = app.query_one(shown, Static)
        wrapped = wrong.visual.get_height({}, wrong.content_size.width)
        assert wrapped <= wrong.content_size.height
        assert wrong.region in app.screen.region


async def test_another_name_is_told_from_the_one_to_type(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("colon", *"revoke EWR-B6", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press(*"EWR-B7", "enter")
        await until(pilot, lambda: "✕ type EWR-B6; that was EWR-B7" in text_of(app))
        await pilot.press("backspace")
        await until(pilot, lambda: "that was" not in text_of(app))
        assert commands == []
        await pilot.press("6", "enter")
        await until(pilot, lambda: commands)


async def test_another_version_is_told_from_the_one_to_promote(opened: Open, idle: Path, commands: Commands) -> None:
    async with opened(idle).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("colon", *"promote 26", "enter")
        await until(pilot, lambda: isinstance(app.screen, PromoteDialog))
        app.screen.query_one("#way", Select).value = "everyone"
        app.screen.query_one("#name", Input).focus()
        await pilot.press(*"v25", "enter")
        await until(pilot, lambda: "✕ type v26; that was v25" in text_of(app))
        assert commands == []
