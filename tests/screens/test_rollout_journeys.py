"""What an operator does about a release on its way: reads who serves what, pauses, resumes, advances, halts."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from screens import lifecycle_story, story
from screens.conftest import Commands, Open, settled, text_of, until
from screens.test_models_journeys import confirm
from textual.pilot import Pilot
from textual.widgets import Button
from typer.testing import CliRunner

from server.cli.program import app as covey
from server.config import Federation
from server.records import Comparison, SurveyResult
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.confirm import ConfirmDialog
from server.tui.table import Table
from shared.drift import AGREEMENT, Histogram
from shared.rollout import RolloutState
from shared.tasks import Window


async def at_rollouts(pilot: Pilot[None]) -> CoveyApp:
    app = await settled(pilot)
    await pilot.press("4")
    return await until(pilot, lambda: "Who serves what" in text_of(app))


def go_on(home: Path, stage: int, to: RolloutState, why: str = "an operator said so") -> None:
    """One more document of release 2."""
    store = Store(Federation(home).database)
    lifecycle_story.step(store, 2, stage, moment=story.NOW - 60, why=why, to=to)
    store.close()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_rollout_says_where_it_is_why_and_what_comes_next(
    opened: Open, told: Path, size: tuple[int, int]
) -> None:
    async with opened(told).run_test(size=size) as pilot:
        app = await at_rollouts(pilot)
        said = text_of(app)
        assert "flights · release 2, version 21" in said
        for words in ("✓ 25 %  done", "● 50 %  open", "○ 100 %  ahead", "2 of 2 run it", "4 of 4 run it · 4 h"):
            assert words in said
        assert "2 of 2 devices said how they fare: all serve · 4 h ago" in said
        assert "✓ 3 of 4 say that it serves, 2 must" in said
        assert "✓ none of them fails, at most 5 % may" in said
        assert "◌ open for 4.0 h of at least 6 h" in said
        assert "✓ serves 3  · not told 1" in said
        assert "shadow the next run it beside release 1" in said


async def test_a_failing_device_is_told_by_its_word_and_stands_on_top(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    lifecycle_story.fare(store, 2, {"LGA-DL": "crashed", "EWR-UA": "slow"}, moment=story.NOW - 30)
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        said = text_of(app)
        assert "✕ 2 of them fail, at most 5 % may" in said
        assert "✓ serves 1  △ slow 1  ! crashed 1  · not told 1" in said
        table = app.query_one("#fares", Table)
        assert table.keys[:3] == ["EWR-UA", "LGA-DL", "JFK-B6"]
        assert "1.8 ms" in said


async def test_charged_evidence_against_a_release_is_shown(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    says = "AUC 0.61 where it runs, 0.70 elsewhere"
    store.add_survey(SurveyResult(
        run_id=6, task="flights", release=2, role="canary", window=Window(), devices=8, histograms=(), at=story.NOW - 60,
        evidence=(Comparison(name="AUC", canary=0.61, control=0.7, chance=0.001, alarm=True, says=says),),
    ))  # fmt: skip
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        assert f"✕ {says}" in text_of(app)


async def test_how_often_both_releases_agree_is_shown_once_it_was_counted(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        assert "the next run it beside release 1 · covey survey flights --shadow" in text_of(app)
        cells = Histogram(
            name=AGREEMENT, edges=(0.0, 1.0, 2.0, 3.0, 4.0), counts=(9_700.0, 100.0, 200.0, 4_000.0), noise=28.0
        )
        store.add_survey(SurveyResult(
            run_id=6, task="flights", release=1, role="current", window=Window(), devices=8, histograms=(cells,), shadow=2,
            at=story.NOW - 60,
        ))  # fmt: skip
        await until(pilot, lambda: "a share of 0.98 ± 0.0" in text_of(app))
    store.close()


@pytest.mark.parametrize(
    ("key", "words", "said"),
    [
        ("p", "rollout pause flights", "stays with 4 devices, 50 % of the fleet"),
        ("a", "rollout advance flights", "goes to 4 more devices: 8 of 8"),
        ("H", "rollout halt flights", "The 4 devices that run release 2 go back to release 1"),
    ],
)
async def test_each_act_names_its_reach_and_runs_its_command(
    opened: Open, told: Path, commands: Commands, key: str, words: str, said: str
) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert said in text_of(app)
        await confirm(pilot)
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), *words.split())]


async def test_an_open_dialog_says_what_is_so_by_now(opened: Open, told: Path, commands: Commands) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "50 % of the fleet" in text_of(app)
        assert "This has changed" not in text_of(app)
        go_on(told, 100, "rolling", why="8 of 8")
        await until(pilot, lambda: "4 devices, 100 % of the fleet" in text_of(app))
        assert "▲ This has changed since you opened it." in text_of(app)
        assert "50 % of the fleet" not in text_of(app)
        await confirm(pilot)
        await until(pilot, lambda: commands)
    assert commands[0][2:] == ("rollout", "pause", "flights")


@pytest.mark.parametrize("opener", [("a",), (":", *"advance", "space", *"flights", "enter")], ids=["key", "word"])
async def test_what_can_no_longer_be_done_is_not_done(
    opened: Open, told: Path, commands: Commands, opener: tuple[str, ...]
) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await pilot.press(*opener)
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await until(pilot, lambda: "goes to 4 more devices" in text_of(app))
        go_on(told, 50, "halted")
        await until(pilot, lambda: "This is no longer what can be done" in text_of(app))
        assert app.screen.query_one("#go", Button).disabled
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
    assert not commands


async def test_what_devices_said_of_a_halted_release_stays(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    lifecycle_story.fare(store, 2, {"LGA-DL": "wrong", "EWR-UA": "wrong"}, moment=story.NOW - 90)
    store.close()
    go_on(told, 50, "halted", why="4 of 4 devices said how they fare: 2 wrong")
    store = Store(Federation(told).database)
    for device in store.devices():
        if device.release == 2:
            store.set_installed(device.name, 1, "went back")
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await until(pilot, lambda: "halted" in text_of(app))
        assert "≠ wrong 2" in text_of(app)
        assert "nobody said anything" not in text_of(app)
    said = CliRunner().invoke(covey, ["--home", str(told), "rollout"]).stdout
    assert "2 wrong" in said


def test_the_command_names_the_stage_before_the_draws(told: Path) -> None:
    store = Store(Federation(told).database)
    last = store.rollouts("flights")[-1].rollout
    store.add_rollout(replace(last, number=last.number + 1, share_bp=5_184), why="4 of 8", at=story.NOW)
    store.close()
    said = CliRunner().invoke(covey, ["--home", str(told), "rollout"]).stdout
    assert re.search(r"is rolling at 50 %: \d of 8 devices \(draws below 51\.84 %\)\.", said)
    assert said.count("51.84 %") == 1


async def test_advancing_early_says_what_is_not_so_yet(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "Not so yet: open for 4.0 h of at least 6 h." in text_of(app)


async def test_halting_asks_for_the_version_and_pausing_does_not(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "Type v21 to go on" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "Type" not in text_of(app)


async def test_a_paused_rollout_offers_to_go_on(opened: Open, told: Path, commands: Commands) -> None:
    go_on(told, 50, "paused")
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await at_rollouts(pilot)
        assert "◑ paused" in text_of(app)
        assert "p Pause" not in text_of(app)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await confirm(pilot)
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(told), "rollout", "resume", "flights")]


async def test_a_halted_rollout_says_why_and_offers_nothing(opened: Open, told: Path) -> None:
    go_on(told, 50, "halted", why="2 of 4 devices said how they fare: 2 crashed")
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await at_rollouts(pilot)
        said = text_of(app)
        assert "✕ halted" in said
        assert "2 of 4 devices said how they fare: 2 crashed" in said
        assert "r2 → r1" in said
        for offer in ("p Pause", "r Resume", "a Advance", "H Halt"):
            assert offer not in said


@pytest.mark.parametrize("size", [(120, 40), (200, 60)])
async def test_a_withdrawn_release_was_not_replaced(opened: Open, told: Path, size: tuple[int, int]) -> None:
    store = Store(Federation(told).database)
    newest = store.releases("flights")[-1]
    store.add_release(replace(newest, number=3, version=12, staged=False, fallback=0), [])
    store.set_stage(21, "withdrawn")
    store.close()
    async with opened(told).run_test(size=size) as pilot:
        app = await at_rollouts(pilot)
        roles = {row.split()[1]: row.split()[3] for row in text_of(app).split("\n") if row.startswith("│      r")}
        assert roles == {"r3": "newest", "r2": "withdrawn", "r1": "replaced"}


async def test_the_last_stage_is_completed_and_a_complete_one_can_be_halted(opened: Open, told: Path) -> None:
    go_on(told, 100, "rolling")
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "Complete release 2" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        go_on(told, 100, "complete")
        await until(pilot, lambda: "✓ complete" in text_of(app))
        await until(pilot, lambda: "a Advance" not in text_of(app))
        assert "H Halt" in text_of(app)


async def test_a_release_that_waits_for_its_canary_says_so(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    story.publish(store, number=3, version=25, moment=story.NOW - 30)
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        assert "release 3, version 25" in text_of(app)
        assert "given to nobody yet" in text_of(app)
        assert "a Advance" in text_of(app)


async def test_without_a_release_the_view_says_how_one_comes(opened: Open, empty: Path) -> None:
    async with opened(empty).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press("4")
        await until(pilot, lambda: "covey promote VERSION" in text_of(app))


async def test_t_shows_the_next_task(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    story.second_task(store)
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_rollouts(pilot)
        await until(pilot, lambda: "t Next task" in text_of(app))
        await pilot.press("t")
        await until(pilot, lambda: "gates" in text_of(app))
