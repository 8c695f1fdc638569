"""What each of the owner's views looks like, to the last cell: small, usual and large, dark and light, full and empty."""

from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest
from screens.owner.conftest import Open, settled, steady
from textual.pilot import Pilot

from client.config import AgentHome
from client.store import AgentStore
from client.tui.header import VIEWS

SIZES = ((80, 24), (120, 40), (200, 60))
Compare = Callable[..., bool]


def showing(*keys: str, theme: str = "agent-dark") -> Callable[[Pilot[None]], Awaitable[None]]:
    """Press keys once the files are read, then wait for the drawing."""

    async def press(pilot: Pilot[None]) -> None:
        app = await settled(pilot)
        app.theme = theme
        await pilot.press(*keys)
        await pilot.pause()
        await settled(pilot)
        await steady(pilot)

    return press


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", VIEWS)
def test_view(snap_compare: Compare, opened: Open, told: AgentHome, view: str, size: tuple[int, int]) -> None:
    assert snap_compare(opened(told, view=view), terminal_size=size, run_before=showing())


@pytest.mark.parametrize("view", VIEWS)
def test_empty_view_says_what_to_do(snap_compare: Compare, opened: Open, fresh: AgentHome, view: str) -> None:
    assert snap_compare(opened(fresh, view=view), terminal_size=(80, 24), run_before=showing())


@pytest.mark.parametrize("theme", ["agent-light", "textual-dark"])
def test_theme(snap_compare: Compare, opened: Open, told: AgentHome, theme: str) -> None:
    assert snap_compare(opened(told, view="Labels"), terminal_size=(120, 40), run_before=showing(theme=theme))


def test_withdraw_dialog(snap_compare: Compare, opened: Open, told: AgentHome) -> None:
    assert snap_compare(opened(told, view="Consent"), terminal_size=(80, 24), run_before=showing("w"))


def test_agree_dialog(snap_compare: Compare, opened: Open, told: AgentHome) -> None:
    with closing(AgentStore(told.database)) as store:
        store.withdraw("flights")
    assert snap_compare(opened(told, view="Consent"), terminal_size=(80, 24), run_before=showing("a"))


def test_help_dialog(snap_compare: Compare, opened: Open, told: AgentHome) -> None:
    assert snap_compare(opened(told), terminal_size=(80, 24), run_before=showing("question_mark"))
