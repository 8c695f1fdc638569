"""An error that nobody foresaw ends the terminal UI with one line; the trace goes to a file."""

import subprocess
import sys
from pathlib import Path

from server.config import Federation, Settings
from server.founding import found

BREAK = """
import sys
from pathlib import Path
from server.tui.app import CoveyApp

def broken(self, name):
    secret = "a value that nobody should see"
    raise ZeroDivisionError("division by zero")

CoveyApp.action_view = broken
CoveyApp(Path(sys.argv[1])).run(headless=True)
"""


def test_a_person_sees_one_line_and_no_trace(tmp_path: Path) -> None:
    federation: Federation = found(tmp_path / "federation", Settings(name="works"))
    command = [sys.executable, "-c", BREAK, str(federation.home)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    log = federation.logs / "terminal.log"
    assert "covey: the terminal UI ended on ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "nobody should see" not in said
    assert "ZeroDivisionError: division by zero" in log.read_text()
