"""What goes wrong when: drawn from a seed, so that a soak can be repeated."""

from dataclasses import dataclass
from random import Random
from typing import Literal

Act = Literal["release", "round", "kill", "leave", "return"]

CYCLE_SECONDS = 300.0
MOST_RELEASES = 5
"""After the first: an agent swaps in six releases an hour at most."""

CYCLE: tuple[tuple[float, Act], ...] = (
    (0.04, "release"), (0.18, "kill"), (0.28, "round"), (0.45, "leave"), (0.52, "kill"), (0.65, "return"),
    (0.76, "round"), (0.78, "kill"),
)  # fmt: skip
"""Shares of a cycle. The coordinator is away for a fifth of each, with a kill meanwhile; the last one hits a round."""

JITTER = 0.015


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What happens, and how many seconds after the first question."""

    at: float
    act: Act


def draw(seconds: float, *, seed: int) -> list[Moment]:
    """The moments of a soak of some length, in order; a short one has one cycle."""
    random = Random(seed)  # noqa: S311 - a schedule to repeat, not a secret
    cycles = max(1, round(seconds / CYCLE_SECONDS))
    each = seconds / cycles
    found: list[Moment] = []
    for cycle in range(cycles):
        for share, act in CYCLE:
            if act != "release" or cycle < MOST_RELEASES:
                found.append(Moment(at=(cycle + share + random.uniform(-JITTER, JITTER)) * each, act=act))
    return sorted(found, key=lambda moment: moment.at)
