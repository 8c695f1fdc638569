"""What an operator reads of drift over a season, and what they answer when the policy asks."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import lifecycle_story, season, story
from screens.conftest import Commands, Open, settled, text_of, until
from screens.test_models_journeys import confirm
from textual.pilot import Pilot

from server.config import Federation
from server.records import Decision
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.confirm import ConfirmDialog
from server.tui.policy import policy_text
from server.tui.table import Table


@pytest.fixture(scope="module")
def season_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("season") / "home"
    season.tell(folder).close()
    return folder


@pytest.fixture
def surveyed(season_home: Path, tmp_path: Path) -> Path:
    """Ten weeks of surveys; the policy asks."""
    return Path(shutil.copytree(season_home, tmp_path / "home"))


async def at_drift(pilot: Pilot[None]) -> CoveyApp:
    app = await settled(pilot)
    await pilot.press("5")
    return await until(pilot, lambda: "Distribution" in text_of(app))


def row(app: CoveyApp, name: str) -> str:
    """The line of one distribution."""
    return next(line for line in text_of(app).split("\n") if line.startswith(f"│ {name}  "))


async def test_each_distribution_shows_how_it_moved_and_where_nobody_could_tell(opened: Open, surveyed: Path) -> None:
    async with opened(surveyed).run_test(size=(120, 40)) as pilot:
        app = await at_drift(pilot)
        assert "▲ alarm" in row(app, "score")
        assert "──────▁▂▂▃" in row(app, "score")
        assert "▲ large" in row(app, "temp")
        assert row(app, "temp").count("░") == 0
        assert "✓ steady" in row(app, "hour")
        fogged = [name for name in ("weekday", "destination", "wind_gust") if "░" in row(app, name)]
        assert fogged == ["weekday", "destination", "wind_gust"]
        assert "▲ score above alarm 0.1 · features 6 large, 9 steady" in text_of(app)


async def test_a_survey_of_one_device_says_that_it_cannot_tell(opened: Open, surveyed: Path) -> None:
    async with opened(surveyed).run_test(size=(120, 40)) as pilot:
        app = await at_drift(pilot)
        await pilot.press(*"jjjj")
        await until(pilot, lambda: "cannot tell" in text_of(app))
        app.query_one("#shifts", Table).select("weekday")
        await until(pilot, lambda: "weekday · over time" in text_of(app))
        assert "? cannot tell" in row(app, "weekday")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_score_has_a_course_with_its_alarm_and_the_policy_its_reasons(
    opened: Open, surveyed: Path, size: tuple[int, int]
) -> None:
    async with opened(surveyed).run_test(size=size) as pilot:
        app = await at_drift(pilot)
        said = text_of(app)
        assert "score · over time" in said
        assert "0.1 ─" in said
        assert "○" in said
        assert "? asks · 1 h ago" in said
        assert "a accepts, n declines" in said
        assert "score PSI 0.23 is above" in said
        assert "score · then and now" in said


@pytest.mark.parametrize(
    ("key", "words", "said"),
    [
        ("a", "retrain flights --accept", "A campaign starts: 20 rounds over the last 90 days, 8 devices asked."),
        ("n", "retrain flights --decline", "No campaign starts on this alarm"),
    ],
)
async def test_an_answer_runs_its_command(
    opened: Open, surveyed: Path, commands: Commands, key: str, words: str, said: str
) -> None:
    async with opened(surveyed).run_test(size=(120, 40)) as pilot:
        app = await at_drift(pilot)
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert said in text_of(app)
        await confirm(pilot)
        await until(pilot, lambda: commands)
    assert commands == [("--home", str(surveyed), *words.split())]


async def test_nobody_is_asked_twice(opened: Open, surveyed: Path, commands: Commands) -> None:
    store = Store(Federation(surveyed).database)
    async with opened(surveyed).run_test(size=(120, 40)) as pilot:
        app = await at_drift(pilot)
        assert "a Accept" in text_of(app)
        store.add_decision(Decision(task="flights", at=story.NOW, act="decline", why="ada said no"))
        await until(pilot, lambda: "✕ was told no" in text_of(app))
        await until(pilot, lambda: "a Accept" not in text_of(app))
        await pilot.press("a")
        assert len(app.screen_stack) == 1
    store.close()
    assert commands == []


async def test_a_campaign_that_the_policy_started_is_named(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_drift(pilot)
        assert "▸ started a campaign · run 5 · 1 min ago" in text_of(app)
        assert "a Accept" not in text_of(app)


async def test_in_little_room_the_policy_says_what_it_did_why_and_when_it_acts(opened: Open, told: Path) -> None:
    async with opened(told).run_test(size=(80, 24)) as pilot:
        app = await at_drift(pilot)
        said = text_of(app)
        for words in (
            "▸ started run 5 · 1 min ago ",
            "why    ada accepted: score PSI ",
            " is above the alarm,",
            "when   score PSI; asks first ",
        ):
            assert words in said
        assert "enter shows all" in said
        await pilot.press("enter")
        await until(pilot, lambda: "Survey 4" in text_of(app))
        for words in (
            "▸ started a campaign · run 5",
            "then   learns 90 days, every 7 days at most, up to ε 6",
            "? asks · score PSI",
        ):
            assert words in text_of(app)


async def test_in_little_room_the_policy_counts_what_it_saw(opened: Open, surveyed: Path) -> None:
    async with opened(surveyed).run_test(size=(80, 24)) as pilot:
        app = await at_drift(pilot)
        assert "saw    6 features moved too" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: "that informs only" in text_of(app))


@given(st.text("abc .,", max_size=300), st.integers(29, 90), st.integers(1, 20), st.booleans())
def test_the_policy_stays_in_its_panel_and_breaks_off_only_its_reasons(
    why: str, width: int, height: int, informs: bool
) -> None:
    decision = Decision(task="flights", at=0.0, act="start", why=why, run_id=5, informed=("temp",) * informs)
    drawn = policy_text(lifecycle_story.flights(story.TASK), [decision], width, height, 60.0).plain.split("\n")
    assert len(drawn) <= height
    assert all(len(row) <= width for row in drawn)
    assert not any(row.endswith("…") for row in drawn[:-1])


async def test_a_task_without_surveys_says_what_to_do(opened: Open, told: Path) -> None:
    store = Store(Federation(told).database)
    story.second_task(store)
    store.close()
    async with opened(told).run_test(size=(120, 40)) as pilot:
        app = await at_drift(pilot)
        await until(pilot, lambda: "t Next task" in text_of(app))
        await pilot.press("t")
        await until(pilot, lambda: "No survey of gates yet" in text_of(app))
        assert "no [retraining] table" in text_of(app)
        await pilot.press("t")
        await until(pilot, lambda: "▲ alarm" in text_of(app))


async def test_a_baseline_compares_nothing_and_says_so(opened: Open, surveyed: Path) -> None:
    async with opened(surveyed).run_test(size=(120, 40)) as pilot:
        app = await at_drift(pilot)
        await pilot.press("G")
        await until(pilot, lambda: "a baseline: later surveys are compared with it" in text_of(app))
        assert "· counted" in row(app, "score")
