"""An application beside the agent: it asks over the socket."""

import json
import socket
import time
from pathlib import Path
from threading import Event

from simulations.machines import RECORDS

Answer = tuple[int, int, float]
"""Release, version, and the score of the second class."""

_SECONDS = 5.0


def wait_for(path: Path, over: Event, *, seconds: float) -> bool:
    """Wait until somebody listens; False once the agent is over, or it takes too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not over.is_set():
        if _ask(path, RECORDS[0]) is not None:
            return True
        over.wait(0.01)
    return False


def ask_all(path: Path) -> list[Answer | None]:
    """The answer to each of `RECORDS`; None where there is none."""
    found: list[Answer | None] = []
    for record in RECORDS:
        status, body = _ask(path, record) or (0, b"")
        found.append(_read(body) if status == 200 else None)
    return found


def _read(body: bytes) -> Answer:
    document = json.loads(body)
    return int(document["release"]), int(document["model_version"]), float(document["scores"]["stops"])


def _ask(path: Path, record: object) -> tuple[int, bytes] | None:
    """Status and body, or None if nobody answers."""
    body = json.dumps(record).encode()
    head = f"POST /v1/predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(_SECONDS)
            one.connect(str(path))
            one.sendall(head.encode() + b"connection: close\r\n\r\n" + body)
            answer = b"".join(iter(lambda: one.recv(65536), b""))
    except OSError:
        return None
    found, _, content = answer.partition(b"\r\n\r\n")
    return (int(found.split(b" ")[1]), content) if found else None
