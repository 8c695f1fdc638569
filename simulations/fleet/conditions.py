"""Who is online when, and what becomes of a request: seeded traces of devices that behave like devices."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulations.fleet.behaviour import PRESETS, Attack, Behaviour, Drift, read_behaviour
from simulations.fleet.streams import generator
from simulations.fleet.traces import changing, draws, exponential, mix, normal, salt, uniforms

__all__ = ["PRESETS", "Attack", "Behaviour", "Conditions", "Drift", "Fate", "read_behaviour"]

HOUR, DAY = 3600.0, 86_400.0
NIGHT = 3.0
"""The local hour at which most people are asleep."""

BLOCK = 2**15
"""Devices that are looked at together: few enough for a processor's nearer caches."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a request: the answer is there after `seconds`, at once or `late`, or the device `drops` by then.

    `paid` says whether its ledger was charged: all that dropped out after they began were, for nothing. A late answer
    was sealed and then lost its network; whoever has a deadline compares `seconds` with it, whatever the kind.
    """

    kind: Literal["returns", "late", "drops"]
    seconds: float
    paid: bool


class Conditions:
    """How each of so many devices behaves, all decided by the seed; times are virtual seconds since a midnight, UTC."""

    def __init__(self, behaviour: Behaviour, devices: int, *, seed: int) -> None:
        """Draw what stays the same about each device: 27 bytes of it."""
        self.behaviour, self.seed = behaviour, seed
        draw = generator(seed, "devices")
        self._words = mix(np.arange(devices, dtype=np.uint32) ^ salt(seed, "device"))
        self._phases: Floats = draw.random(devices, dtype=np.float32)
        self._zone = draw.integers(len(behaviour.zones), size=devices, dtype=np.uint8)
        self._begins, self._hours = self._charging(draw)
        self._slowness = self._slownesses(draw)
        self._link: Floats = _spread(behaviour.link_seconds, behaviour.link_spread, devices, draw)
        self._never = draw.random(devices, dtype=np.float32) < behaviour.never
        self._lies = draw.random(devices, dtype=np.float32) < behaviour.attackers

    def __len__(self) -> int:
        return len(self._words)

    @property
    def slowness(self) -> Floats:
        """Each device's own factor of time, shape `(devices,)`."""
        return self._slowness

    @property
    def liars(self) -> NDArray[np.bool_]:
        """Who attacks, shape `(devices,)`: a rehearsal's own knowledge, which no coordinator has."""
        return self._lies

    def online(self, at: float) -> NDArray[np.bool_]:
        """Who is charging, idle and on an unmetered network at a moment, shape `(devices,)`."""
        idle = self._idle(at)
        found = ~self._never
        if idle.min() < 1 or self.behaviour.charge_by_day < 1:
            for start in range(0, len(found), BLOCK):
                part = slice(start, start + BLOCK)
                found[part] &= self._takes_part(at, idle, part)
        return found

    def _takes_part(self, at: float, idle: Floats, part: slice) -> NDArray[np.bool_]:
        likely = np.concatenate([idle * np.float32(self.behaviour.charge_by_day), idle])
        charges = self._charges(at, part).view(np.uint8)
        chance = likely.take(self._zone[part] + charges * np.uint8(len(idle)))
        every, salted = self.behaviour.stretch_minutes * 60, (self.seed, "stretch")
        return uniforms(changing(self._words[part], self._phases[part], at=at, every=every, salted=salted)) < chance

    def fate(self, device: int, round_number: int, at: float, work: float) -> Fate:
        """What becomes of a request that a device gets at a moment, over `work` examples; the same for the same round.

        A device that was asked is taken to be online; `at` matters only to whom it is asked again within a round.
        """
        behaviour = self.behaviour
        which, moment, gone, jitter, sent, *_ = draws(self.seed, device, round_number, round(at * 1000))
        link = float(self._link[device])
        seconds = work / behaviour.examples_per_second * float(self._slowness[device])
        seconds = seconds * math.exp(behaviour.jitter * normal(jitter)) + link
        if which < behaviour.unreachable:
            return Fate(kind="drops", seconds=moment * link / 2, paid=False)
        if which < behaviour.unreachable + behaviour.fails:
            return Fate(kind="drops", seconds=link / 2 + moment * (seconds - link / 2), paid=True)
        if behaviour.interruptions_per_hour and (
            (taken := exponential(gone, HOUR / behaviour.interruptions_per_hour)) < seconds
        ):
            return Fate(kind="drops", seconds=taken, paid=taken >= link / 2)
        if which >= 1 - behaviour.late:
            return Fate(kind="late", seconds=seconds + exponential(sent, HOUR * behaviour.late_hours), paid=True)
        return Fate(kind="returns", seconds=seconds, paid=True)

    def _idle(self, at: float) -> Floats:
        """How likely a device is idle and on an unmetered network in each zone, shape `(zones,)`."""
        behaviour = self.behaviour
        night = np.cos((at % DAY / HOUR + np.array(behaviour.zones) - NIGHT) * (2 * math.pi / 24))
        by_day = behaviour.idle_by_day
        idle = by_day + (behaviour.idle_at_night - by_day) * (1 + night) / 2
        return (idle * behaviour.unmetered).astype(np.float32)

    def _charges(self, at: float, part: slice) -> NDArray[np.bool_]:
        """Which devices of a block are plugged in for their night, shape `(block,)`."""
        begins = self._begins[part]
        since = np.float32(at % DAY / DAY) - begins
        since += since < 0
        charges = since * np.float32(24) < self._hours[part]
        if self.behaviour.charge_daily < 1:
            days = changing(self._words[part], 1 - begins, at=at, every=DAY, salted=(self.seed, "day"))
            charges &= uniforms(days) < self.behaviour.charge_daily
        return charges

    def _charging(self, draw: np.random.Generator) -> tuple[Floats, Floats]:
        """When in the virtual day each is plugged in, from 0 to 1, and for how many hours."""
        behaviour, devices = self.behaviour, len(self._words)
        begins = draw.standard_normal(devices, dtype=np.float32)
        begins *= np.float32(behaviour.charge_hour_spread)
        begins += np.float32(behaviour.charge_hour)
        begins -= np.array(behaviour.zones, np.float32).take(self._zone)
        begins *= np.float32(1 / 24)
        begins -= np.floor(begins)
        hours = draw.standard_normal(devices, dtype=np.float32)
        hours *= np.float32(behaviour.charge_hours_spread)
        hours += np.float32(behaviour.charge_hours)
        return begins, hours

    def _slownesses(self, draw: np.random.Generator) -> Floats:
        behaviour, devices = self.behaviour, len(self._words)
        if behaviour.slowness == "log-normal":
            return _spread(1.0, behaviour.slowness_spread, devices, draw)
        above: Floats = 1 - draw.random(devices, dtype=np.float32)  # (0, 1]
        return above ** np.float32(-1 / behaviour.slowness_tail)


def _spread(median: float, spread: float, devices: int, draw: np.random.Generator) -> Floats:
    """Log-normal figures, shape `(devices,)`."""
    logs = draw.standard_normal(devices, dtype=np.float32)
    logs *= np.float32(spread)
    np.exp(logs, out=logs)
    logs *= np.float32(median)
    return logs
