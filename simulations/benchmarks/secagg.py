"""What secure aggregation costs: seconds of a device and of the coordinator, and bytes that a device uploads.

    python -m simulations.benchmarks.secagg [--json]

Every round runs from the offered keys to the checked sum, three times at once (nobody, a tenth, 30 % gone after they
dealt shares). Seconds are processor seconds of one core, so that a busy machine does not change them much. The
coordinator's work is always done in full, without parsing messages. Of the devices some are timed with every check;
`secagg_steps.hurried` says what the others leave out, and each row's `ran` repeats it.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, TypeVar, cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from client.secagg import Member
from client.secagg_checks import Floor
from server.secagg import Aggregation
from shared.secagg.envelope import folded
from shared.secagg.packing import Vector, lane
from shared.secagg.words import Incoming, Masked, Setting
from shared.sequence import device_fingerprint
from shared.signing import public_key_bytes
from simulations.benchmarks import secagg_steps
from simulations.benchmarks.secagg_anchor import anchor

Row = dict[str, Any]
T = TypeVar("T")

UPDATE_BITS = 16
COLLUDERS, DROPOUTS = 0.05, 0.3
COUNTS, LENGTHS, GONE = (10, 100, 1000), (10**5, 10**6), (0.0, 0.1, 0.3)
TIMED = {10: 7, 100: 5, 1000: 3}
"""How many devices are timed, all checks included; none of them drops out."""

BATCH = 50
FIRST = 10_000
"""So many values of an untimed device's vector are masked in full at 100 and more; the sum is checked on them."""


@dataclass
class Clock:
    """Seconds by whom they were spent on."""

    spent: dict[str, float] = field(default_factory=dict[str, float])

    def run(self, who: str, work: Callable[[], T]) -> T:
        """Do the work and put it on somebody's account."""
        started = time.process_time()
        done = work()
        self.spent[who] = self.spent.get(who, 0.0) + time.process_time() - started
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
        self.pairs: dict[frozenset[bytes], bytes] = {}
        self.incoming: list[Incoming] = []
        self.first = FIRST if count > 10 else length

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
        with secagg_steps.hurried(self.first, self.pairs):
            return work()

    def _coordinator(self, rate: float, work: Callable[[Aggregation], T]) -> T:
        return self.clock.run(f"coordinator {rate}", lambda: work(self.coordinators[rate]))

    def _each(self, work: Callable[[Aggregation], list[T]]) -> list[T]:
        """What every coordinator does; they all answer the same."""
        return [self._coordinator(rate, work) for rate in GONE][0]  # noqa: RUF015 - all of them are to do it

    def _keys_and_shares(self) -> None:
        members = list(enumerate(self.members))
        offers = [self._device(place, "device", member.advertise) for place, member in members]
        lists = self._each(lambda it: secagg_steps.keys(it, offers))
        shares = [self._device(place, "device", partial(member.share, lists[place])) for place, member in members]
        for place in range(TIMED[self.count]):
            self._count(up=(offers[place], shares[place]), down=lists[place])
        self.incoming = self._each(lambda it: secagg_steps.shares(it, self.members, shares))

    def _masked(self) -> None:
        """In batches, so that memory holds few vectors."""
        random = np.random.default_rng(4)
        for start in range(0, self.count, BATCH):
            batch: list[tuple[str, Masked, bytes]] = []
            for place in range(start, min(start + BATCH, self.count)):
                vector = cast(Vector, random.integers(0, 2**UPDATE_BITS, self.length, dtype=lane(self.bits).type))
                member = self.members[place]
                masked, data = self._device(place, "device", partial(member.mask, vector, self.incoming[place]))
                batch.append((member.device, masked, data))
                if self.timed(place):
                    self._count(up=(masked,), down=self.incoming[place], more=len(data))
                for rate in GONE:
                    if not self.gone(place, rate):
                        self.sums[rate] += vector
            for rate in GONE:
                staying = [sent for at, sent in enumerate(batch, start) if not self.gone(at, rate)]
                self._coordinator(rate, partial(secagg_steps.take_masked, staying))

    def _unmask(self, rate: float) -> None:
        here = {place: copy.copy(m) for place, m in enumerate(self.members) if not self.gone(place, rate)}
        rolls = self._coordinator(rate, lambda it: secagg_steps.rolls(it, list(here.values())))
        account = f"device {rate}"
        agreed = [
            (member.device, self._device(place, account, partial(member.agree, roll)))
            for (place, member), roll in zip(here.items(), rolls, strict=True)
        ]
        request = self._coordinator(rate, lambda it: secagg_steps.agree(it, agreed))
        revealed = [
            (member.device, self._device(place, account, partial(member.unmask, request)))
            for place, member in here.items()
        ]
        if not rate:
            for place in range(TIMED[self.count]):
                self._count(up=(agreed[place][1], revealed[place][1]), down=(rolls[place], request))
        total = self._coordinator(rate, lambda it: secagg_steps.finish(it, revealed))
        expected = self.sums[rate][: self.first] % np.uint64(2**self.bits)
        if not np.array_equal(total.values[: self.first], expected) or len(total.contributors) != len(here):
            raise RuntimeError("the sum is wrong")

    def _count(self, *, up: tuple[object, ...], down: object, more: int = 0) -> None:
        """Add to the bytes of the timed devices."""
        self.sent += more + sum(len(folded(message)) for message in up)
        self.got += sum(len(folded(message)) for message in (down if isinstance(down, tuple) else (down,)))

    def _rows(self) -> list[Row]:
        timed, name = TIMED[self.count], f"{self.count:,} devices, {self.length:,} values"
        rows: list[Row] = []
        for rate in GONE:
            device = (self.clock.spent["device"] + self.clock.spent[f"device {rate}"]) / timed
            gone = f"{rate:.0%} gone" if rate else "none gone"
            rows.append(_row(f"device.secagg {name}, {gone}", device, "s", ran=f"{timed} devices timed; {self._others()}"))  # fmt: skip
            rows.append(_row(f"coordinator.secagg {name}, {gone}", self.clock.spent[f"coordinator {rate}"], "s", ran="all of it, on one core"))  # fmt: skip
        plain = self.length * UPDATE_BITS / 8
        rows += expansion(self.count, self.bits, self.sent / timed / plain, name)
        rows.append(_row(f"wire.secagg {name}, down besides the model", self.got / timed / 1000, "kB"))
        return rows

    def _others(self) -> str:
        short = f", and beyond their first {self.first:,} values have one mask for all" if self.first < self.length else ""  # fmt: skip
        return f"the others send real messages but do not verify signatures, compute each pair's secret once{short}"


def expansion(count: int, bits: int, measured: float, name: str) -> list[Row]:
    """Upload against the plain update of 16 bits a value: below the group's width plus 5 %, and below float32."""
    most = (UPDATE_BITS + (count - 1).bit_length() + 1) / UPDATE_BITS * 1.05
    widths = f"b = {UPDATE_BITS}, n = {count:,}, modulus 2^{bits}"
    return [
        _row(f"wire.secagg {name}, upload / plain update ({widths})", measured, "x", f"<= {most:.3f}", measured <= most),
        _row(f"wire.secagg {name}, upload / float32", measured * UPDATE_BITS / 32, "x", "< 1", measured < 32 / UPDATE_BITS),
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
    return rows + anchor(UPDATE_BITS, colluders=COLLUDERS, dropouts=DROPOUTS)


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
