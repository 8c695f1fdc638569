"""Acts on rollouts: looks at what is known, lets `server/rollouts.py` decide, signs, and writes down what was done.

One hand at a time is on the rollouts of a federation, across processes: what was decided is signed before anybody decides
anew, so that an operator's halt is never undone by a stage that was about to open.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace

from server.config import Federation
from server.records import SurveyRequest
from server.rollout_role import publish_rollout
from server.rollout_word import keep, newest
from server.rollouts import Ruling, Situation, decide
from server.situation import is_under_way, look, window_of
from server.spending import noise_of
from server.stages import following, narrowed, share_of
from server.store import Store
from shared.errors import InputError
from shared.models import Release
from shared.rollout import WHOLE, Rollout
from shared.tasks import Task

DEADLINE_SECONDS = 300.0
"""How long devices have to answer a canary's survey."""

COORDINATOR, OPERATOR = "coordinator", "operator"


@contextmanager
def steering(federation: Federation) -> Generator[None]:
    """Wait for the rollouts' lock, and hold it; it goes with the process that holds it."""
    descriptor = os.open(federation.rollout_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held(federation: Federation, store: Store, task: Task) -> Generator[None]:
    """Hold the rollouts' lock, with store and repository of one mind about the task."""
    with steering(federation):
        catch_up(federation, store, task)
        yield


def catch_up(federation: Federation, store: Store, task: Task) -> None:
    """Write down what a crash kept from the store, and take back what was not signed here; with the lock held."""
    if lost := keep(federation, store, task.name):
        record(store, lost, why="signed before a crash", at=time.time())
        store.audit(COORDINATOR, "recover", f"{task.name}: rollout {lost.number} was signed before a crash")


def steer_all(federation: Federation) -> None:
    """Do what is due for every task's newest release: the coordinator's standing duty."""
    with closing(Store(federation.database, create=False)) as store:
        for task in store.tasks():
            steer(federation, store, task)


def steer(federation: Federation, store: Store, task: Task, *, now: float | None = None) -> Ruling | None:
    """Decide about a task's newest release and do it; None where nothing is on its way. `now` is Unix time."""
    with held(federation, store, task):
        found = look(store, task, now=time.time() if now is None else now) if is_under_way(store, task) else None
        if found is None:
            return None
        ruling = decide(found)
        _carry_out(federation, store, task, found, ruling)
        return ruling


def begin(
    federation: Federation, store: Store, task: Task, release: Release, *, percent: float, shadow: bool,
    now: float | None = None, command: str = "",
) -> Rollout:  # fmt: skip
    """Sign the first document of a release that was just staged: its canary."""
    why = f"published: the canary comes first, {percent:g} % of the fleet"
    with held(federation, store, task):
        found = look(store, task, now=time.time() if now is None else now)
        if found is None or found.release.number != release.number or found.steps:
            raise InputError(f"release {release.number} of {task.name!r} is on its way already, or is not the newest")
        return open_stage(
            federation, store, task, found, percent=percent, why=why, shadow=shadow, actor=OPERATOR, command=command
        )


def _carry_out(federation: Federation, store: Store, task: Task, found: Situation, ruling: Ruling) -> None:
    document = found.document
    if ruling.act == "open":
        open_stage(federation, store, task, found, percent=ruling.percent, why=ruling.why, actor=COORDINATOR)
    elif ruling.act == "ask":
        _ask(store, task, found)
    elif document is not None and ruling.act == "complete":
        done = replace(document, state="complete", shadow_bp=0)
        sign(federation, store, done, why=ruling.why, act="complete", actor=COORDINATOR, at=found.now)
    elif document is not None and ruling.act == "halt":
        sign_halt(federation, store, document, why=ruling.why, actor=COORDINATOR, at=found.now)
    elif document is not None and ruling.act == "wait":
        _keep_within(federation, store, document, found)


def _keep_within(federation: Federation, store: Store, document: Rollout, found: Situation) -> None:
    """Devices that enrolled since must not take a stage above its percent."""
    share = narrowed(found.release, found.fleet, document.share_bp, document.stage_bp)
    if share < document.share_bp:
        why = f"devices enrolled: {len(found.fleet)} now, and the stage stays within its {document.stage_bp / 100:g} %"
        sign(
            federation, store, replace(document, share_bp=share), why=why, act="narrow", actor=COORDINATOR, at=found.now
        )


def open_stage(
    federation: Federation, store: Store, task: Task, found: Situation, *, percent: float, why: str, actor: str,
    shadow: bool = False, command: str = "", act: str = "open",
) -> Rollout:  # fmt: skip
    """Sign the stage of `percent`; whoever is next looks on first, where the task or the operator wants that."""
    release, fleet = found.release, found.fleet
    stage_bp = round(percent * WHOLE / 100)
    after = following(found.terms, stage_bp)
    looks_on = shadow or found.terms.shadow or any(step.rollout.shadow_bp for step in found.steps)
    opened = Rollout(
        number=0, task=task.name, release=release.number, stage_bp=stage_bp,
        share_bp=share_of(release, fleet, percent),
        shadow_bp=share_of(release, fleet, after) if looks_on and after else 0,
    )  # fmt: skip
    return sign(federation, store, opened, why=why, act=act, actor=actor, command=command, at=found.now)


def sign_halt(
    federation: Federation, store: Store, document: Rollout, *, why: str, actor: str, at: float, command: str = ""
) -> Rollout:
    """Take a release away from every device: they run the one before when they next look."""
    halted = replace(document, state="halted", share_bp=0, shadow_bp=0)
    return sign(federation, store, halted, why=why, act="halt", actor=actor, command=command, at=at)


def sign(
    federation: Federation, store: Store, rollout: Rollout, *, why: str, act: str, at: float, actor: str = OPERATOR,
    command: str = "",
) -> Rollout:  # fmt: skip
    """Sign first, so that a crash in between leaves devices safe; `catch_up` then writes it down.

    The number follows the store's newest one: what stands in the repository may be unreadable, or another hand's.
    """
    before = newest(store.rollouts(rollout.task))
    last = before.number if before else 0
    signed = publish_rollout(federation, replace(rollout, number=last + 1), after=last)
    record(store, signed, why=why, at=at)
    detail = f"{signed.task}: release {signed.release}, {signed.percent:g} % of the fleet: {why}"
    store.audit(actor, act, detail, command=command)
    return signed


def record(store: Store, rollout: Rollout, *, why: str, at: float) -> None:
    """Keep a signed document, and what it makes of its version."""
    store.add_rollout(rollout, why=why, at=at)
    version = next(one.version for one in store.releases(rollout.task) if one.number == rollout.release)
    if rollout.state == "halted":
        store.set_stage(version, "halted")
    elif rollout.state == "complete":
        store.set_stage(version, "released")


def _ask(store: Store, task: Task, found: Situation) -> None:
    """Queue a canary's survey; while another run of the task is under way it waits for the next look."""
    request = canary_request(task, found)
    try:
        number = store.queue_run(task.name, "survey", request)
    except InputError:
        return
    store.audit(
        COORDINATOR, "ask", f"{task.name}: run {number} compares release {found.release.number} with the one before"
    )


def canary_request(task: Task, found: Situation) -> SurveyRequest:
    """What both sides of the share are asked: outcomes and scores since the stage was opened, and no more."""
    asked = SurveyRequest(
        task=task.name, release=found.release.number, window=window_of(found), role="canary", features=False,
        quorum=max(2, -(-len(found.fleet) // 2)), deadline_seconds=DEADLINE_SECONDS,
        outcomes=task.drift.outcome_noise_multiplier is not None,
    )  # fmt: skip
    return replace(asked, noise=noise_of(asked, task))
