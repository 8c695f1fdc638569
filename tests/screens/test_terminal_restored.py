"""However the terminal UI ends, the terminal is as it was: its screen, its cursor, its modes."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from simulations.benchmarks.terminal import Terminal

ROOT = Path(__file__).parents[2]
ALTERNATE, BACK, HIDDEN, SHOWN = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h"
MOUSE_OFF, PASTE_OFF = b"\x1b[?1000l", b"\x1b[?2004l"

RAISE_IN_A_TICK = """
import sys
from pathlib import Path
from server.tui.app import CoveyApp

def broken(self):
    raise ZeroDivisionError("division by zero")

show = CoveyApp.show
CoveyApp.show = lambda self: show(self) if self.snapshot is None else broken(self)
CoveyApp(Path(sys.argv[1])).run()
"""


def command(home: Path, program: str = "") -> list[str]:
    how = ["-c", program, str(home)] if program else ["-m", "server", "--home", str(home)]
    return [sys.executable, *how]


def assert_restored(terminal: Terminal) -> None:
    written = terminal.written
    assert written.rindex(BACK) > written.rindex(ALTERNATE)
    assert written.rindex(SHOWN) > written.rindex(HIDDEN)
    assert MOUSE_OFF in written
    assert PASTE_OFF in written
    assert terminal.modes() == terminal.before


def test_after_q(told: Path) -> None:
    with Terminal(command(told), cwd=ROOT) as terminal:
        terminal.until(b"EWR-UA", start=0)
        assert terminal.modes() != terminal.before
        terminal.type("q")
        assert terminal.ended() == 0
        assert_restored(terminal)


def test_after_an_exception_that_nobody_foresaw(told: Path) -> None:
    with Terminal(command(told, RAISE_IN_A_TICK), cwd=ROOT) as terminal:
        terminal.ended()
        assert_restored(terminal)
        said = terminal.written[terminal.written.rindex(BACK) :]
        assert b"covey: the terminal UI ended on ZeroDivisionError" in said
        assert b"Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_after_a_signal_that_ends_it(told: Path, number: signal.Signals) -> None:
    with Terminal(command(told), cwd=ROOT) as terminal:
        terminal.until(b"EWR-UA", start=0)
        terminal.send(number)
        terminal.ended()
        assert_restored(terminal)


def test_while_it_is_set_aside(told: Path) -> None:
    """`kill -TSTP`, or ctrl+z of a shell: the shell gets its own screen, and the UI draws itself anew afterwards."""
    with Terminal(command(told), cwd=ROOT) as terminal:
        terminal.until(b"EWR-UA", start=0)
        terminal.send(signal.SIGTSTP)
        terminal.until(BACK)
        while psutil.Process(terminal.pid).status() != psutil.STATUS_STOPPED:
            terminal.read(0.01)
        terminal.send(signal.SIGCONT)
        terminal.until(ALTERNATE, b"EWR-UA")
        terminal.type("q")
        assert terminal.ended() == 0


def test_a_storm_of_sizes_in_a_real_terminal(told: Path) -> None:
    with Terminal(command(told), cwd=ROOT) as terminal:
        terminal.until(b"EWR-UA", start=0)
        for columns in (*range(40, 200, 7), 80):
            terminal.resize(columns, 24)
        terminal.until(b"Logs", b"Help")
        terminal.type("q")
        assert terminal.ended() == 0
