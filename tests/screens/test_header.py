"""The header's one line: what matters when something is wrong stays, whatever room there is."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import story
from screens.conftest import Open, settled, until
from textual.content import Content

from server.config import Federation
from server.records import Progress
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.fitting import Parts, fitted
from server.tui.header import Header
from shared.lock import only_one

WIDTHS = (80, 120)
both = pytest.mark.parametrize("width", WIDTHS)


@pytest.fixture
def refused(told: Path) -> Path:
    """A round in which three refused."""
    reasons = {"budget": 2, "consent": 1}
    store = Store(Federation(told).database)
    store.set_progress(Progress(
        run_id=5, round_number=8, rounds=20, phase="training", cohort=7, returned=1, refused=3, reasons=reasons,
        at=story.NOW - 3,
    ))  # fmt: skip
    store.close()
    return told


@pytest.fixture
def calm(told: Path) -> Path:
    """A round in which nobody refused yet."""
    store = Store(Federation(told).database)
    store.set_progress(replace(store.progress(5) or pytest.fail("the story has no run 5"), refused=0))
    store.close()
    return told


@both
@pytest.mark.usefixtures("served")
async def test_of_a_running_run(opened: Open, calm: Path, width: int) -> None:
    said = await header(opened(calm), width)
    assert "new-york" in said
    assert "● serving" in said
    assert "<10 s ago" in said
    assert "ε ≤ " in said
    assert "round 7/20" in said


@both
@pytest.mark.usefixtures("served")
async def test_of_a_running_run_that_was_refused(opened: Open, refused: Path, width: int) -> None:
    said = await header(opened(refused), width)
    assert "new-york" in said
    assert "● serving" in said
    assert "<10 s ago" in said
    assert "ε ≤ " in said
    assert "8/20" in said
    assert "3 refused" in said


@both
@pytest.mark.usefixtures("served")
async def test_of_a_read_only_screen(refused: Path, width: int) -> None:
    said = await header(CoveyApp(refused, clock=lambda: story.NOW, read_only=True), width)
    assert "new-york" in said
    assert "● serving" in said
    assert " READ-ONLY " in said
    assert "<10 s ago" in said
    assert "ε ≤ " in said


@both
@pytest.mark.parametrize("read_only", [False, True], ids=["acting", "read-only"])
async def test_of_a_store_that_cannot_be_read(told: Path, width: int, read_only: bool) -> None:
    app = CoveyApp(told, clock=lambda: story.NOW + 420, read_only=read_only)
    async with app.run_test(size=(width, 24)) as pilot:
        await settled(pilot)
        Federation(told).database.rename(told / "elsewhere.db")
        await until(pilot, lambda: app.trouble)
        said = app.query_one(Header).render_line(0).text
    assert "new-york" in said
    assert "✕ store unreadable" in said
    assert "✕ 7 min old" in said
    assert (" READ-ONLY " in said) == read_only


@both
async def test_of_a_run_that_nobody_carries_on(opened: Open, told: Path, width: int) -> None:
    """A killed coordinator says nothing: its run is neither shown as running, nor with a time that it may still take."""
    async with opened(told).run_test(size=(width, 40)) as pilot:
        app = await settled(pilot)
        with only_one(Federation(told).lock, what="a coordinator"):
            await until(pilot, lambda: "● " in head(app) and "round 7" in head(app))
            await pilot.press("2")
            await until(pilot, lambda: " left" in panel(app))
            assert "● running" in panel(app) or "● round 7" in panel(app)
        await until(pilot, lambda: "▲ not serving" in head(app))
        assert "◌ waits" in head(app)
        assert "●" not in head(app)
        assert "◌ waits for the coordinator" in panel(app)
        assert "stands still" in panel(app)
        assert " left" not in panel(app)
        assert "running" not in panel(app)
        assert "◌ waits" in shown(app, "#runs")


@given(
    width=st.integers(4, 240), name=st.text("abcdefgh-", min_size=1, max_size=40), badge=st.booleans(),
    cost=st.booleans(),
)  # fmt: skip
def test_it_is_one_line_that_fits(width: int, name: str, badge: bool, cost: bool) -> None:
    said = fitted(
        Parts(
            federation=name, badge=Content(" READ-ONLY " if badge else ""), runs=(Content("run 5 runs"), Content("runs")),
            least=(Content("5"),), cost=Content("ε ≤ 4 of 8" if cost else ""), ages=(Content("news now"), Content("now")),
            service=Content("● serving"),
        ),
        width,
    )  # fmt: skip
    assert said.cell_length <= width
    if width >= 80:
        assert all(word in said.plain for word in ("now", "● serving", name[:7], "READ-ONLY" if badge else ""))
        assert ("ε" in said.plain) == cost


async def header(app: CoveyApp, width: int) -> str:
    """What the header says once the store is read."""
    async with app.run_test(size=(width, 24)) as pilot:
        await settled(pilot)
        return head(app)


def head(app: CoveyApp) -> str:
    return app.query_one(Header).render_line(0).text


def panel(app: CoveyApp) -> str:
    return shown(app, "#run")


def shown(app: CoveyApp, widget: str) -> str:
    """What a widget says; nothing before it is there."""
    found = app.query(widget)
    return "\n".join(strip.text for strip in found.first().render_lines(found.first().size.region)) if found else ""
