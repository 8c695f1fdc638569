"""Agents to look at, and the owner's window on one that stands still in time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from screens.owner import story
from textual.pilot import Pilot

from client.config import AgentHome
from client.tui.app import AgentApp

Open = Callable[..., AgentApp]


@pytest.fixture
def opened() -> Open:
    """A window on a home, at the story's moment."""
    return lambda home, **about: AgentApp(home, clock=lambda: story.NOW, **about)


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each agent, built once."""
    homes = tmp_path_factory.mktemp("agents")
    story.tell(homes / "told")
    story.found(homes / "fresh")
    return homes


@pytest.fixture
def told(agents: Path, tmp_path: Path) -> AgentHome:
    """The whole story."""
    return AgentHome(Path(shutil.copytree(agents / "told", tmp_path / "agent")))


@pytest.fixture
def fresh(agents: Path, tmp_path: Path) -> AgentHome:
    """An agent that has only just joined."""
    return AgentHome(Path(shutil.copytree(agents / "fresh", tmp_path / "agent")))


async def settled(pilot: Pilot[None]) -> AgentApp:
    """The window once it has read the files, explained what it shows, and drawn all of it."""
    app = pilot.app
    assert isinstance(app, AgentApp)
    await until(pilot, lambda: app.snapshot is not None)
    return await until(pilot, lambda: "reading the explanation" not in text_of(app))


async def steady(pilot: Pilot[None]) -> None:
    """Wait until nothing on the screen changes any more, however slow the machine is."""
    shown, same = "", 0
    while same < 5:
        await pilot.pause(0.05)
        now = pilot.app.export_screenshot()
        shown, same = now, same + 1 if now == shown else 0


async def until(pilot: Pilot[None], reached: Callable[[], object]) -> AgentApp:
    """Let the window work until something is so."""
    app = pilot.app
    assert isinstance(app, AgentApp)
    for _ in range(400):
        if reached():
            await pilot.pause()
            await pilot.pause()
            return app
        await pilot.pause(0.025)
    raise AssertionError("the window never came to it")


def text_of(app: AgentApp) -> str:
    """Everything on screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
