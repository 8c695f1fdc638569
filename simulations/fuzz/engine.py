"""Many inputs for one parser: seeds first, then changes of what is known; what ended in a new place is kept to change.

There is no instrumentation: the lines that an error came through, and the word that a parser gives for what it took,
tell which part of it an input reached.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from simulations.fuzz.mutation import mutate
from simulations.fuzz.target import KINDS, Kind, Target
from simulations.fuzz.trial import Came, Trials

MOST_KEPT = 600
"""Inputs that are kept to change; further ones take the place of others."""

_FROM_TAKEN, _TAKEN_KEPT = 0.6, 0.1
"""How often an input is made of one that was taken, and how many of those are kept: so changes wander through what is
valid, instead of starting from what was refused at once."""

MOST_FINDINGS = 25
"""Different findings that are told of one parser."""

Pulse = Callable[[int, bytes | None], None]
"""Hears of each input before it is tried, and of its number; and `None` once it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An input that broke a promise, what was seen, and the seed of the round of changes that it came from."""

    target: str
    kind: Kind
    text: str
    seed: str
    data: bytes


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of a parser's inputs: how many there were, were taken, and broke which promise; in how many places."""

    target: str
    inputs: int = 0
    accepted: int = 0
    places: set[str] = field(default_factory=set[str])
    broken: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    findings: list[Finding] = field(default_factory=list[Finding])

    def add(self, other: "Tally") -> None:
        """Count another round of the same parser."""
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.places |= other.places
        for kind, count in other.broken.items():
            self.broken[kind] += count
        for finding in other.findings:
            self.find(finding.kind, finding.text, finding.data, finding.seed)

    def count(self, came: Came, data: bytes, seed: str) -> bool:
        """Count one input; returns whether it ended where none did before."""
        self.inputs += 1
        self.accepted += came.accepted
        if came.broken is not None:
            self.broken[came.broken] += 1
            self.find(came.broken, came.text, data, seed)
        new = came.place not in self.places
        self.places.add(came.place)
        return new

    def find(self, kind: Kind, text: str, data: bytes, seed: str) -> None:
        """Keep an input that broke a promise, the first of its like."""
        if _alike(text) not in {_alike(one.text) for one in self.findings} and len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(target=self.target, kind=kind, text=text, seed=seed, data=data))


def _alike(text: str) -> str:
    """What findings of one cause have in common: numbers and names of files may differ, not the line in our code."""
    what, _, line = text.rpartition(" (")
    return re.sub(r"[0-9]+|'.*?'", "#", what) + line


def silent(_number: int, _data: bytes | None) -> None:
    """A pulse that nobody hears."""


def fuzz(
    target: Target, *, inputs: int, seed: str, corpus: Sequence[bytes] = (), pulse: Pulse = silent
) -> Tally:  # fmt: skip
    """Try the seeds, the corpus, and changes of both, `inputs` in all; the same seed makes the same inputs."""
    random = Random(f"{target.name}/{seed}")  # noqa: S311 - what is tried must be tried again
    tally, given = Tally(target=target.name), [*target.seeds(), *corpus]
    taken, reached = list(given), list(given)
    with target.open() as run, warnings.catch_warnings(action="ignore"):
        trials = Trials(run)
        with trials.watched():
            for number in range(inputs):
                pool = taken if random.random() < _FROM_TAKEN else reached
                data = given[number] if number < len(given) else mutate(target.parts, pool, random)
                pulse(number, data)
                came = trials(data)
                pulse(number, None)
                if tally.count(came, data, seed) and number >= len(given):
                    _keep(reached, data, random)
                if came.accepted and random.random() < _TAKEN_KEPT:
                    _keep(taken, data, random)
    return tally


def _keep(pool: list[bytes], data: bytes, random: Random) -> None:
    if len(pool) < MOST_KEPT:
        pool.append(data)
    else:
        pool[random.randrange(len(pool))] = data
