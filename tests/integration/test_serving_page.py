"""docs/serving.md: every example runs against a real service."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import make_home
from coordinator import ROOT

from client.serving.service import PredictionService

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    home = make_home(tmp_path_factory.mktemp("a") / "h")
    with PredictionService(home, port=0) as service:
        port = service.listening[1].getsockname()[1]
        yield os.environ | {"COVEY_AGENT_HOME": str(home.path), "COVEY_PORT": str(port), "PYTHONPATH": str(ROOT)}


def test_the_page_has_examples_of_both_kinds() -> None:
    assert {language for language, _ in EXAMPLES} == {"bash", "python"}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(number: int, environment: dict[str, str], tmp_path: Path) -> None:
    language, code = EXAMPLES[number]
    if language == "bash" and not shutil.which("curl"):
        pytest.skip("curl is not on this machine")
    command = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    assert "error" not in found.stdout
    if language == "bash":
        assert re.search('"(label|joined|predictions|ready)":', found.stdout)
