"""How the terminal UI feels: a real process in a terminal, on 10,000 devices of which 50 speak each second.

`first_paint` is from the start of the process to its frame on screen, `first_rows` to the fleet in it. A key is painted
once the row that it leads to is written. Idle bytes are what a fleet at rest costs a connection.

python -m simulations.benchmarks tui
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from server.config import Federation
from simulations.benchmarks.terminal import FRAME, Terminal
from simulations.benchmarks.tui_store import make, names, touched

DEVICES, UPDATES = 10_000, 50
STARTS, KEYS, IDLE_SECONDS, BUSY_SECONDS = 7, 150, 20.0, 10.0
FIRST_PAINT_SECONDS, KEY_MS, REDRAWS, IDLE_BYTES = 0.5, 50.0, 10.0, 100.0
SETTLED_SECONDS = 75.0
"""After so long no age is told in seconds any more: the fleet is at rest."""
PAUSES = (0.05, 0.15)
"""Seconds between two keys, as a person holds or presses them."""

Row = dict[str, Any]


def measure() -> list[Row]:
    """All figures, on a made federation in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        federation, made = make(Path(folder) / "federation", DEVICES), time.monotonic()
        return [*_starts(federation), *_running(federation, made)]


def _command(federation: Federation) -> list[str]:
    return [sys.executable, "-m", "server", "--home", str(federation.home)]


def _starts(federation: Federation) -> list[Row]:
    """How long until something, and until everything, is on screen."""
    frames: list[float] = []
    rows: list[float] = []
    for _ in range(STARTS):
        with Terminal(_command(federation)) as terminal:
            frames.append(terminal.until(b"Fleet", start=0) - terminal.started)
            rows.append(terminal.until(names(1)[0].encode(), start=0) - terminal.started)
    return [
        _bounded("tui.first_paint", statistics.median(frames), "s", FIRST_PAINT_SECONDS),
        {"name": "tui.first_rows", "value": statistics.median(rows), "unit": "s"},
    ]


def _running(federation: Federation, made: float) -> list[Row]:
    """What a rest costs, then how fast keys are painted while devices speak."""
    with Terminal(_command(federation)) as terminal:
        terminal.until(names(1)[0].encode(), start=0)
        terminal.read(max(3.0, made + SETTLED_SECONDS - time.monotonic()))
        idle = len(terminal.read(IDLE_SECONDS)) / IDLE_SECONDS
        with touched(federation, names(DEVICES), each_second=UPDATES):
            terminal.read(2.0)
            waits = sorted(_keys(terminal))
            redraws = terminal.read(BUSY_SECONDS).count(FRAME) / BUSY_SECONDS
    p95 = waits[int(0.95 * len(waits))]
    return [
        {"name": "tui.key_to_paint.p50", "value": statistics.median(waits), "unit": "ms"},
        _bounded("tui.key_to_paint.p95", p95, "ms", KEY_MS),
        _bounded("tui.redraws", redraws, "/s", REDRAWS),
        _bounded("tui.idle_bytes", idle, "bytes/s", IDLE_BYTES),
    ]


def _keys(terminal: Terminal) -> list[float]:
    """Milliseconds from each key that moves the cursor to the row that it leads to."""
    draw, waits = random.Random(3), list[float]()  # noqa: S311 - when to press a key
    for row in names(KEYS + 1)[1:]:
        terminal.read(draw.uniform(*PAUSES))
        pressed = time.monotonic()
        terminal.type("j")
        waits.append(1e3 * (terminal.until(row.encode(), seconds=10) - pressed))
    return waits


def _bounded(name: str, value: float, unit: str, most: float) -> Row:
    return {"name": name, "value": value, "unit": unit, "target": f"<= {most:g}", "meets": value <= most}
