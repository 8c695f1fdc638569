"""Notices what happens around the agent: an edited policy, a machine that slept, a clock that was set."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from client.config import AgentHome
from shared.errors import InputError

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
JUMP_SECONDS = 30.0
"""A clock that moved this much more, or less, than time passed was set, or the machine slept."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Two clocks at once: the wall's, and one that only ever counts on while the machine is awake."""

    wall: float
    awake: float

    def jump_to(self, later: "Moment") -> float:
        """Seconds by which the wall clock ran ahead of time awake; negative if it was set back."""
        return (later.wall - self.wall) - (later.awake - self.awake)


def now() -> Moment:
    """This moment."""
    return Moment(wall=time.time(), awake=time.monotonic())


class Watch:
    """Looks every two seconds; `on_wake` is called after a sleep or a change of policy."""

    def __init__(self, home: AgentHome, *, on_wake: Callable[[], None], clock: Callable[[], Moment] = now) -> None:
        """Take the present state as the one to compare with."""
        self._home, self._on_wake, self._clock = home, on_wake, clock
        self._moment, self._stamp = clock(), self._policy_stamp()

    def run(self, stopping: Event) -> None:
        """Look until the stop."""
        while not stopping.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Look once."""
        self._look_at_clock()
        self._look_at_policy()

    def _look_at_clock(self) -> None:
        before, self._moment = self._moment, self._clock()
        jump = before.jump_to(self._moment)
        if abs(jump) > JUMP_SECONDS:
            log.info("the clock moved %+.0f s beyond time awake: the machine slept, or its clock was set", jump)
            self._on_wake()

    def _look_at_policy(self) -> None:
        before, self._stamp = self._stamp, self._policy_stamp()
        if self._stamp == before:
            return
        try:
            self._home.settings()
        except InputError as error:
            log.error("the policy changed and cannot be used, so every request is declined: %s", error)  # noqa: TRY400
        else:
            log.info("the policy changed; it holds from now on")
            self._on_wake()

    def _policy_stamp(self) -> tuple[int, int] | None:
        try:
            found = self._home.settings_file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
