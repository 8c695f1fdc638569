"""Ask a cohort and wait: until enough answered, everybody answered, the deadline passed, or an operator said stop."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from server.tracing import span
from shared import messages
from shared.errors import WireError
from shared.rounds import RefusalReport

PAUSE_SECONDS = 0.1
_WORDS = {2: "failed", 5: "went away", 1001: "unreadable", 1002: "no answer in time"}
"""Flower's codes for an app that raised and for a node that is unavailable, and ours, as an operator reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """What came back, by device name; who is in none of the three did not answer in time."""

    contents: dict[str, RecordDict] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many devices answered, one way or another."""
        return len(self.contents) + len(self.refusals) + len(self.failures)


def exchange(
    grid: Grid,
    invitations: Mapping[str, Message],
    *,
    goal: int,
    deadline_seconds: float,
    watch: Callable[[Replies], bool],
) -> Replies:
    """Send each named device its message and collect replies until `goal` contents, or nobody is left to wait for.

    `watch` sees the replies at every look and returns False to stop waiting.
    """
    with span("ask", devices=len(invitations)):
        pushed = list(zip(invitations, grid.push_messages(list(invitations.values())), strict=True))
    waiting = {message_id: name for name, message_id in pushed if message_id}
    replies = Replies(failures={name: "not delivered" for name in invitations if name not in waiting.values()})
    with span("wait", devices=len(waiting)) as waited:
        _collect(grid, waiting, replies, goal=goal, end=time.monotonic() + deadline_seconds, watch=watch)
        waited.note(answered=len(replies.contents), refused=len(replies.refusals), failed=len(replies.failures))
    return replies


def _collect(
    grid: Grid, waiting: dict[str, str], replies: Replies, *, goal: int, end: float, watch: Callable[[Replies], bool]
) -> None:
    """Sort what comes in, until `end` on the monotonic clock at the latest; `waiting` is names by message."""
    while waiting and len(replies.contents) < goal and watch(replies):
        for message in grid.pull_messages(list(waiting)):
            name = waiting.pop(message.metadata.reply_to_message_id, None)
            if name is not None:
                _sort(replies, name, message)
        if time.monotonic() > end:
            break
        if waiting:
            time.sleep(PAUSE_SECONDS)
    replies.failures.update(dict.fromkeys(waiting.values(), "no answer in time"))
    watch(replies)


def _sort(replies: Replies, name: str, message: Message) -> None:
    """Put one reply where it belongs; a malformed one costs its sender only."""
    if message.has_error():
        replies.failures[name] = _WORDS.get(message.error.code, f"error {message.error.code}")
        return
    try:
        if "refusal" in messages.names(message.content):
            replies.refusals[name] = messages.unpack(message.content, "refusal", RefusalReport).category[:40]
        else:
            replies.contents[name] = message.content
    except WireError as error:
        replies.failures[name] = str(error)[:200]
