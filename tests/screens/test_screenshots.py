"""The pictures that the documentation shows are drawn from a federation's directory."""

import re
from pathlib import Path

import pytest

from server.config import Federation
from server.records import EvaluationRequest
from server.store import Store
from server.tui.header import VIEWS
from shared.errors import InputError
from shared.tasks import Window
from simulations.screenshots import LIGHT, draw, draw_all, write


async def test_each_view_becomes_a_picture_of_one_size_that_fetches_nothing(told: Path, tmp_path: Path) -> None:
    files = write(await draw_all(told, size=(100, 30)), tmp_path / "images")
    assert [file.name for file in files] == [f"{name.lower()}.svg" for name in (*VIEWS, f"{LIGHT}-light")]
    pictures = {file.stem: file.read_text(encoding="utf-8") for file in files}
    for name, svg in pictures.items():
        assert "EWR-UA" in svg or name not in {"fleet", "fleet-light", "privacy"}
        assert "@font-face" not in svg
    assert len({size for svg in pictures.values() for size in re.findall(r'viewBox="([^"]*)"', svg)}) == 1
    assert words(pictures["fleet"]) == words(pictures["fleet-light"])
    assert pictures["fleet"] != pictures["fleet-light"]


async def test_rounds_are_those_of_the_newest_campaign_whatever_ran_since(idle: Path) -> None:
    evaluated_since(idle)
    svg = (await draw(idle, size=(120, 36), theme="covey-dark", views=["Rounds"]))["Rounds"]
    assert "this run asks once" not in words(svg)
    assert "committed" in words(svg)


async def test_a_directory_without_a_federation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no federation"):
        await draw(tmp_path, size=(80, 24), theme="covey-dark")


def evaluated_since(home: Path) -> None:
    """An evaluation, which asks once, as the newest run."""
    store = Store(Federation(home).database)
    request = EvaluationRequest(
        task="flights", version=1, window=Window(start="2013-07-01"), noise_multiplier=20.0, quorum=4,
        deadline_seconds=60.0,
    )  # fmt: skip
    store.set_run_state(store.queue_run("flights", "evaluate", request), "finished")
    store.close()


def words(svg: str) -> str:
    """What a picture says."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg)).replace("&#160;", " ")
