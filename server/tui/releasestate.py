"""How far one release has come, and whether it was taken away again; words first, without I/O."""

from collections.abc import Sequence
from typing import Literal

from server.records import RolloutStep
from shared.models import Release, Stage
from shared.rollout import RolloutState

Phase = Literal["rolling", "paused", "halted", "complete", "waiting", "whole"]
"""A rollout's state; or `waiting`: signed and served to nobody yet; or `whole`: not staged, for everyone at once."""
PutAside = Literal["halted", "withdrawn"]


def phase_of(release: Release, steps: Sequence[RolloutStep]) -> Phase:
    """The state of the newest of a release's own documents, if there is one."""
    if steps:
        state: RolloutState = steps[-1].rollout.state
        return state
    return "waiting" if release.staged else "whole"


def steps_of(release: Release, steps: Sequence[RolloutStep]) -> tuple[RolloutStep, ...]:
    """The documents of one release among those of all, in the same order."""
    return tuple(step for step in steps if (step.rollout.task, step.rollout.release) == (release.task, release.number))


def put_aside(stage: Stage | None, phase: Phase | None) -> PutAside | None:
    """Whether a release was taken away, by its version's stage or its own rollout; newer releases change nothing of it."""
    if stage == "withdrawn":
        return "withdrawn"
    return "halted" if "halted" in (stage, phase) else None
