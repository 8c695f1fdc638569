"""A cohort for tests of secure aggregation: real members and a real coordinator, every message through the wire."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from client.secagg import Member
from client.secagg_checks import Floor
from server.secagg import Aggregation, Total
from shared import wire
from shared.secagg.packing import Vector, lane
from shared.secagg.words import Setting
from shared.sequence import device_fingerprint
from shared.signing import public_key_bytes

M = TypeVar("M")

STEPS = ("keys", "shares", "masked", "agree", "unmask")


@cache
def identities(count: int) -> dict[str, ec.EllipticCurvePrivateKey]:
    """Long-term keys by fingerprint, in ascending order: the same ones for every test."""
    keys = (ec.generate_private_key(ec.SECP256R1()) for _ in range(count))
    named = {device_fingerprint(public_key_bytes(key.public_key())): key for key in keys}
    return dict(sorted(named.items()))


def roster(count: int) -> dict[str, bytes]:
    return {device: public_key_bytes(key.public_key()) for device, key in identities(count).items()}


def setting(**changes: Any) -> Setting:
    common = {"run_id": 7, "round_number": 3, "task": "flights", "attempt": 0, "bits": 20, "length": 10}
    return wire.decode(Setting, {**common, "minimum_cohort": 3, "colluders": 0.0, "dropouts": 0.3, **changes})


def vectors(chosen: Setting, count: int, seed: int = 1) -> list[Vector]:
    random = np.random.default_rng(seed)
    kind = lane(chosen.bits)
    return [random.integers(0, 2**chosen.bits - 1, chosen.length, dtype=kind.type, endpoint=True) for _ in range(count)]


def sum_of(chosen: Setting, some: Collection[Vector]) -> list[int]:
    return [sum(int(value) for value in column) % 2**chosen.bits for column in zip(*some, strict=True)]


def crossed(message: M) -> M:
    """The message as the other side reads it."""
    return wire.from_json(type(message), wire.to_json(message))


@dataclass
class Flock:
    """`count` members of one attempt, and their coordinator; `away` says at which step a member vanishes."""

    count: int
    setting: Setting = field(default_factory=setting)
    floor: Floor = field(default_factory=Floor)

    def __post_init__(self) -> None:
        self.members = [
            Member(setting=self.setting, identity=key, roster=roster(self.count), floor=self.floor)
            for key in identities(self.count).values()
        ]
        self.coordinator = Aggregation(setting=self.setting, roster=roster(self.count))

    def until(self, step: str, inputs: list[Vector], away: dict[int, str] | None = None) -> list[Member]:
        """Run all steps before this one; return the members that are still there."""
        here = self.members
        for name in STEPS[: STEPS.index(step)]:
            here = [m for m in here if (away or {}).get(self.members.index(m)) != name]
            getattr(self, name)(here, inputs)
        return here

    def run(self, inputs: list[Vector], away: dict[int, str] | None = None) -> Total:
        """The whole round."""
        here = self.until("unmask", inputs, away)
        self.unmask([m for m in here if (away or {}).get(self.members.index(m)) != "unmask"], inputs)
        return self.coordinator.finish()

    def keys(self, here: list[Member], _: list[Vector]) -> None:
        for member in here:
            self.coordinator.take_offer(member.device, crossed(member.advertise()))
        self.coordinator.close_keys()

    def shares(self, here: list[Member], _: list[Vector]) -> None:
        for member in here:
            self.coordinator.take_shares(
                member.device, crossed(member.share(crossed(self.coordinator.key_list(member.device))))
            )
        self.coordinator.close_shares()

    def masked(self, here: list[Member], inputs: list[Vector]) -> None:
        for member in here:
            vector = inputs[self.members.index(member)]
            masked, data = member.mask(vector, crossed(self.coordinator.incoming(member.device)))
            self.coordinator.take_masked(member.device, crossed(masked), data)
        self.coordinator.close_masked()

    def agree(self, here: list[Member], _: list[Vector]) -> None:
        for member in here:
            roll = crossed(self.coordinator.roll(member.device))
            self.coordinator.take_agreement(member.device, crossed(member.agree(roll)))
        self.coordinator.close_agree()

    def unmask(self, here: list[Member], _: list[Vector]) -> None:
        request = crossed(self.coordinator.unmask_request())
        for member in here:
            self.coordinator.take_reveal(member.device, crossed(member.unmask(request)))
