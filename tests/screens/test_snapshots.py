"""What each view looks like, to the last cell: small, usual and large, dark and light, full and empty."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from screens.conftest import Open, settled, until
from textual.pilot import Pilot

from server.tui.logs import LogsView

VIEWS = ("1", "2", "3", "4", "5", "6", "7", "8")
SIZES = ((80, 24), (120, 40), (200, 60))
Compare = Callable[..., bool]


def showing(*keys: str, theme: str = "covey-dark") -> Callable[[Pilot[None]], Awaitable[None]]:
    """Press keys once the store is read, then wait for the drawing."""

    async def press(pilot: Pilot[None]) -> None:
        app = await settled(pilot)
        app.theme = theme
        await pilot.press(*keys)
        await until(pilot, lambda: not isinstance(view := app.view_in_sight(), LogsView) or view.found is not None)

    return press


@pytest.mark.parametrize("theme", ["covey-dark", "covey-light"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", VIEWS)
def test_view(snap_compare: Compare, opened: Open, served: Path, view: str, size: tuple[int, int], theme: str) -> None:
    assert snap_compare(opened(served), terminal_size=size, run_before=renamed(showing(view, theme=theme)))


@pytest.mark.parametrize("view", VIEWS)
def test_empty_view_says_what_to_do(snap_compare: Compare, opened: Open, empty: Path, view: str) -> None:
    assert snap_compare(opened(empty), terminal_size=(80, 24), run_before=showing(view))


@pytest.mark.parametrize("theme", ["covey-light", "textual-dark", "textual-light"])
def test_theme(snap_compare: Compare, opened: Open, served: Path, theme: str) -> None:
    assert snap_compare(opened(served), terminal_size=(120, 40), run_before=showing("4", theme=theme))


def test_gates_of_a_release(snap_compare: Compare, opened: Open, served: Path) -> None:
    assert snap_compare(opened(served), terminal_size=(120, 40), run_before=showing("3", "j", "j"))


@pytest.mark.parametrize("key", ["x", "question_mark"])
def test_dialog_over_a_run(snap_compare: Compare, opened: Open, served: Path, key: str) -> None:
    assert snap_compare(opened(served), terminal_size=(80, 24), run_before=renamed(showing(key)))


def test_start_dialog(snap_compare: Compare, opened: Open, idle: Path) -> None:
    assert snap_compare(opened(idle), terminal_size=(80, 24), run_before=renamed(showing("s")))


def renamed(press: Callable[[Pilot[None]], Awaitable[None]]) -> Callable[[Pilot[None]], Awaitable[None]]:
    """Name the federation's directory alike on every machine, once it is read."""

    async def press_renamed(pilot: Pilot[None]) -> None:
        app = await settled(pilot)
        app.home = Path("federation")
        await press(pilot)

    return press_renamed
