"""The watcher reads when the store moved and only then, and says so when it cannot."""

import subprocess
import sys
import threading
from pathlib import Path

from screens import story
from textual.message import Message

from server.config import Federation
from server.store import Store
from server.tui.watcher import LOOK_SECONDS, Changed, Reader, Unreadable, watch

HEAVY = ("typer", "click", "flwr", "torch", "opacus", "dp_accounting", "tuf", "onnx", "onnxruntime", "opendp", "polars")


def test_the_terminal_imports_none_of_the_heavy_libraries() -> None:
    program = f"import server.__main__, server.tui.app, sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_it_looks_at_most_four_times_a_second() -> None:
    assert LOOK_SECONDS >= 0.25


def test_it_reads_once_until_somebody_writes(told: Path) -> None:
    said: list[Message] = []
    stop = threading.Event()
    second = threading.Event()

    def tell(message: Message) -> None:
        said.append(message)
        if len(said) == 2:
            second.set()

    thread = threading.Thread(target=watch, args=(Federation(told), tell, stop))
    thread.start()
    assert not second.wait(LOOK_SECONDS * 4)
    with_writer = Store(Federation(told).database)
    with_writer.set_device_state("PHL-AA", "approved")
    assert second.wait(30)
    stop.set()
    thread.join()
    with_writer.close()
    last = said[-1]
    assert isinstance(last, Changed)
    assert {device.name: device.state for device in last.snapshot.devices}["PHL-AA"] == "approved"
    assert len(said) == 2


def test_it_says_once_that_there_is_no_federation(tmp_path: Path) -> None:
    said: list[Message] = []
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(Federation(tmp_path), said.append, stop))
    thread.start()
    stop.wait(LOOK_SECONDS * 4)
    stop.set()
    thread.join()
    [only] = said
    assert isinstance(only, Unreadable)
    assert "holds no federation" in only.reason


def test_a_damaged_store_is_reported_and_not_raised(told: Path) -> None:
    Federation(told).database.write_bytes(b"not a database at all" * 400)
    for leftover in told.glob("covey.db-*"):
        leftover.unlink()
    said: list[Message] = []
    stop = threading.Event()

    def tell(message: Message) -> None:
        said.append(message)
        stop.set()

    watch(Federation(told), tell, stop)
    assert isinstance(said[0], Unreadable)


def test_a_snapshot_counts_what_devices_did(told: Path) -> None:
    reader = Reader(Federation(told))
    snapshot = reader.read()
    reader.close()
    part = snapshot.participation["LGA-MQ"]
    assert (part.asked, part.returned, part.last_refusal) == (20, 16, "budget")
    assert snapshot.participation["PHL-AA"].asked == 0
    assert snapshot.newest == story.NOW - 2
