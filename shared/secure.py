"""A round under secure aggregation, as a plan says it: the noise in shares, and who counts; and what it costs a device."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.distributed import DistributedNoise, device_event, record_event
from shared.modes import Distributed
from shared.privacy import Cost
from shared.secagg.graph import colluding, least_threshold, stray
from shared.secagg.words import Setting

if TYPE_CHECKING:
    from shared.rounds import RoundPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureRound:
    """How one round is summed; all public.

    `seed` (hex) rotates the updates, and is drawn after the weights are known. `roster` is the one that the cohort was
    chosen from: a device that holds an older one takes part once it has it.
    """

    noise: DistributedNoise
    seed: str
    roster: int

    def __post_init__(self) -> None:
        """Refuse a seed that is none."""
        if len(bytes.fromhex(self.seed)) != 32:
            raise ValueError("seed must be 32 bytes in hexadecimal digits")

    def in_common(self) -> "SecureRound":
        """The same without what changes from round to round."""
        return replace(self, seed="0" * 64, roster=0)


def fewest(terms: Distributed, devices: int) -> int:
    """How many of so many devices must stay to the end of a round."""
    return max(
        math.ceil(terms.threshold * devices - 1e-9), least_threshold(devices, colluding(devices, terms.colluders))
    )


def no_help(terms: Distributed, devices: int) -> int:
    """How many of a sum's devices may not hide another: those that collude, and those that could be cut off from it."""
    return colluding(devices, terms.colluders) + stray(devices)


def cost(secure: SecureRound) -> Cost:
    """What a round costs at each level, at the worst case that the task's terms tolerate."""
    return Cost(
        record=(record_event(secure.noise),),
        device=(device_event(secure.noise),),
        alone=(record_event(secure.noise, alone=True),),
        trust="sums",
    )


def shortfall(secure: SecureRound, terms: Distributed, *, min_cohort: int) -> str | None:
    """The first way in which a round offers less than a task's terms and an owner's smallest cohort, if any."""
    noise = secure.noise
    least = max(terms.min_cohort, min_cohort)
    if noise.threshold < least:
        return f"a sum of {noise.threshold} devices is smaller than the {least} demanded here"
    if noise.threshold < fewest(terms, noise.devices):
        return f"a threshold of {noise.threshold} of {noise.devices} is below {fewest(terms, noise.devices)}"
    if noise.colluders < no_help(terms, noise.devices):
        return f"noise sized for {noise.colluders} colluders of {noise.devices} is less than the task demands"
    if noise.encoding.bits > terms.bits:
        return f"sums of {noise.encoding.bits} bits take more than the task's {terms.bits}"
    return None


def setting_of(plan: "RoundPlan", terms: Distributed) -> Setting:
    """What secure aggregation binds every key and signature of a round to.

    A sum is of at least as many devices as the noise is shared out over, so that is the smallest cohort too.
    """
    assert plan.secure is not None
    noise = plan.secure.noise
    return Setting(
        run_id=plan.run_id, round_number=plan.number, task=plan.task, attempt=0, bits=noise.encoding.bits,
        length=noise.encoding.padded, minimum_cohort=noise.threshold, colluders=terms.colluders,
        dropouts=1 - terms.threshold,
    )  # fmt: skip
