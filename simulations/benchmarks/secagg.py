"""What secure aggregation costs: seconds of a device and of the coordinator, and bytes that a device uploads.

    python -m simulations.benchmarks.secagg [--json]

Every round runs from the offered keys to the checked sum, three times at once (nobody, a tenth, 30 % gone after they
dealt shares). The coordinator's work is always done in full and timed, on one core, without parsing JSON. Of the
devices some are timed with every check; `_hurried` says what the others leave out, and each row's `ran` repeats it.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar, cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from client.secagg import Member
from client.secagg_checks import Floor
from server.secagg import Aggregation
from shared import wire
from shared.secagg import masks, statements
from shared.secagg.graph import shape_for
from shared.secagg.packing import Vector, lane, packed_size
from shared.secagg.words import KEY_BYTES, MARK_BYTES, SEALED_BYTES, Setting, Shares, encoded
from shared.sequence import device_fingerprint
from shared.signing import public_key_bytes

Row = dict[str, Any]
T = TypeVar("T")

UPDATE_BITS = 16
COLLUDERS, DROPOUTS = 0.05, 0.3
COUNTS, LENGTHS, GONE = (10, 100, 1000), (10**5, 10**6), (0.0, 0.1, 0.3)
TIMED = {10: 10, 100: 5, 1000: 3}
"""How many devices are timed, all checks included; none of them drops out."""

FIRST = 10_000
"""So many values of an untimed device's vector are masked in full at 1,000 devices; the sum is checked on them."""


@dataclass
class Clock:
    """Seconds by whom they were spent on."""

    spent: dict[str, float] = field(default_factory=dict[str, float])

    def run(self, who: str, work: Callable[[], T]) -> T:
        """Do the work and put it on somebody's account."""
        started = time.perf_counter()
        done = work()
        self.spent[who] = self.spent.get(who, 0.0) + time.perf_counter() - started
        return done


class Crowd:
    """The devices of one size of cohort and vector, and a coordinator for each fraction that drops out."""

    def __init__(self, count: int, length: int) -> None:
        self.count, self.length = count, length
        self.bits = UPDATE_BITS + (count - 1).bit_length() + 1
        self.setting = Setting(
            run_id=1, round_number=1, task="benchmark", attempt=0, bits=self.bits, length=length, minimum_cohort=3,
            colluders=COLLUDERS, dropouts=DROPOUTS,
        )  # fmt: skip
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(count)]
        roster = {device_fingerprint(pem): pem for pem in (public_key_bytes(key.public_key()) for key in keys)}
        self.members = [Member(setting=self.setting, identity=key, roster=roster, floor=Floor()) for key in keys]
        self.coordinators = {rate: Aggregation(setting=self.setting, roster=roster) for rate in GONE}
        self.sums = {rate: np.zeros(length, dtype=np.uint64) for rate in GONE}
        self.clock, self.sent, self.got = Clock(), 0, 0
        self.first = FIRST if count > 100 else length

    def measure(self) -> list[Row]:
        """Run the steps, check the sums, and give the rows."""
        self._keys_and_shares()
        self._masked()
        for rate in GONE:
            self._unmask(rate)
        return self._rows()

    def timed(self, place: int) -> bool:
        """Whether a device is one of those that are timed."""
        return place < TIMED[self.count]

    def gone(self, place: int, rate: float) -> bool:
        """Whether a device vanishes after dealing shares: the last ones do."""
        return place >= self.count - int(self.count * rate)

    def _device(self, place: int, account: str, work: Callable[[], T]) -> T:
        """A device's step: timed and in full, or hurried."""
        if self.timed(place):
            return self.clock.run(account, work)
        with _hurried(self.first):
            return work()

    def _coordinator(self, rate: float, work: Callable[[Aggregation], T]) -> T:
        return self.clock.run(f"coordinator {rate}", lambda: work(self.coordinators[rate]))

    def _keys_and_shares(self) -> None:
        for place, member in enumerate(self.members):
            offer = self._device(place, "device", member.advertise)
            self._count(place, up=offer)
            for rate in GONE:
                self._coordinator(rate, lambda it, m=member, o=offer: it.take_offer(m.device, o))
        for rate in GONE:
            self._coordinator(rate, Aggregation.close_keys)
        for place, member in enumerate(self.members):
            lists = [self._coordinator(rate, lambda it, m=member: it.key_list(m.device)) for rate in GONE]
            shares = self._device(place, "device", lambda m=member, shown=lists[0]: m.share(shown))
            self._count(place, up=shares, down=lists[0])
            for rate in GONE:
                self._coordinator(rate, lambda it, m=member, s=shares: it.take_shares(m.device, s))
        for rate in GONE:
            self._coordinator(rate, Aggregation.close_shares)

    def _masked(self) -> None:
        random = np.random.default_rng(4)
        for place, member in enumerate(self.members):
            vector = cast(Vector, random.integers(0, 2**UPDATE_BITS, self.length, dtype=lane(self.bits).type))
            incoming = [self._coordinator(rate, lambda it, m=member: it.incoming(m.device)) for rate in GONE][0]
            masked, data = self._device(place, "device", lambda m=member, v=vector, i=incoming: m.mask(v, i))
            self._count(place, up=masked, down=incoming, more=len(data))
            for rate in GONE:
                if not self.gone(place, rate):
                    self.sums[rate] += vector
                    self._coordinator(rate, lambda it, m=member, s=masked, d=data: it.take_masked(m.device, s, d))
        for rate in GONE:
            self._coordinator(rate, Aggregation.close_masked)

    def _unmask(self, rate: float) -> None:
        here = {place: copy.copy(m) for place, m in enumerate(self.members) if not self.gone(place, rate)}
        account = f"device {rate}"
        for place, member in here.items():
            roll = self._coordinator(rate, lambda it, m=member: it.roll(m.device))
            agreement = self._device(place, account, lambda m=member, r=roll: m.agree(r))
            self._count(place, up=agreement, down=roll)
            self._coordinator(rate, lambda it, m=member, a=agreement: it.take_agreement(m.device, a))
        self._coordinator(rate, Aggregation.close_agree)
        request = self._coordinator(rate, Aggregation.unmask_request)
        for place, member in here.items():
            reveal = self._device(place, account, lambda m=member: m.unmask(request))
            self._count(place, up=reveal, down=request)
            self._coordinator(rate, lambda it, m=member, r=reveal: it.take_reveal(m.device, r))
        total = self._coordinator(rate, Aggregation.finish)
        expected = self.sums[rate][: self.first] % np.uint64(2**self.bits)
        if not np.array_equal(total.values[: self.first], expected) or len(total.contributors) != len(here):
            raise RuntimeError("the sum is wrong")

    def _count(self, place: int, *, up: object, down: object = None, more: int = 0) -> None:
        """Add to the bytes of the timed devices; what happens for each of three rates counts a third."""
        if self.timed(place):
            part = 1 if len(self.clock.spent) < 1 or "device 0.0" not in self.clock.spent else 1 / len(GONE)
            self.sent += part * (len(wire.to_json(up)) + more)
            self.got += part * (len(wire.to_json(down)) if down is not None else 0)

    def _rows(self) -> list[Row]:
        timed, name = TIMED[self.count], f"{self.count:,} devices, {self.length:,} values"
        rows: list[Row] = []
        for rate in GONE:
            device = (self.clock.spent["device"] + self.clock.spent[f"device {rate}"]) / timed
            gone = f"{rate:.0%} gone" if rate else "none gone"
            rows.append(_row(f"device.secagg {name}, {gone}", device, "s", ran=f"{timed} devices timed; {self._others()}"))  # fmt: skip
            rows.append(_row(f"coordinator.secagg {name}, {gone}", self.clock.spent[f"coordinator {rate}"], "s", ran="all of it, on one core"))  # fmt: skip
        plain = self.length * UPDATE_BITS / 8
        rows += expansion(self.count, self.length, self.bits, self.sent / timed / plain, name)
        rows.append(_row(f"wire.secagg {name}, down besides the model", self.got / timed / 1000, "kB"))
        return rows

    def _others(self) -> str:
        if self.timed(self.count - 1):
            return "there are no others"
        short = f", and beyond their first {self.first:,} values have one mask for all" if self.first < self.length else ""  # fmt: skip
        return f"the others send real messages but do not verify signatures{short}"


@contextmanager
def _hurried(first: int) -> Iterator[None]:
    """Let a device that is not timed skip what would take minutes, without any other device noticing.

    It takes others' signatures for granted; and beyond its first values the sum of its masks is one fresh keystream,
    which is all that anybody can see of them. So the coordinator's work stays the same, and the sum is right at first.
    """
    signed, apply = statements.signed, masks.apply

    def quickly(vector: Vector, some: Any) -> None:
        apply(vector[:first], some)
        if first < len(vector):
            apply(vector[first:], [masks.Mask(key=masks.new_key(), add=True)])

    statements.signed, masks.apply = (lambda *_: True), quickly
    try:
        yield
    finally:
        statements.signed, masks.apply = signed, apply


def expansion(count: int, length: int, bits: int, measured: float, name: str) -> list[Row]:
    """Upload against the plain update of 16 bits a value: below the group's width plus 5 %, and below float32."""
    most = (UPDATE_BITS + (count - 1).bit_length() + 1) / UPDATE_BITS * 1.05
    widths = f"b = {UPDATE_BITS}, n = {count:,}, modulus 2^{bits}"
    return [
        _row(f"wire.secagg {name}, upload / plain update ({widths})", measured, "x", f"<= {most:.3f}", measured <= most),
        _row(f"wire.secagg {name}, upload / float32", measured * UPDATE_BITS / 32, "x", "< 1", measured < 32 / UPDATE_BITS),
    ]  # fmt: skip


def anchor() -> list[Row]:
    """SecAgg's published 1.73x (Bonawitz et al. 2017, section 1: 2^10 users, 2^20 values, 16 bits), counted the same way.

    The messages are of the sizes that an average member's have; nothing is computed for them.
    """
    count, length, bits = 2**10, 2**20, UPDATE_BITS + 10
    near = shape_for(count, colluders=COLLUDERS, dropouts=DROPOUTS).degree
    shares = Shares(
        sealed=encoded(bytes(near * SEALED_BYTES)), marks=encoded(bytes((near + 1) * 2 * MARK_BYTES)),
        seed_mark=encoded(bytes(KEY_BYTES)),
    )  # fmt: skip
    small = 3 * 120 + 64 + 2 * 44 + 80
    sent = packed_size(length, bits) + len(wire.to_json(shares)) + 4 * -(-KEY_BYTES * (near + 1) // 3) + small
    measured = sent / (length * UPDATE_BITS / 8)
    return [
        _row("wire.secagg 2^10 users, 2^20 values, 16 bits: upload / plain update", measured, "x", "<= 1.73", measured <= 1.73),
    ]  # fmt: skip


def _row(name: str, value: float, unit: str, target: str = "", meets: bool | None = None, ran: str = "") -> Row:
    return {"name": name, "value": float(value), "unit": unit, "target": target, "meets": meets, "ran": ran}


def measure() -> list[Row]:
    """All rows, smallest cohorts first."""
    rows: list[Row] = []
    for count, length in product(COUNTS, LENGTHS):
        started = time.monotonic()
        rows += Crowd(count, length).measure()
        sys.stderr.write(f"secagg: {count:,} devices, {length:,} values ({time.monotonic() - started:.0f} s)\n")
    return rows + anchor()


def main() -> None:
    """Print the table, or its rows as JSON."""
    options = argparse.ArgumentParser(prog="python -m simulations.benchmarks.secagg", description=__doc__)
    options.add_argument("--json", action="store_true", help="rows instead of the table")
    as_json = bool(options.parse_args().json)
    rows = measure()
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    for row in rows:
        verdict = "" if row["meets"] is None else ("meets " if row["meets"] else "MISSES ") + row["target"]
        sys.stdout.write(f"{row['name']:<92}{row['value']:>12,.3f} {row['unit']:<3} {verdict}{row['ran']}\n")


if __name__ == "__main__":
    main()
