"""What each line of the ledger cost, at which level and against whom, in words; and what all of them come to."""

import math
from collections import defaultdict
from dataclasses import dataclass

from client.ledger import Ledger
from client.store import AgentStore
from shared.privacy import ADJACENCY, LEVELS, TRUST, TRUSTS, Level, Trust

LEVEL_NAMES: dict[Level, str] = {"record": "for a row", "device": "for the device", "alone": "by its own noise"}

UNPROTECTED: dict[Level, str] = {
    "record": "",
    "device": "none: a release protects single rows only",
    "alone": "infinite: the coordinator added the noise of a release",
}
"""Why there is no epsilon at a level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event of a charge: what it was, at which level, and in words whom it protects and against whom."""

    level: Level
    noise_multiplier: float
    sample_rate: float
    steps: int
    adjacency: str
    trust: str

    @property
    def event(self) -> str:
        """The event as a person reads it."""
        steps = f"{self.steps} step{'s' if self.steps > 1 else ''}"
        return f"sigma {self.noise_multiplier:.4g}, rate {self.sample_rate:.4g}, {steps}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What all charges ever come to at a level; `epsilon` is None where nothing protects, and `words` say why."""

    level: Level
    epsilon: float | None
    adjacency: str
    trust: str
    words: str

    @property
    def figure(self) -> str:
        """Epsilon as a person reads it."""
        return f"{self.epsilon:.3f}" if self.epsilon is not None else self.words.partition(":")[0]

    @property
    def why(self) -> str:
        """What a person reads beside the figure."""
        return self.words if self.epsilon is not None else self.words.partition(": ")[2]


def lines(store: AgentStore) -> dict[int, tuple[Line, ...]]:
    """The lines of every charge, by its number; those that cost nothing have none."""
    found: dict[int, list[Line]] = defaultdict(list)
    for row in store.db.execute("SELECT * FROM events ORDER BY rowid"):
        line = Line(
            level=row["level"], noise_multiplier=row["noise_multiplier"], sample_rate=row["sample_rate"],
            steps=row["steps"], adjacency=ADJACENCY[row["level"]], trust=_against(row["level"], row["trust"]),
        )  # fmt: skip
        found[row["charge"]].append(line)
    return {charge: tuple(each) for charge, each in found.items()}


def totals(store: AgentStore, *, delta: float) -> tuple[Total, ...]:
    """What was ever charged comes to, at each level; retired rows included."""
    return tuple(_total(store, level, delta) for level in LEVELS)


def _total(store: AgentStore, level: Level, delta: float) -> Total:
    epsilon = Ledger(store).spent(delta, level=level).epsilon
    trusted = TRUSTS[max((TRUSTS.index(trust) for trust in store.trusts()), default=0)]
    adjacency, trust, finite = ADJACENCY[level], _against(level, trusted), math.isfinite(epsilon)
    words = f"{adjacency}, {trust}" if finite else UNPROTECTED[level]
    return Total(
        level=level, epsilon=epsilon if finite else None, adjacency=adjacency, trust=trust, words=words
    )  # fmt: skip


def _against(level: Level, trust: Trust) -> str:
    """What the device's own noise guarantees holds whoever breaks the protocol."""
    return TRUST["everyone" if level == "alone" else trust]
