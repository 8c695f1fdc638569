"""What an operator does with the keyboard, from one end to the other."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from screens import story
from screens.conftest import Commands, Open, settled, text_of, until
from textual.screen import Screen
from textual.widgets import Button, Input, Select, Static

from server.config import Federation
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.commands import Ran, run_covey
from server.tui.confirm import ConfirmDialog, Dialog
from server.tui.forms import Form, StartDialog, SurveyDialog
from server.tui.header import VIEWS, Header
from shared.accounting import epsilon
from shared.lock import only_one
from shared.privacy import SampledGaussian


async def test_number_keys_switch_views(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        for number, name in enumerate(VIEWS, start=1):
            await pilot.press(str(number))
            shown = [type(view).__name__ for view in app.query("View") if view.display]
            assert (app.current, shown) == (name, [f"{name}View"])


async def test_a_click_on_a_view_switches_to_it(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.click("#tabs", offset=(45, 0))
        assert app.current == "Drift"


async def test_start_dialog_shows_price_and_command_and_runs_exactly_that(
    opened: Open, idle: Path, commands: Commands
) -> None:
    async with opened(idle).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        fill(app.screen, rounds="5", start="2013-07-01", end="2013-10-01", quorum="4")
        await pilot.pause()
        said = text_of(app)
        cost = epsilon([SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=5 * 16)], delta=1e-5)
        assert f"Costs each device at most ε {cost:.2f} by itself" in said
        assert "it counts if 4 answer" in said
        shown = str(app.screen.query_one("#command", Static).visual)
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    words = "start flights --rounds 5 --quorum 4 --window 2013-07-01..2013-10-01 --detach"
    assert commands == [("--home", str(idle), *words.split())]
    assert shown.endswith(shlex.join(["covey", *commands[0]]))


async def test_start_dialog_names_the_field_that_is_wrong_and_starts_nothing(
    opened: Open, idle: Path, commands: Commands
) -> None:
    async with opened(idle).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        fill(app.screen, rounds="none", start="2013-10-01", end="2013-07-01", quorum="9")
        await pilot.pause()
        said = text_of(app)
        assert "a whole number from 1 to 10000" in said
        assert "must come after the start" in said
        assert "a whole number from 1 to 8" in said
        assert app.screen.query_one("#go", Button).disabled
        await pilot.press("enter")
        assert isinstance(app.screen, StartDialog)
    assert commands == []


async def test_start_dialog_puts_every_field_into_the_command(opened: Open, idle: Path, commands: Commands) -> None:
    async with opened(idle).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        fill(app.screen, rounds="3", base="99", cohort="5", quorum="6", deadline="soon")
        await pilot.pause()
        assert "set right: version, quorum, deadline" in text_of(app)
        fill(app.screen, base="12", quorum="3", deadline="60")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    words = "start flights --rounds 3 --quorum 3 --from 12 --cohort 5 --deadline 60 --detach"
    assert commands == [("--home", str(idle), *words.split())]


async def test_start_dialog_says_what_fits_and_how_many_can_afford_it(opened: Open, idle: Path) -> None:
    """Of six owners that answer five have room for one campaign, three for two; nobody says more than five."""
    async with opened(idle).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        assert "each makes one version; ε 8 covers 144" in text_of(app)
        said = {}
        for rounds in ("5", "20", "21", "60", "101"):
            fill(app.screen, rounds=rounds)
            await pilot.pause()
            said[rounds] = text_of(app).partition("whose owners answer, ")[2].partition(" can afford")[0]
    assert said == {
        "5": "about 4 in 5", "20": "about 4 in 5", "21": "about 1 in 2", "60": "about 1 in 5", "101": ""
    }  # fmt: skip


async def test_start_dialog_speaks_of_no_owners_where_none_answers(opened: Open, idle: Path) -> None:
    store = Store(Federation(idle).database)
    for device in store.devices():
        store.set_installed(device.name, device.release, device.detail)
    async with opened(idle).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        assert "whose owner" not in text_of(app)
        await pilot.press("escape")
        store.set_installed("EWR-B6", 2, "", affords={"flights": "0", "other": "5+"})
        store.close()
        await until(pilot, lambda: app.snapshot and any(device.affords for device in app.snapshot.devices))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        assert "The one device whose owner answers cannot afford it." in text_of(app)


async def test_survey_dialog_asks_for_role_and_window(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("5", "v")
        await until(pilot, lambda: isinstance(app.screen, SurveyDialog))
        fill(app.screen, start="2013-07-01", end="yesterday")
        await pilot.pause()
        assert "set right: rows until" in text_of(app)
        fill(app.screen, end="2013-08-01")
        app.screen.query_one("#role", Select).value = "reference"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    words = "survey flights --role reference --window 2013-07-01..2013-08-01 --detach"
    assert commands == [("--home", str(told), *words.split())]


async def test_the_filter_narrows_the_fleet_and_escape_ends_it(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("slash", *"budget", "enter")
        await until(pilot, lambda: "1 of 10" in text_of(app))
        said = text_of(app)
        assert "LGA-MQ" in said
        assert "EWR-UA" not in said
        await pilot.press("escape")
        await until(pilot, lambda: "EWR-UA" in text_of(app))


async def test_the_header_tells_whether_a_coordinator_runs(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert "▲ not serving" in text_of(app)
        with only_one(Federation(told).lock, what="a coordinator"):
            await until(pilot, lambda: "● serving" in text_of(app))
        await until(pilot, lambda: "▲ not serving" in text_of(app))


async def test_reasons_of_refusals_are_told_while_the_round_goes_on(opened: Open, served: Path) -> None:
    async with opened(served).run_test(size=(200, 60)) as pilot:
        app = await settled(pilot)
        store = Store(Federation(served).database)
        store.set_progress(story.Progress(
            run_id=5, round_number=8, rounds=20, phase="training", cohort=7, returned=1, refused=3,
            reasons={"budget": 2, "consent": 1}, at=story.NOW,
        ))  # fmt: skip
        store.close()
        await until(pilot, lambda: "3 refused: budget 2, consent" in text_of(app))


async def test_a_started_campaign_appears_as_a_queued_run(opened: Open, idle: Path) -> None:
    async with opened(idle, run_covey).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        await pilot.press("enter")
        await until(pilot, lambda: app.snapshot and app.snapshot.runs[-1].state == "queued")
        await until(pilot, lambda: app.current == "Rounds")
        assert "◌ queued" in text_of(app)
        assert app.snapshot
        assert '"rounds":20' in app.snapshot.runs[-1].request


async def test_stop_asks_first_and_then_stops(opened: Open, told: Path) -> None:
    async with opened(told, run_covey).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert app.focused is app.screen.query_one("#cancel")
        await pilot.press("shift+tab", "enter")
        await until(pilot, lambda: app.snapshot and app.snapshot.runs[-1].state == "stopping")
        assert "◐ stopping" in text_of(app)


@pytest.mark.parametrize("key", ["s", "question_mark"])
async def test_escape_closes_a_dialog_and_does_nothing(opened: Open, idle: Path, commands: Commands, key: str) -> None:
    async with opened(idle).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press(key)
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
    assert commands == []


async def test_enter_on_a_dangerous_dialog_cancels(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
    assert commands == []


async def test_a_failed_command_shows_its_last_line(opened: Open, told: Path) -> None:
    async def fail(arguments: Sequence[str]) -> Ran:
        return Ran(code=1, said="covey: the roster key is missing; restore keys/ from a backup")

    async with opened(told, fail).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: app._notifications)
        [shown] = app._notifications
        assert (shown.severity, shown.message) == (
            "error",
            "covey: the roster key is missing; restore keys/ from a backup",
        )


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["1", "a"], ["approve", "PHL-AA"]),
        (["1", "down", "X"], ["revoke", "EWR-B6"]),
        (["3", "p"], ["promote", "27"]),
        (["colon", *"withdraw 2", "enter"], ["withdraw", "2"]),
    ],
)
async def test_each_act_runs_its_command(
    opened: Open, told: Path, commands: Commands, keys: list[str], words: list[str]
) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        dialog = app.screen
        if isinstance(dialog, ConfirmDialog):
            for name in dialog.query("#name").results(Input):
                assert dialog.query_one("#go", Button).disabled
                name.value = dialog.asked.typed
                await pilot.pause()
        app.screen.query_one("#go", Button).focus()
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), *words)]


async def test_the_screen_follows_the_store_while_a_run_goes_on(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("2")
        store = Store(Federation(told).database)
        store.set_progress(story.Progress(
            run_id=5, round_number=8, rounds=20, phase="training", cohort=7, returned=1, refused=0, at=story.NOW
        ))  # fmt: skip
        await until(pilot, lambda: "round 8 of 20" in text_of(app))
        store.close()


async def test_a_run_from_which_nothing_is_heard_is_marked(opened: Open, told: Path) -> None:
    app = opened(told)
    app.clock = lambda: story.NOW + 300
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert "▲ no news for 5 min" in text_of(app)


async def test_t_moves_to_the_next_task_and_is_offered_only_where_there_is_one(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.press("6")
        assert "Next task" not in text_of(app)
        story.second_task(store)
        await until(pilot, lambda: app.snapshot and len(app.snapshot.tasks) == 2)
        assert "Next task" in text_of(app)
        await pilot.press("t")
        assert "Which gate is free" in text_of(app)
    store.close()


async def test_the_footer_follows_the_cursor(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        await pilot.pause()
        assert "a Approve" in text_of(app)
        await pilot.press("down")
        await until(pilot, lambda: "a Approve" not in text_of(app))
        assert "X Revoke" in text_of(app)


async def test_what_cannot_be_done_is_not_offered(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await settled(pilot)
        assert "Start rounds" not in text_of(app)
        await pilot.press("s")
        assert len(app.screen_stack) == 1


async def test_a_smaller_terminal_than_any_does_no_harm(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(40, 12)) as pilot:
        app = await settled(pilot)
        for key in "12345678":
            await pilot.press(key)
        await pilot.resize_terminal(20, 6)
        await pilot.pause()
        assert app.is_running


def fill(dialog: object, **values: str) -> None:
    """Type into the dialog's fields."""
    assert isinstance(dialog, Form)
    for name, value in values.items():
        dialog.query_one(f"#{name}", Input).value = value


async def test_a_tick_while_the_terminal_closes_finds_widgets_gone_and_says_nothing(
    opened: Open, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[bool] = []

    def tick(screen: Screen[None]) -> None:
        ticks.append(bool(screen.query(Header)))
        app = screen.app
        assert isinstance(app, CoveyApp)
        app.show()

    monkeypatch.setattr(Screen, "on_unmount", tick, raising=False)
    async with opened(told).run_test(size=(120, 40)) as pilot:
        await settled(pilot)
    assert ticks == [False]
