"""One load: so many devices come, rest, and are asked for rounds; what that cost the coordinator and the swarm saw."""

import math
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from server.records import ACTIVE, CampaignRequest
from shared.architecture import size
from shared.rounds import RoundResult
from shared.tasks import Architecture, Task, Window
from simulations.load.ground import Ground, lay_out
from simulations.load.herd import Coordinator, Cost, Count, Swarm, wait
from simulations.machines import TASK

LEARNT: Task = replace(TASK, architecture=Architecture(kind="mlp", hidden=(110, 100)))
"""About 12,000 parameters, so that an update is 48 KB."""

COME_SECONDS, SETTLE_SECONDS = 180.0, 1.0
DEADLINE_SECONDS = 120.0
NODES_A_PROCESS = 250
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a load is made of. `idle_seconds` are watched before the first round."""

    devices: int
    cohort: int
    rounds: int
    idle_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was seen. Times in seconds, CPU in seconds, memory in megabytes; `memory` maps rounds done to megabytes."""

    wanted: Wanted
    rounds: tuple[RoundResult, ...]
    asked_after: tuple[float, float]
    idle_share: float
    idle_requests: float
    coordinator_cpu: float
    run_cpu: float
    requests: int
    lost: int
    again: int
    memory: dict[int, float]

    @property
    def messages(self) -> int:
        """Replies that counted in a round."""
        return sum(len(result.returned) for result in self.rounds)

    @property
    def seconds(self) -> float:
        """From the first round's start to the last one's end."""
        return self.rounds[-1].finished_at - self.rounds[0].started_at if self.rounds else math.inf

    @property
    def failed_rounds(self) -> int:
        """Rounds that were asked for and not committed."""
        return self.wanted.rounds - sum(result.outcome == "committed" for result in self.rounds)

    @property
    def growth(self) -> float:
        """Megabytes that the coordinator grew by in the second half of the rounds."""
        late = [(done, size) for done, size in sorted(self.memory.items()) if done >= self.wanted.rounds / 2]
        return late[-1][1] - late[0][1] if late else math.nan

    def round_seconds(self) -> tuple[float, float]:
        """The median and the 95th percentile of a round's time."""
        took = sorted(result.finished_at - result.started_at for result in self.rounds)
        return statistics.median(took), took[math.ceil(0.95 * len(took)) - 1]


def measure(wanted: Wanted, folder: Path, say: Say) -> Load:
    """Play a load in `folder`; raise `InputError` if it could not be played."""
    ground = lay_out(folder, devices=wanted.devices, task=LEARNT)
    with closing(ground.store):
        coordinator = Coordinator(ground.federation)
        try:
            with Swarm(_commands(ground, wanted), folder / "swarm.log") as swarm:
                say(f"{wanted.devices} devices come")
                _come(swarm, wanted.devices)
                return _play(ground, coordinator, swarm, wanted, say)
        finally:
            coordinator.end()


def _commands(ground: Ground, wanted: Wanted) -> list[list[str]]:
    settings = ground.federation.settings()
    address, authority = f"127.0.0.1:{settings.port}", str(ground.federation.tls / "ca.crt")
    start = [sys.executable, "-m", "simulations.load.swarm", address, authority, str(ground.keys)]
    parameters = str(size(LEARNT))
    each = min(NODES_A_PROCESS, math.ceil(wanted.devices / 2))
    return [[*start, str(first), str(each), parameters] for first in range(0, wanted.devices, each)]


def _come(swarm: Swarm, devices: int) -> None:
    """Wait until every device has had a poll answered, and sent the next one, which rests."""
    wait(
        "the swarm's coming", lambda: swarm.count().requests["pull-messages"] >= 2 * devices,
        check=swarm.require_alive, seconds=COME_SECONDS, every=0.5,
    )  # fmt: skip
    time.sleep(SETTLE_SECONDS)


def _play(ground: Ground, coordinator: Coordinator, swarm: Swarm, wanted: Wanted, say: Say) -> Load:
    say(f"{wanted.devices} devices rest for {wanted.idle_seconds:.0f} s")
    before, idle = coordinator.cost(), swarm.count()
    time.sleep(wanted.idle_seconds)
    start, counted, run_cpu = coordinator.cost(), swarm.count(), coordinator.children_cpu()
    say(f"{wanted.rounds} rounds of {wanted.cohort}")
    run = ground.store.queue_run(LEARNT.name, "train", _request(wanted))
    memory = _watch(ground, coordinator, run, start, wanted, say)
    end, last = coordinator.cost(), swarm.count()
    results = tuple(ground.store.rounds(run))
    spent = start.at - before.at
    return Load(
        wanted=wanted, rounds=results, asked_after=_asked_after(last, run, ground.store.run(run).created_at),
        idle_share=(start.cpu - before.cpu) / spent, idle_requests=(counted.total - idle.total) / spent,
        coordinator_cpu=end.cpu - start.cpu, run_cpu=coordinator.children_cpu() - run_cpu,
        requests=last.total - counted.total, lost=_lost(results), again=_again(counted, last), memory=memory,
    )  # fmt: skip


def _request(wanted: Wanted) -> CampaignRequest:
    return CampaignRequest(
        task=LEARNT.name, window=Window(), training=replace(LEARNT.training, rounds=wanted.rounds), base_version=1,
        quorum=max(1, wanted.cohort * 2 // 3), cohort=wanted.cohort, deadline_seconds=DEADLINE_SECONDS,
    )  # fmt: skip


def _watch(
    ground: Ground, coordinator: Coordinator, run: int, start: Cost, wanted: Wanted, say: Say
) -> dict[int, float]:
    """Follow a run to its end; returns the coordinator's megabytes by the number of rounds done."""
    memory = {0: start.megabytes}
    while ground.store.run(run).state in ACTIVE:
        progress = ground.store.progress(run)
        done = progress.round_number - 1 if progress else 0
        if done not in memory:
            memory[done] = coordinator.cost().megabytes
            say(f"round {done} of {wanted.rounds}")
        coordinator.require_alive()
        time.sleep(0.1)
    memory[wanted.rounds] = coordinator.cost().megabytes
    return memory


def _asked_after(count: Count, run: int, queued_at: float) -> tuple[float, float]:
    """Seconds from the queueing of a run to the first and to the last node that holds its first message."""
    moments = count.asked.get(f"{run}.1", [math.inf])
    return min(moments) - queued_at, max(moments) - queued_at


def _lost(results: tuple[RoundResult, ...]) -> int:
    """Devices that were asked, and of which the round has neither an update nor a refusal."""
    return sum(len(result.cohort) - len(result.returned) - len(result.refusals) for result in results)


def _again(before: Count, after: Count) -> int:
    """Replies that were offered more than once, or asked for again."""
    offered = after.requests["push-messages"] - before.requests["push-messages"]
    closed = after.answered + after.void - before.answered - before.void
    return max(0, offered - closed) + after.again - before.again
