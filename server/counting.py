"""One question to the whole fleet that is answered with noisy counts: who is asked, and whether enough answered."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from server.exchange import Replies, exchange
from server.plain import invite
from server.records import Progress, Run
from server.rounds import gather, stopped
from server.store import Store
from shared import messages
from shared.errors import InputError, WireError

T = TypeVar("T")


def ask_all(
    grid: Grid, store: Store, run: Run, content: RecordDict, message_type: str, *, quorum: int, deadline_seconds: float
) -> Replies:
    """Ask every device that is there, and wait for all of them, the deadline, or an operator's stop."""
    cohort = gather(grid, store, quorum, len(store.devices()), wait=lambda: not stopped(store, run.id))
    return _asked(grid, store, run, invite(cohort, content, message_type, group=str(run.id)), deadline_seconds)


def ask_each(
    grid: Grid, store: Store, run: Run, contents: Mapping[str, RecordDict], message_type: str, *,
    quorum: int, deadline_seconds: float,
) -> Replies:  # fmt: skip
    """Ask each named device that is there its own question, and wait as `ask_all` does."""
    cohort = gather(grid, store, quorum, len(store.devices()), wait=lambda: not stopped(store, run.id))
    invitations: dict[str, Message] = {}
    for name in cohort.keys() & contents.keys():
        invitations |= invite({name: cohort[name]}, contents[name], message_type, group=str(run.id))
    return _asked(grid, store, run, invitations, deadline_seconds)


def _asked(grid: Grid, store: Store, run: Run, invitations: Mapping[str, Message], deadline_seconds: float) -> Replies:
    return exchange(
        grid,
        invitations,
        goal=len(invitations),
        deadline_seconds=deadline_seconds,
        watch=lambda replies: _show(store, run.id, len(invitations), replies) and not stopped(store, run.id),
    )


def read_reports(replies: Replies, name: str, kind: type[T], check: Callable[[T], None]) -> list[T]:
    """The documents called `name` that pass `check`; a bad one is noted against its sender, and costs nobody else."""
    reports: list[T] = []
    for device, content in replies.contents.items():
        try:
            report = messages.unpack(content, name, kind)
            check(report)
            reports.append(report)
        except WireError as error:
            replies.failures[device] = str(error)[:200]
    return reports


def require_enough(replies: Replies, answered: int, *, quorum: int, what: str) -> None:
    """Raise `InputError` with the reasons of the others if fewer devices than the quorum `answered`."""
    if answered < max(1, quorum):
        refused = ", ".join(sorted({*replies.refusals.values(), *replies.failures.values()})) or "no answer"
        raise InputError(f"{answered} devices answered {what}, {quorum} are needed ({refused})")


def _show(store: Store, run_id: int, cohort: int, replies: Replies) -> bool:
    store.set_progress(
        Progress(
            run_id=run_id, round_number=1, rounds=1, phase="counting", cohort=cohort,
            returned=len(replies.contents), refused=len(replies.refusals),
            reasons=dict(Counter(replies.refusals.values())), at=time.time(),
        )
    )  # fmt: skip
    return True
