"""Federations to look at, and a terminal on one that stands still in time."""

import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from screens import story
from textual.pilot import Pilot

from server.config import Federation
from server.tui.app import CoveyApp
from server.tui.commands import Ran
from shared.lock import only_one

Commands = list[tuple[str, ...]]
Open = Callable[..., CoveyApp]


@pytest.fixture
def commands() -> Commands:
    """What the terminal ran, in order."""
    return []


@pytest.fixture
def opened(commands: Commands) -> Open:
    """A terminal on a home, at the story's moment, whose commands are only written down."""

    async def note(arguments: Sequence[str]) -> Ran:
        commands.append(tuple(arguments))
        return Ran(code=0, said="done")

    def open_app(home: Path, runner: Callable[[Sequence[str]], Awaitable[Ran]] = note) -> CoveyApp:
        return CoveyApp(home, clock=lambda: story.NOW, runner=runner)

    return open_app


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each federation, built once."""
    homes = tmp_path_factory.mktemp("stories")
    for name, build in {"told": story.tell, "idle": story.without_run, "empty": story.found}.items():
        build(homes / name).close()
    return homes


@pytest.fixture
def told(stories: Path, tmp_path: Path) -> Path:
    """The whole story, with a campaign at round 7."""
    return Path(shutil.copytree(stories / "told", tmp_path / "home"))


@pytest.fixture
def served(told: Path) -> Iterator[Path]:
    """The whole story, with a coordinator that serves: what it holds is held."""
    with only_one(Federation(told).lock, what="a coordinator"):
        yield told


@pytest.fixture
def idle(stories: Path, tmp_path: Path) -> Path:
    """The same, with no run under way."""
    return Path(shutil.copytree(stories / "idle", tmp_path / "home"))


@pytest.fixture
def empty(stories: Path, tmp_path: Path) -> Path:
    """A federation that was only just made."""
    return Path(shutil.copytree(stories / "empty", tmp_path / "home"))


async def settled(pilot: Pilot[None]) -> CoveyApp:
    """The terminal once it has read the store and drawn what it read."""
    app = pilot.app
    assert isinstance(app, CoveyApp)
    return await until(pilot, lambda: app.snapshot is not None)


async def until(pilot: Pilot[None], reached: Callable[[], object]) -> CoveyApp:
    """Let the terminal work until something is so."""
    app = pilot.app
    assert isinstance(app, CoveyApp)
    for _ in range(400):
        if reached():
            await pilot.pause()
            await pilot.pause()
            return app
        await pilot.pause(0.025)
    raise AssertionError("the terminal never came to it")


def text_of(app: CoveyApp) -> str:
    """Everything on screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
