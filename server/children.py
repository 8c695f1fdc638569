"""The processes of running runs: started with a ticket, watched, and stopped when the coordinator stops."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from server.config import Federation
from server.runs import Ticket
from shared import wire

_OUR_CODE = str(Path(__file__).parent.parent)
"""The child runs the very code of its parent, whatever lies in the directory that it is started from."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A run's process and the Flower run that it holds."""

    run_id: int
    flower_run: int
    process: Process


class Children:
    """At most one process a run."""

    def __init__(self, federation: Federation, *, verbose: bool) -> None:
        """No process yet."""
        self._federation, self._verbose = federation, verbose
        self._children: dict[int, Child] = {}

    def __contains__(self, run_id: int) -> bool:
        return run_id in self._children

    async def start(self, run_id: int, *, flower_run: int, ticket: Ticket) -> None:
        """Start the process of a run and hand it its ticket."""
        arguments = ["--home", str(self._federation.home.resolve()), "--run", str(run_id)]
        if self._verbose:
            arguments.append("--verbose")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "server.runs", *arguments, env={**os.environ, "PYTHONPATH": _OUR_CODE},
            stdin=PIPE, stdout=DEVNULL, stderr=None if self._verbose else DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._children[run_id] = Child(run_id=run_id, flower_run=flower_run, process=process)
        log.info("run %d is process %d", run_id, process.pid)
        if process.stdin is not None:
            process.stdin.write(wire.to_json(ticket) + b"\n")

    def reap(self) -> list[Child]:
        """The children that ended since the last call; they are forgotten."""
        ended = [child for child in self._children.values() if child.process.returncode is not None]
        for child in ended:
            del self._children[child.run_id]
        return ended

    def terminate(self, run_id: int) -> None:
        """Ask a run's process to leave; one that has left already, unnoticed yet, is fine."""
        if child := self._children.get(run_id):
            with suppress(ProcessLookupError):
                child.process.terminate()

    async def stop_all(self, *, patience: float) -> list[Child]:
        """Ask every process to leave, and end those that have not after `patience` seconds."""
        children = list(self._children.values())
        for child in children:
            self.terminate(child.run_id)
        leaving = asyncio.gather(*(child.process.wait() for child in children))
        try:
            await asyncio.wait_for(asyncio.shield(leaving), timeout=patience)
        except TimeoutError:
            for child in children:
                with suppress(ProcessLookupError):
                    child.process.kill()
            await leaving
        self._children.clear()
        return children
