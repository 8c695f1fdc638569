"""One journey in a real terminal: what a person sees in tmux, from the first screen to leaving it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TMUX = shutil.which("tmux")

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")

Screen = Callable[..., str]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs tmux on a server of its own."""
    socket = str(tmp_path / "tmux.sock")
    # A size in the environment would stand above the terminal's own.
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}

    def run(*words: str) -> str:
        done = subprocess.run(
            [str(TMUX), "-u", "-f", os.devnull, "-S", socket, *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        return done.stdout

    yield run
    run("kill-server")


def until(seen: Callable[[], str], *wanted: str) -> str:
    """The screen once it shows everything wanted."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if all(word in (said := seen()) for word in wanted):
            return said
        time.sleep(0.1)
    raise AssertionError(f"tmux never showed {wanted}:\n{seen()}")


def test_a_newcomer_looks_around_finds_a_device_and_leaves(tmux: Callable[..., str], served: Path) -> None:
    tmux("new-session", "-d", "-s", "covey", "-x", "80", "-y", "24", "-c", str(ROOT), "sh")

    def seen() -> str:
        return tmux("capture-pane", "-p", "-t", "covey")

    def press(*keys: str) -> None:
        tmux("send-keys", "-t", "covey", *keys)

    def leave(what: str) -> None:
        press("Escape")
        until(lambda: "gone" if what not in seen() else "there", "gone")

    press(f"PS1='here> '; {sys.executable} -m server --home {served}", "Enter")
    until(seen, "1 Fleet", "8 Logs", "EWR-B6", "? Help")
    press("?")
    until(seen, "Keys and words", "In this view")
    leave("Keys and words")
    press("/", "state:refused", "Enter")
    until(seen, "1 of 10", "JFK-AA")
    press("Enter")
    until(seen, "Fleet ▸", "esc goes back")
    leave("esc goes back")
    until(seen, "state:refused")
    leave("of 10")
    press("2")
    until(seen, "Runs", "running")
    tmux("resize-window", "-t", "covey", "-x", "120", "-y", "40")
    until(seen, "Answers by round", "8 Logs")
    press(":", "q", "Enter")
    until(seen, "here> ")
    assert tmux("display", "-p", "-t", "covey", "#{alternate_on}").strip() == "0"
