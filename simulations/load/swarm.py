"""One process of the swarm: many embedded nodes, told on stdin what to do, counted on stdout.

`python -m simulations.load.swarm COORDINATOR AUTHORITY KEYS FIRST COUNT SIZE PACED` runs the nodes FIRST to FIRST + COUNT - 1.
A line `count` on stdin is answered by one line of JSON, `stop` or the end of stdin lets every node leave.
"""

import json
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from simulations.load.ground import read_keys

APART_SECONDS = 0.004
"""Between two nodes' first requests, so that the start is no storm of handshakes."""

_STACK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which nodes a process runs, and against whom."""

    coordinator: str
    authority: Path
    keys: Path
    first: int
    count: int
    size: int


def main() -> None:
    """Run a part of the swarm until it is told to stop."""
    os.environ["FLWR_TELEMETRY_ENABLED"], os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "0", "1"
    coordinator, authority, keys, *numbers = sys.argv[1:]
    first, count, size = map(int, numbers)
    threading.stack_size(_STACK_BYTES)
    run(
        Part(
            coordinator=coordinator, authority=Path(authority), keys=Path(keys),
            first=first, count=count, size=size,
        )
    )  # fmt: skip


def run(part: Part) -> None:
    """Start the nodes one after another, answer `count`, and leave at the end of stdin."""
    from client.coordinator import trust_only
    from simulations.load.nodes import Tally, make_node

    logging.getLogger("flwr").setLevel(logging.ERROR)
    tally, stopping = Tally(size=part.size), Event()
    trust = trust_only(part.authority.read_bytes())
    keys = read_keys(part.keys)[part.first : part.first + part.count]
    nodes = [
        make_node(part.coordinator, trust, key, tally, seed=part.first + place, stopping=stopping)
        for place, key in enumerate(keys)
    ]
    threads = [Thread(target=node.run, daemon=True) for node in nodes]
    for thread in threads:
        thread.start()
        time.sleep(APART_SECONDS)
    for line in sys.stdin:
        if line.strip() != "count":
            break
        with tally.lock:
            said = {
                "requests": dict(tally.requests), "asked": tally.asked, "again": tally.again,
                "answered": tally.answered, "void": tally.void,
            }  # fmt: skip
            print(json.dumps(said), flush=True)  # noqa: T201 - the parent reads it
    stopping.set()
    os._exit(0)  # polls that rest would hold the process for as long as they rest


if __name__ == "__main__":
    main()
