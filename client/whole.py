"""A campaign that is charged whole, by its exact epsilon, where dp-accounting is installed (privacy rule 8).

It tells what the Renyi filter cannot: all of such a campaign's events are known before its first output. Only a device
with the extra `full` has it; the ledger of any other is stricter by a few per cent.
"""

import math
from collections.abc import Sequence
from importlib.util import find_spec

from shared.privacy import SampledGaussian

MOST_STEPS = 100_000
"""Beyond them `shared/pld.py` promises no exactness, and takes longer than a request should."""


def installed() -> bool:
    """Whether this device can tell exact epsilons."""
    return find_spec("dp_accounting") is not None


def epsilon(events: Sequence[SampledGaussian], delta: float) -> float:
    """No less than the exact epsilon of Gaussian events; infinite where it cannot be told, so that nobody relies on it."""
    from shared import pld

    if sum(event.steps for event in events) > MOST_STEPS:
        return math.inf
    return pld.epsilon(events, delta=delta)
