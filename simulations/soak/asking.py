"""Whoever asks: so many questions a second, come what may, each on a connection of its own, two seconds, no retry.

`python -m simulations.soak.asking SOCKET RATE FILE` asks until SIGTERM, and writes a line of CSV for each question:
Unix time at which it was due, seconds until its answer, cause of failure or nothing, record, release, version, score.
"""

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import uvloop

from simulations.machines import RECORDS

PATIENCE_SECONDS = 2.0
NO_ANSWER = (0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and what came of it; `cause` is empty if an answer came in time."""

    due: float
    seconds: float
    cause: str
    record: int
    release: int
    version: int
    score: float


def read(file: Path) -> list[Asked]:
    """Every question, in the order in which they ended."""
    found: list[Asked] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        due, seconds, cause, record, release, version, score = line.split(",")
        found.append(Asked(float(due), float(seconds), cause, int(record), int(release), int(version), float(score)))
    return found


def requests() -> list[bytes]:
    """One request for each of `RECORDS`, as bytes."""
    bodies = [json.dumps(record).encode() for record in RECORDS]
    return [
        b"POST /v1/predict HTTP/1.1\r\nhost: agent\r\ncontent-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
        for body in bodies
    ]


class Asker:
    """Asks at a steady rate, whether or not earlier questions were answered."""

    def __init__(self, socket: str, rate: float, lines: TextIO) -> None:
        """`rate` is questions a second."""
        self._socket, self._rate, self._lines = socket, rate, lines
        self._requests, self._stopping = requests(), asyncio.Event()

    async def run(self) -> None:
        """Ask until told to stop, then wait for what is still open."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        started, number = time.time(), 0
        async with asyncio.TaskGroup() as open_ones:
            while not self._stopping.is_set():
                due = started + number / self._rate
                if (early := due - time.time()) > 0:
                    await asyncio.sleep(early)
                open_ones.create_task(self._put(due, number % len(self._requests)))
                number += 1

    async def _put(self, due: float, record: int) -> None:
        cause, found = "", NO_ANSWER
        try:
            async with asyncio.timeout(max(due + PATIENCE_SECONDS - time.time(), 0)):
                found = _understood(await self._answer(self._requests[record]))
        except TimeoutError:
            cause = "no answer within 2 s"
        except (OSError, EOFError) as error:
            cause = f"connection lost: {type(error).__name__}"
        except ValueError as error:
            cause = str(error)
        release, version, score = found
        self._lines.write(f"{due:.4f},{time.time() - due:.6f},{cause},{record},{release},{version},{score!r}\n")

    async def _answer(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(request)
            return await reader.read(-1)
        finally:
            writer.close()


def _understood(answer: bytes) -> tuple[int, int, float]:
    """Release, version and score of an answer; raise `EOFError` if it is cut short, `ValueError` if it is a refusal."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not body:
        raise EOFError
    status = head.split(b" ", 2)[1].decode()
    if status != "200":
        raise ValueError(f"status {status}")
    try:
        found = json.loads(body)
    except ValueError:
        raise EOFError from None
    return int(found["release"]), int(found["model_version"]), float(found["scores"]["stops"])


def main() -> None:
    """As the module says."""
    socket, rate, file = sys.argv[1:]
    with Path(file).open("w", encoding="utf-8") as lines, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Asker(socket, float(rate), lines).run())


if __name__ == "__main__":
    main()
