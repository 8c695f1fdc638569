"""The tutorial, typed as it stands: each block of shell in order, in one shell, with only the ports moved."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from coordinator import ROOT, free_port

pytestmark = pytest.mark.proof

PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOLD = "@@ block {}"


def blocks() -> list[tuple[str, str, str]]:
    """Kind, file name and text of every block on the page."""
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def script(folder: Path) -> str:
    """One script of the whole page; files are written where their block stands."""
    parts = ["set -eu", "set -m", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", f"cd {folder}"]
    for number, (kind, name, text) in enumerate(blocks()):
        if name:
            parts.append(f"cat > {name} <<'END_OF_FILE'\n{text}END_OF_FILE")
        elif kind == "sh":
            parts += [f"echo '{TOLD.format(number)}'", text]
    moved = "\n".join(parts)
    return moved.replace("8443", str(free_port())).replace("8444", str(free_port()))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the page's commands print, errors included."""
    folder = tmp_path_factory.mktemp("tutorial")
    commands = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", script(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_every_block_runs(said: str) -> None:
    numbers = [number for number, (kind, name, _) in enumerate(blocks()) if kind == "sh" and not name]
    assert [f"@@ block {number}" in said for number in numbers] == [True] * len(numbers)


def test_the_model_learned_and_was_released_to_all(said: str) -> None:
    assert "10 committed" in said or said.count("committed") >= 10
    assert "release 1" in said


def test_every_declared_gate_was_judged_on_what_the_devices_counted(said: str) -> None:
    for gate in ("AUC", "PR-AUC", "recall at 50% alerts", "calibration error", "worst group's AUC gap", "epsilon"):
        assert re.search(rf"^passed +{gate}  ", said, re.MULTILINE), gate


def test_it_tells_a_ripe_apple_from_an_unripe_one(said: str) -> None:
    asked = said[said.index("Ask it") if "Ask it" in said else 0 :]
    assert re.search(r"\bripe\b", asked)
    assert re.search(r"\bunripe\b", asked)
