"""What an operator does to a rollout: pause, resume, advance, halt. Each is signed at once and kept in the audit log."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from server.config import Federation
from server.rollout_duty import OPERATOR, held, open_stage, sign, sign_halt
from server.rollouts import Situation
from server.situation import look
from server.stages import following
from server.store import Store
from shared.errors import InputError
from shared.rollout import Rollout
from shared.tasks import Task


def pause(federation: Federation, store: Store, task: Task, *, command: str = "") -> Rollout:
    """Keep a rollout where it is; a harmful release is still halted."""
    with _operated(federation, store, task) as (found, document):
        if document.state == "paused":
            raise InputError(f"the rollout of {task.name!r} is paused already; `covey rollout resume` lets it go on")
        paused = replace(document, state="paused")
        return sign(federation, store, paused, why="an operator paused it", act="pause", command=command, at=found.now)


def resume(federation: Federation, store: Store, task: Task, *, command: str = "") -> Rollout:
    """Let a paused rollout go on."""
    with _operated(federation, store, task) as (found, document):
        if document.state != "paused":
            raise InputError(f"the rollout of {task.name!r} is not paused")
        going = replace(document, state="rolling")
        return sign(federation, store, going, why="an operator resumed it", act="resume", command=command, at=found.now)


def advance(federation: Federation, store: Store, task: Task, *, command: str = "") -> Rollout:
    """Open the next stage now, or complete the last one, whatever is still waited for."""
    why = "an operator opened it before it was due"
    with _operated(federation, store, task, fresh=True) as (found, document):
        percent = following(found.terms, document.stage_bp) if found.steps else found.terms.stages[0]
        if percent is not None:
            return open_stage(
                federation, store, task, found, percent=percent, why=why, actor=OPERATOR, command=command, act="advance"
            )
        done = replace(document, state="complete", shadow_bp=0)
        return sign(federation, store, done, why=why, act="advance", command=command, at=found.now)


def halt(
    federation: Federation, store: Store, task: Task, *, command: str = "", why: str = "an operator halted it"
) -> Rollout:
    """Take the newest release away from every device at once, by the online role alone; also one that was complete."""
    with _operated(federation, store, task, complete=True, fresh=True) as (found, document):
        return sign_halt(federation, store, document, why=why, actor=OPERATOR, command=command, at=found.now)


@contextmanager
def _operated(
    federation: Federation, store: Store, task: Task, *, complete: bool = False, fresh: bool = False
) -> Generator[tuple[Situation, Rollout]]:
    """What an operator acts on, with the lock held; raise `InputError` where nothing is on its way.

    `complete` allows a rollout that came to its end, `fresh` one whose canary was never opened.
    """
    with held(federation, store, task):
        found = look(store, task, now=time.time())
        if found is None:
            raise InputError(f"no release of {task.name!r} is on its way in stages; `covey promote` starts one")
        document = found.document or Rollout(number=0, task=task.name, release=found.release.number, share_bp=0)
        if found.document is None and not fresh:
            raise InputError(f"release {found.release.number} has no canary yet; `covey rollout advance` opens it")
        if document.state == "halted" or (document.state == "complete" and not complete):
            raise InputError(f"the rollout of release {document.release} of {task.name!r} is {document.state} already")
        yield found, document
