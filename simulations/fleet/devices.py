"""What the devices of a rehearsal do when a round asks them: refuse, pay, train, drop out, come late, or lie."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.rounds import RoundPlan
from simulations.fleet.conditions import Conditions, Fate
from simulations.fleet.ledgers import Ledgers
from simulations.fleet.streams import generator
from simulations.fleet.traces_rows import forged

NOTICED_SECONDS = 55.0
"""How long Flower takes to notice that a node is gone: two missed heartbeats."""

LOOK_SECONDS, LONGEST_WAIT = 900.0, 7 * 86_400.0
"""How often a coordinator that waits for devices looks again, and when it gives up."""

GONE, LATE = 5, 1002
"""The codes under which a device's silence reaches the coordinator (`server.exchange`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a round came to before anything was trained.

    `returned` are the devices that answer in time, in the order in which they were asked; `silent` maps a device to the
    code of its silence, `refused` to the category of its refusal. `seconds` of virtual time pass.
    """

    number: int
    asked: tuple[int, ...]
    returned: tuple[int, ...]
    refused: dict[int, str] = field(default_factory=dict[int, str])
    silent: dict[int, int] = field(default_factory=dict[int, int])
    seconds: float = 0.0


class Devices:
    """A population's ledgers and conditions, and the virtual clock that they live by."""

    def __init__(self, *, ledgers: Ledgers, conditions: Conditions, work: NDArray[np.float32], seed: int) -> None:
        """`work` is how many examples each device trains on in a step, shape `(devices,)`: what its time goes with."""
        self._seed = seed
        self.ledgers, self._conditions, self._work = ledgers, conditions, work
        self.now = 0.0
        self.turns: list[Turn] = []

    @property
    def next_round(self) -> int:
        """The number of the round that is to come."""
        return len(self.turns) + 1

    def check_in(self, most: int, *, quorum: int) -> list[int]:
        """Up to `most` devices that are online, chosen at random; the clock goes on until there is a quorum."""
        started = self.now
        while True:
            online = np.flatnonzero(self._conditions.online(self.now))
            if len(online) >= quorum or self.now - started >= LONGEST_WAIT:
                break
            self.now += LOOK_SECONDS
        random = generator(self._seed, "check-in", self.next_round)
        return sorted(int(each) for each in random.choice(online, min(most, len(online)), replace=False))

    def ask(self, plan: RoundPlan, asked: Sequence[int], *, deadline_seconds: float) -> Turn:
        """Let each device meet its fate, and refuse or pay unless it is gone by then; the clock goes on by the round."""
        reached: list[int] = []
        silent: dict[int, int] = {}
        took: dict[int, float] = {}
        longest = 0.0
        for device in asked:
            fate = self._fate(plan, device)
            gone = fate.kind == "drops"
            seconds = fate.seconds + (NOTICED_SECONDS if gone else 0.0)
            if gone or seconds > deadline_seconds:
                silent[device] = GONE if gone else LATE
                took[device] = min(seconds, deadline_seconds)
            else:
                longest = max(longest, seconds)
            if fate.paid or not gone:
                reached.append(device)
        words = self.ledgers.charge(plan, np.array(reached, np.int64))
        refused = {device: word for device, word in zip(reached, words, strict=True) if word is not None}
        for device in refused:
            silent.pop(device, None)
        turn = Turn(
            number=plan.number, asked=tuple(asked), refused=refused, silent=silent,
            seconds=max([longest, *(took[device] for device in silent)]),
            returned=tuple(device for device in asked if device not in refused and device not in silent),
        )  # fmt: skip
        self.turns.append(turn)
        self.now += turn.seconds
        return turn

    def _fate(self, plan: RoundPlan, device: int) -> Fate:
        return self._conditions.fate(device, plan.number, self.now, float(self._work[device]) * plan.steps)

    def told(self, device: int, update: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a device says its update is, shape `(size,)`: attackers lie."""
        return forged(self._conditions.behaviour, update) if self._conditions.liars[device] else update
