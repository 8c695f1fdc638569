"""What a ledger comes to, packed into one fixed size, so that a copy of it can lie where nobody can read it.

Events are merged by task, day and mechanism. Where that does not fit, they are merged further, always towards more
cost: later days, less noise, larger samples. A copy may say more than was spent, and never less.
"""

import json
import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from client.store import AgentStore
from shared.errors import WireError
from shared.privacy import Cost, Level, SampledGaussian, Trust

DAY = 86_400.0
_LENGTH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """How many steps of one mechanism a task has cost up to the end of a day (days since 1970, UTC)."""

    task: str
    day: int
    noise_multiplier: float
    sample_rate: float
    steps: int
    level: Level = "record"
    trust: Trust = "everyone"

    @property
    def cost(self) -> Cost:
        """The same as the ledger is charged with."""
        events: dict[Level, tuple[SampledGaussian, ...]] = {"record": (), self.level: (self.event,)}
        return Cost(**events, trust=self.trust)

    @property
    def event(self) -> SampledGaussian:
        """The same as an accountant reads it."""
        return SampledGaussian(
            noise_multiplier=self.noise_multiplier, sample_rate=self.sample_rate, steps=self.steps
        )  # fmt: skip


def read(store: AgentStore, *, up_to: int | None = None) -> list[Total]:
    """The ledger's totals, or those of the charges whose sequence number is at most `up_to`."""
    rows = store.db.execute(
        "SELECT task, charged_at, noise_multiplier, sample_rate, steps, level, trust FROM events JOIN charges ON charges.id = charge "
        "WHERE :up_to IS NULL OR sequence <= :up_to",
        {"up_to": up_to},
    )
    return merge(
        Total(
            task=row["task"], day=math.ceil(row["charged_at"] / DAY), noise_multiplier=row["noise_multiplier"],
            sample_rate=row["sample_rate"], steps=row["steps"], level=row["level"], trust=row["trust"],
        )
        for row in rows
    )  # fmt: skip


def merge(totals: Iterable[Total]) -> list[Total]:
    """Add up what differs in nothing but its steps."""
    steps: dict[Total, int] = defaultdict(int)
    for total in totals:
        steps[replace(total, steps=1)] += total.steps
    return [replace(total, steps=count) for total, count in sorted(steps.items(), key=lambda item: _key(item[0]))]


def pack(totals: list[Total], *, size: int) -> bytes:
    """Exactly `size` bytes, whatever is in them; as exact as there is room for."""
    for level in range(len(_COARSER) + 1):
        rows = [_row(total) for total in coarser(totals, level)]
        packed = zlib.compress(json.dumps([level, rows], separators=(",", ":")).encode(), 9)
        if len(packed) + _LENGTH <= size:
            return (len(packed).to_bytes(_LENGTH, "big") + packed).ljust(size, b"\0")
    raise ValueError(f"{len({total.task for total in totals})} tasks do not fit into {size} bytes")


def unpack(data: bytes) -> tuple[int, list[Total]]:
    """How coarse the totals are, and the totals; raise `WireError` for what `pack` never made."""
    try:
        length = int.from_bytes(data[:_LENGTH], "big")
        level, rows = json.loads(zlib.decompress(data[_LENGTH : _LENGTH + length]))
        return level, [_total(*row) for row in rows]
    except (ValueError, TypeError, zlib.error):
        raise WireError("the copy of the ledger's totals is damaged") from None


def _row(total: Total) -> list[object]:
    """A line as it is packed; a release that trusts nobody is written as before there were levels."""
    usual = (total.level, total.trust) == ("record", "everyone")
    line: list[object] = [total.task, total.day, total.noise_multiplier, total.sample_rate, total.steps]
    return line if usual else [*line, total.level, total.trust]


def _total(
    task: str, day: int, noise: float, rate: float, steps: int, level: Level = "record", trust: Trust = "everyone"
) -> Total:
    return Total(
        task=task, day=day, noise_multiplier=noise, sample_rate=rate, steps=steps, level=level, trust=trust
    )  # fmt: skip


def missing(theirs: list[Total], ours: list[Total], *, level: int) -> list[Total]:
    """What `theirs`, of a coarseness, has and `ours` lacks; all of one mechanism is dated at its latest day."""
    have: dict[Total, int] = defaultdict(int)
    for total in coarser(ours, level):
        have[_mechanism(total)] += total.steps
    lacking: list[Total] = []
    for total in merge(replace(total, day=_latest(theirs, total)) for total in theirs):
        more = total.steps - have[_mechanism(total)]
        lacking += [replace(total, steps=more)] if more > 0 else []
    return lacking


def coarser(totals: list[Total], level: int) -> list[Total]:
    """The same totals, or more, in fewer lines."""
    for step in _COARSER[:level]:
        totals = merge(step(totals))
    return totals


def _months(totals: list[Total]) -> list[Total]:
    return [replace(total, day=-(-total.day // 30) * 30) for total in totals]


def _at_once(totals: list[Total]) -> list[Total]:
    latest = max((total.day for total in totals), default=0)
    return [replace(total, day=latest) for total in totals]


def _rounded(totals: list[Total]) -> list[Total]:
    """Two digits of noise, rounded down, and of the sample rate, rounded up."""
    return [
        replace(
            total, noise_multiplier=min(total.noise_multiplier, _digits(total.noise_multiplier, math.floor)),
            sample_rate=min(1.0, max(total.sample_rate, _digits(total.sample_rate, math.ceil))),
        )
        for total in totals
    ]  # fmt: skip


def _worst(totals: list[Total]) -> list[Total]:
    """A task's weakest noise with its largest sample, for all of its steps."""
    noise: dict[tuple[str, Level, Trust], float] = defaultdict(lambda: math.inf)
    rate: dict[tuple[str, Level, Trust], float] = defaultdict(float)
    for total in totals:
        of = total.task, total.level, total.trust
        noise[of], rate[of] = min(noise[of], total.noise_multiplier), max(rate[of], total.sample_rate)
    return [
        replace(t, noise_multiplier=noise[t.task, t.level, t.trust], sample_rate=rate[t.task, t.level, t.trust])
        for t in totals
    ]


_COARSER = (_months, _at_once, _rounded, _worst)


def _digits(value: float, towards: Callable[[float], int]) -> float:
    scale = 10.0 ** (1 - math.floor(math.log10(value)))
    return towards(value * scale) / scale


def _latest(totals: list[Total], like: Total) -> int:
    return max(t.day for t in totals if _mechanism(t) == _mechanism(like))


def _mechanism(total: Total) -> Total:
    """What two totals share that differ in their day and their steps alone."""
    return replace(total, day=0, steps=1)


def _key(total: Total) -> tuple[str, int, float, float, str, str]:
    return total.task, total.day, total.noise_multiplier, total.sample_rate, total.level, total.trust
