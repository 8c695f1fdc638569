"""What an operator does among versions: unfolds a campaign, reads gates, compares two, promotes and withdraws."""

from dataclasses import replace
from pathlib import Path

import pytest
from screens import story
from screens.conftest import Commands, Open, settled, text_of, until
from textual.pilot import Pilot
from textual.widgets import Button, Input, Select

from server.config import Federation
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.confirm import ConfirmDialog
from server.tui.promotedialog import PromoteDialog
from server.tui.table import Table
from server.tui.versiondiff import DiffDialog
from shared.lifecycle import RolloutTerms


async def at_models(pilot: Pilot[None], *keys: str) -> CoveyApp:
    app = await settled(pilot)
    await pilot.press("3", *keys)
    await pilot.pause()
    return await until(pilot, lambda: "v27" in text_of(app))


async def confirm(pilot: Pilot[None]) -> None:
    """Type the name that is asked for, and go on."""
    app = pilot.app
    assert isinstance(app.screen, ConfirmDialog)
    for field in app.screen.query("#name").results(Input):
        assert app.screen.query_one("#go", Button).disabled
        field.value = app.screen.asked.typed
        await pilot.pause()
    app.screen.query_one("#go", Button).focus()
    await pilot.press("enter")


async def test_a_campaign_is_folded_until_enter_unfolds_it(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot)
        assert "5 more of run 5" in text_of(app)
        assert "v26 run" not in text_of(app)
        await pilot.press("j", "enter")
        await until(pilot, lambda: "v26 run" in text_of(app))
        assert "5 more of run 5" not in text_of(app)
        assert app.query_one("#versions", Table).key == "26"
        await pilot.press("f")
        await until(pilot, lambda: "v26 run" not in text_of(app))
        assert "v27 run" in text_of(app)


async def test_versions_say_what_they_are_to_the_fleet(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot)
        rows = {row[4:7]: row for row in text_of(app).split("\n") if row.startswith("│")}
        assert "○ candidate" in rows["v27"]
        assert "◐ canary" in rows["v21"]
        assert "● current" in rows["v12"]
        assert "✕ 1  ? 1" in rows["v27"]
        assert "✓ all 4" in rows["v21"]
        assert "not run" in rows["v1 "]
        assert "0.75 ± 0.03" in rows["v27"]


async def test_a_halted_and_a_withdrawn_version_are_marked_as_such(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    story.lifecycle_story.step(store, 2, 50, moment=story.NOW - 60, why="2 crashed", to="halted")
    store.set_stage(12, "withdrawn")
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot)
        assert "■ halted" in text_of(app)
        assert "✕ withdrawn" in text_of(app)


async def test_a_version_that_was_taken_away_stays_so_once_a_newer_release_is_there(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    story.lifecycle_story.step(store, 2, 50, moment=story.NOW - 60, why="2 crashed", to="halted")
    newest = store.releases("flights")[-1]
    store.add_release(replace(newest, number=3, version=25, fallback=1, published_at=int(story.NOW - 30)), [])
    story.lifecycle_story.step(store, 3, 25, moment=story.NOW - 20, why="published")
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot)
        rows = {row[4:7]: row for row in text_of(app).split("\n") if row.startswith("│")}
        assert "■ halted" in rows["v21"]
        assert "◐ canary" in rows["v25"]
        assert "replaced" not in text_of(app)
        await pilot.press("4")
        await until(pilot, lambda: "Who serves what" in text_of(app))
        [row] = [row for row in text_of(app).split("\n") if "  r2      v21" in row]
        assert "halted" in row
        assert "replaced" not in text_of(app)


async def test_gates_tell_failed_from_undecided(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await at_models(pilot)
        said = text_of(app)
        assert "1 failed, 1 undecided, 7 passed" in said
        assert "0.113 (0.077 to 0.131)" in said
        await pilot.press("G")
        await until(pilot, lambda: "covey gate VERSION" in text_of(app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_enter_shows_all_there_is_to_know_of_a_version(opened: Open, told: Path, size: tuple[int, int]) -> None:
    async with opened(told).run_test(size=size) as pilot:
        app = await at_models(pilot)
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: "Version 21" in text_of(app))
        page = app.query_one("ModelsView .page #text").visual  # type: ignore[attr-defined]
        said = str(page)
        for words in ("run 1, round 20", "0.03125", "ε at most", "covey promote 21", "ada", "2013-06-01 to 2013-07-01"):
            assert words in said
        await pilot.press("escape")
        await until(pilot, lambda: "Stands as" in text_of(app))


async def test_d_compares_with_what_is_current_unless_two_are_marked(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot, "d")
        await until(pilot, lambda: isinstance(app.screen, DiffDialog))
        assert "v12 and v27" in text_of(app)
        assert "≠ ε at most" in text_of(app)
        assert ": evident" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("g", "space", "j", "space", "d")
        await until(pilot, lambda: isinstance(app.screen, DiffDialog))
        assert "v21 and v27" in text_of(app)
        await pilot.press("q")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_a_difference_names_the_settings_that_differ(opened: Open, idle: Path) -> None:
    store = Store(Federation(idle).database)
    task = store.task("flights")
    louder = replace(task, training=replace(task.training, noise_multiplier=2.5))
    run = story.campaign(store, louder, window=story.SECOND, base=27, began=story.NOW - 1, rounds=1)
    newest = store.versions()[-1].number
    store.close()
    async with opened(idle).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot)
        await until(pilot, lambda: f"v{newest} run {run}" in text_of(app))
        await pilot.press("g", "d")
        await until(pilot, lambda: isinstance(app.screen, DiffDialog))
        [row] = [row for row in text_of(app).split("\n") if "≠ noise" in row]
        assert "1.2" in row
        assert "2.5" in row


async def test_promote_names_its_reach_and_runs_its_command(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot, "p")
        await until(pilot, lambda: isinstance(app.screen, PromoteDialog))
        assert "promote 27 → 8 devices, canary 25 %: 2" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "promote", "27")]


async def test_a_canary_of_another_size_is_counted_shown_and_run(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot, "p")
        await until(pilot, lambda: isinstance(app.screen, PromoteDialog))
        await pilot.press(*"60")
        await until(pilot, lambda: "promote 27 → 8 devices, canary 60 %: 4" in text_of(app))
        assert "Then 100 %, as long as" in text_of(app)
        assert "4 devices of the next stage, 100 %, run it beside" in text_of(app)
        await pilot.press("backspace", "backspace", *"25")
        await until(pilot, lambda: "canary 25 %: 2" in text_of(app))
        assert "Then 50 %, 100 %" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "promote", "27", "--percent", "25")]


@pytest.mark.parametrize("typed", ["0", "100", "101", "abc", "-5", "nan", "1e1"])
async def test_a_canary_of_nobody_of_all_or_of_no_number_is_refused(
    opened: Open, told: Path, commands: Commands, typed: str
) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await at_models(pilot)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, PromoteDialog))
        app.screen.query_one("#percent", Input).value = typed
        await until(pilot, lambda: "✕ a percent from 0.01 to 99.99" in text_of(app))
        assert "covey --home" not in text_of(app)
        assert app.screen.query_one("#go", Button).disabled
        await pilot.press("enter", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
    assert commands == []


async def test_all_at_once_has_no_canary_and_asks_for_the_name(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await at_models(pilot)
        await pilot.press("p", *"25")
        await until(pilot, lambda: isinstance(app.screen, PromoteDialog))
        app.screen.query_one("#way", Select).value = "everyone"
        await until(pilot, lambda: "promote 27 → 8 devices, all at once" in text_of(app))
        assert "promote 27 --all" in text_of(app)
        assert app.screen.query_one("#percent", Input).disabled
        assert app.screen.query_one("#go", Button).disabled
        app.screen.query_one("#name", Input).focus()
        await pilot.press("v", "enter")
        assert commands == []
        await pilot.press(*"27", "enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "promote", "27", "--all")]


async def test_a_shadow_is_offered_where_the_task_has_none(opened: Open, told: Path, commands: Commands) -> None:
    store = Store(Federation(told).database)
    task = store.task("flights")
    terms = replace(task.rollout or RolloutTerms(), shadow=False)
    store.add_task(replace(task, revision=task.revision + 1, rollout=terms))
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot, "p")
        await until(pilot, lambda: isinstance(app.screen, PromoteDialog))
        assert "beside the one that answers" not in text_of(app)
        app.screen.query_one("#way", Select).value = "shadow"
        await until(
            pilot, lambda: "2 devices of the next stage, 50 %, run it beside the one that answers" in text_of(app)
        )
        app.screen.query_one("#percent", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "promote", "27", "--shadow")]


async def test_without_a_rollout_a_release_is_for_all_unless_a_canary_is_chosen(
    opened: Open, told: Path, commands: Commands
) -> None:
    store = Store(Federation(told).database)
    task = store.task("flights")
    store.add_task(replace(task, revision=task.revision + 1, rollout=None))
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot, "p")
        await until(pilot, lambda: "promote 27 → 8 devices, all at once" in text_of(app))
        assert app.focused is app.screen.query_one("#name", Input)
        assert "--all" not in text_of(app)
        app.screen.query_one("#way", Select).value = "stages"
        await until(pilot, lambda: "canary 10 %: 1" in text_of(app))
        app.screen.query_one("#percent", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "promote", "27", "--percent", "10")]


async def test_withdraw_asks_for_the_version_and_runs_its_command(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot, "j", "j", "w")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "withdraw 2 → 4 devices" in text_of(app)
        await confirm(pilot)
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "withdraw", "2")]


async def test_a_line_of_folded_rounds_offers_no_act(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot, "j")
        await until(pilot, lambda: "p Promote" not in text_of(app))
        assert "w Withdraw" not in text_of(app)
        assert "f Fold" in text_of(app)


async def test_versions_of_several_tasks_stand_below_their_tasks_names(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    story.second_task(store)
    store.add_initial_version("gates", 1, story.weights(99))
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_models(pilot)
        await until(pilot, lambda: "v28 untrained" in text_of(app))
        rows = [row.strip("│ ").split(" ")[0] for row in text_of(app).split("\n")]
        assert rows.index("flights") < rows.index("gates")
