"""The pictures that the documentation shows are drawn from a federation's directory."""

from pathlib import Path

import pytest

from server.tui.header import VIEWS
from shared.errors import InputError
from simulations.screenshots import draw, write


async def test_each_view_becomes_a_picture_that_fetches_nothing(told: Path, tmp_path: Path) -> None:
    files = write(await draw(told, size=(100, 30), theme="covey-dark"), tmp_path / "images")
    assert [file.name for file in files] == [f"{name.lower()}.svg" for name in VIEWS]
    for file in files:
        svg = file.read_text(encoding="utf-8")
        assert "EWR-UA" in svg or file.stem not in {"fleet", "privacy"}
        assert "@font-face" not in svg


async def test_a_directory_without_a_federation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no federation"):
        await draw(tmp_path, size=(80, 24), theme="covey-dark")
