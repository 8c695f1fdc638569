"""The process of one run: takes Flower's task over loopback and lets the installed ServerApp conduct it.

Its parent writes one line to its stdin, the `Ticket`, and keeps the pipe open: when the parent dies, even
by SIGKILL, the pipe ends and so does this process. A secret on argv or in the environment would be seen.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from server.config import Federation
from server.flower_environment import prepare
from server.logs import write_logs
from server.records import ACTIVE
from server.store import Store
from server.tracing import tracing
from shared import wire
from shared.errors import CoveyError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Where the coordinator listens on loopback, and the token of the one task that this process may do."""

    address: str
    token: str


def main() -> int:
    """Conduct the run that the command line names; 0 if it came to its end."""
    federation, run_id, verbose = _arguments()
    write_logs(federation.logs / f"run-{run_id}.log", verbose=verbose)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _leave)
    prepare(federation)
    ticket = wire.from_json(Ticket, sys.stdin.buffer.readline(), what="ticket")
    threading.Thread(target=_die_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    with tracing():
        return conduct(federation, run_id, ticket)


def conduct(federation: Federation, run_id: int, ticket: Ticket) -> int:
    """Do the run and keep how it ended in the store."""
    try:
        _serve(federation, run_id, ticket)
    except CoveyError as error:
        log.warning("run %d failed: %s", run_id, error)
        return _end(federation, run_id, str(error))
    except Exception as error:
        log.exception("run %d failed", run_id)
        where = federation.logs / f"run-{run_id}.log"
        return _end(federation, run_id, f"{type(error).__name__} inside the run; {where} says where")
    return _end(federation, run_id, "")


def _serve(federation: Federation, run_id: int, ticket: Ticket) -> None:
    from server.app import app
    from server.flowerrun import claimed_task

    authority = (federation.tls / "ca.crt").read_bytes()
    with claimed_task(address=ticket.address, authority=authority, token=ticket.token) as (grid, context):
        context.run_config = {"covey-home": str(federation.home), "covey-run": run_id}
        app(grid=grid, context=context)


def _end(federation: Federation, run_id: int, failure: str) -> int:
    """The app itself says how it ended; this catches what ended without a word."""
    store = Store(federation.database, create=False)
    state = store.run(run_id).state
    if state in ACTIVE:
        ended = "failed" if failure else "stopped" if state == "stopping" else "finished"
        store.set_run_state(run_id, ended, failure)
    store.close()
    return 1 if failure else 0


def _arguments() -> tuple[Federation, int, bool]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--run", type=int, required=True)
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    return Federation(given.home), given.run, given.verbose


def _die_with_parent(pipe: BinaryIO) -> None:
    pipe.read()
    os._exit(os.EX_TEMPFAIL)


def _leave(_signal: int, _frame: object) -> NoReturn:
    """The coordinator stops, or ended the Flower run; what becomes of the Covey run is for it to say."""
    raise SystemExit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    sys.exit(main())
