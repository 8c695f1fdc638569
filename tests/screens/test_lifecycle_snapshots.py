"""What versions, rollouts, drift and privacy look like in the states that the story does not end in: to the last cell."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from screens import lifecycle_story, season, story
from screens.conftest import Open, settled
from screens.test_snapshots import SIZES, Compare, renamed, showing
from textual.pilot import Pilot

from server.config import Federation
from server.store import Store

THEMES = ("covey-dark", "covey-light")
every = pytest.mark.parametrize("theme", THEMES)
sized = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


@pytest.fixture(scope="session")
def season_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("season") / "home"
    season.tell(folder).close()
    return folder


@pytest.fixture
def surveyed(season_home: Path, tmp_path: Path) -> Path:
    """Ten weeks of surveys; the policy asks."""
    return Path(shutil.copytree(season_home, tmp_path / "home"))


@pytest.fixture
def halted(served: Path) -> Path:
    """A release that two devices crashed on."""
    store = Store(Federation(served).database)
    lifecycle_story.fare(store, 2, {"EWR-UA": "crashed", "LGA-DL": "crashed"}, moment=story.NOW - 300)
    why = "4 of 4 devices said how they fare: 2 crashed; at most 5 % may fail, so many do by bad luck 1.4% of the time"
    lifecycle_story.step(store, 2, 50, moment=story.NOW - 60, why=why, to="halted")
    store.close()
    return served


@every
@sized
def test_a_halted_rollout(snap_compare: Compare, opened: Open, halted: Path, size: tuple[int, int], theme: str) -> None:
    assert snap_compare(opened(halted), terminal_size=size, run_before=showing("4", theme=theme))


@every
@sized
def test_a_season_of_drift(
    snap_compare: Compare, opened: Open, surveyed: Path, size: tuple[int, int], theme: str
) -> None:
    assert snap_compare(opened(surveyed), terminal_size=size, run_before=showing("5", theme=theme))


@every
@sized
@pytest.mark.parametrize(
    "keys",
    [
        ("3", "d"),
        ("3", "j", "enter"),
        ("3", "enter"),
        ("3", "p"),
        ("3", "j", "j", "w"),
        ("4", "p"),
        ("4", "a"),
        ("4", "H"),
        ("6", "c"),
    ],
    ids=["diff", "unfolded", "page", "promote", "withdraw", "pause", "advance", "halt", "calculator"],
)
def test_what_a_key_opens(
    snap_compare: Compare, opened: Open, served: Path, keys: tuple[str, ...], size: tuple[int, int], theme: str
) -> None:
    assert snap_compare(opened(served), terminal_size=size, run_before=renamed(pressed(*keys, theme=theme)))


@every
@sized
@pytest.mark.parametrize("key", ["a", "n"], ids=["accept", "decline"])
def test_an_answer_to_the_policy(
    snap_compare: Compare, opened: Open, surveyed: Path, key: str, size: tuple[int, int], theme: str
) -> None:
    assert snap_compare(opened(surveyed), terminal_size=size, run_before=renamed(pressed("5", key, theme=theme)))


def pressed(*keys: str, theme: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    """Press keys one after the other, each once the one before was drawn."""

    async def press(pilot: Pilot[None]) -> None:
        app = await settled(pilot)
        app.theme = theme
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            await pilot.pause()

    return press
