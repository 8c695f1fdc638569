"""How the mode of a round reads: who adds its noise, in how many bits a sum travels, and against whom epsilon holds."""

from collections.abc import Iterable

from shared.modes import Mode
from shared.privacy import TRUST, TRUSTS, Trust
from shared.rounds import RoundPlan

NOISE: dict[Mode, str] = {
    "local": "each device, all of its own",
    "distributed": "each device, a share",
    "central": "the coordinator, all of it",
}
"""Who adds the noise."""

TRUST_OF: dict[Mode, Trust] = {"local": "everyone", "distributed": "sums", "central": "coordinator"}
"""Against whom the epsilon of a mode holds."""

HOLDS: dict[Trust, str] = {
    "everyone": "against everyone",
    "sums": "against one who sees only sums",
    "coordinator": "not against the coordinator",
}
"""The same as `TRUST`, where there is little room."""


def mode_of(plan: RoundPlan) -> str:
    """A round's mode, and the bits of each value of its sum: `distributed, 23 bits`."""
    return f"{plan.mode}, {plan.secure.noise.encoding.bits} bits" if plan.secure else plan.mode


def least(trusts: Iterable[Trust]) -> Trust:
    """Against whom several events together hold: against no more than the weakest of them does."""
    found, weakest = set(trusts), TRUSTS[0]
    for trust in TRUSTS:
        weakest = trust if trust in found else weakest
    return weakest


def explained(plans: Iterable[RoundPlan]) -> list[str]:
    """One line for each mode but the local one: who adds its noise, and against whom its epsilon holds."""
    modes: set[Mode] = {plan.mode for plan in plans}
    return [
        f"{mode}: noise by {NOISE[mode]}; epsilon holds {TRUST[TRUST_OF[mode]]}"
        for mode in NOISE
        if mode in modes - {"local"}
    ]
