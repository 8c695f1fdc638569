"""What a version may have cost a device."""

from collections.abc import Iterator

from server.gates.verdicts import exact
from server.pedigree import Spend
from server.records import GateVerdict
from shared.lifecycle import Gates


def hold(gates: Gates, spend: Spend) -> Iterator[GateVerdict]:
    """The most that the rounds since the untrained version can have cost one device, if the task declares a limit."""
    if gates.max_epsilon is not None:
        note = f"at delta {spend.delta:g}, by the plans since the untrained version"
        yield exact("epsilon", "at most", gates.max_epsilon, spend.epsilon, note=note)
