"""One seed's campaign as it stands, whichever engine conducted it: its rounds, and what each device paid."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.records import Run
from server.store import Store
from shared.privacy import Cost, Level
from shared.rounds import RoundResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What became of one round's devices: counts, bytes over the network, and seconds of the fleet's own clock."""

    asked: int
    returned: int
    refused: int
    failed: int
    up: int = 0
    down: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What each device paid, by its number: charges, epsilon at the campaign's level, and refusals; `(devices,)` each."""

    rounds: NDArray[np.int64]
    epsilon: NDArray[np.float64]
    refusals: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign so far. `facts` are of each of `rounds`, in their order; the store is open."""

    seed: int
    store: Store
    run: Run
    rounds: tuple[RoundResult, ...]
    facts: tuple[Facts, ...]
    paid: Paid


def level_of(cost: Cost) -> Level:
    """The level that a plan's epsilon is told at: rows where it protects them, else whole devices."""
    return "record" if cost.record else "device"


def facts_of(results: Iterable[RoundResult]) -> Iterator[Facts]:
    """What the coordinator knows of its rounds, where each device has a node of its own."""
    for result in results:
        yield Facts(
            asked=len(result.cohort), returned=len(result.returned), refused=len(result.refusals),
            failed=len(result.cohort) - len(result.returned) - len(result.refusals),
        )  # fmt: skip
