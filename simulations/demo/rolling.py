"""Follows a release through its stages: the running coordinator opens, halts and completes them, nobody else."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.records import DeviceHealth
from server.underway import StageShown, UnderWay, under_way
from shared.tasks import Task
from simulations.demo.screen import Screen
from simulations.demo.stage import Stage

ENDED = ("complete", "halted")
ROLLOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLine:
    """One stage that was opened: its percent, how many devices it held, and how long it lasted."""

    percent: float
    devices: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutLine:
    """How a release fared: its stages, what devices last said of it, and why the coordinator took its last step.

    `p95_us` is the median over devices of what 95 % of made-up records take at most; None where no device could say.
    """

    release: int
    version: int
    fleet: int
    state: str
    stages: tuple[StageLine, ...]
    health: dict[str, int]
    p95_us: float | None
    seconds: float
    why: str


def follow(stage: Stage, screen: Screen, task: Task, release: int, *, seen: Callable[[], object]) -> RolloutLine:
    """Wait until the newest release is complete or halted, and every device runs what it then should.

    `seen` is called again and again meanwhile, and once when all is over.
    """

    def ended() -> bool:
        found = under_way(stage.store, task)
        screen.say(_words(found, said_of(stage.store.health(task.name, release))))
        seen()
        return found.state in ENDED and _settled(found)

    stage.wait(f"the end of release {release}'s rollout", ended, seconds=ROLLOUT_SECONDS)
    return line_of(under_way(stage.store, task), stage.store.health(task.name, release))


def said_of(health: Sequence[DeviceHealth]) -> dict[str, int]:
    """How many devices last said what of a release."""
    return dict(sorted(Counter(each.health.verdict for each in health).items()))


def line_of(found: UnderWay, health: Sequence[DeviceHealth]) -> RolloutLine:
    """Shorten what is known of a rollout that ended."""
    timed = [each.health.p95_us for each in health if each.health.p95_us]
    end = found.steps[-1].at
    return RolloutLine(
        release=found.release, version=found.version, fleet=found.devices, state=found.state,
        stages=_stages(found.stages, end), health=said_of(health),
        p95_us=statistics.median(timed) if timed else None, seconds=round(end - found.steps[0].at, 1),
        why=found.steps[-1].why,
    )  # fmt: skip


def _stages(stages: tuple[StageShown, ...], end: float) -> tuple[StageLine, ...]:
    opened = [(each, each.opened_at) for each in stages if each.opened_at is not None]
    until = [*(at for _, at in opened[1:]), end]
    return tuple(
        StageLine(percent=each.percent, devices=each.devices, seconds=round(after - at, 1))
        for (each, at), after in zip(opened, until, strict=True)
    )


def _settled(found: UnderWay) -> bool:
    """Whether as many devices say that they run each release as are meant to."""
    return all(each.meant == each.running for each in found.serving)


def _words(found: UnderWay, said: dict[str, int]) -> str:
    """Where a rollout stands, in a line."""
    devices = next((each.devices for each in reversed(found.stages) if each.opened_at is not None), 0)
    told = ", ".join(f"{verdict} {count}" for verdict, count in said.items())
    return (
        f"release {found.release} is {found.state}: {found.share_bp / 100:g} % of the fleet, stage of {devices} of "
        f"{found.devices} devices{f', {told}' if told else ''}"
    )
