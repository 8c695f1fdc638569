"""A screen on which nothing happens sends nothing: a terminal may be at the end of a slow line."""

import sys
from pathlib import Path

import pytest
from screens.conftest import Open, settled

from server.tui.header import Line
from simulations.benchmarks.terminal import Terminal

ROOT = Path(__file__).parents[2]
VIEWS = "12345678"
SETTLED, AT_REST = 1.5, 3.0
"""Seconds without a byte after which a screen is drawn; seconds of silence that are asked for then."""


@pytest.mark.parametrize("view", VIEWS)
async def test_an_empty_state_is_drawn_once(opened: Open, empty: Path, view: str) -> None:
    async with opened(empty).run_test(size=(80, 24)) as pilot:
        app = await settled(pilot)
        await pilot.press(view)
        await pilot.pause(0.3)
        shown = app.require_view().query_one(".empty", Line)
        drawn: list[object] = []
        shown.refresh = lambda *_, **__: drawn.append(1)  # type: ignore[method-assign,assignment,return-value]
        for _ in range(3):
            app.show()
        assert drawn == []
        shown.update("another text")
        assert drawn


@pytest.mark.parametrize("view", "12")
def test_an_empty_federation_at_rest_writes_nothing(empty: Path, view: str) -> None:
    with Terminal([sys.executable, "-m", "server", "--home", str(empty)], cwd=ROOT, size=(80, 24)) as terminal:
        terminal.until(b"No device has joined yet", start=0)
        terminal.type(view)
        for _ in range(20):
            if not terminal.read(SETTLED):
                break
        assert terminal.read(AT_REST) == b""
