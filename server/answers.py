"""What owners let the coordinator know: how many of their devices can afford a campaign. Buckets are coarse, and so is this."""

import math
from collections.abc import Iterable
from fractions import Fraction

from server.records import Device
from shared import accounting
from shared.enrolment import BUCKETS
from shared.privacy import SampledGaussian


def answers(devices: Iterable[Device], task: str, *, campaigns: int) -> tuple[int, int]:
    """How many approved devices surely afford so many campaigns of a task's own training, of how many that tell.

    A device is counted by the fewest campaigns that its bucket stands for, as of when it last spoke.
    """
    told = [
        BUCKETS[device.affords[task]] for device in devices if device.state == "approved" and task in device.affords
    ]
    return sum(least >= campaigns for least in told), len(told)


def campaigns_in(event: SampledGaussian, own: SampledGaussian) -> int:
    """The fewest campaigns of a task's `own` training that cost at least what `event` does, at every order."""
    ratio = float((accounting.renyi([event]) / accounting.renyi([own])).max())
    return max(1, math.ceil(ratio * (1 - 1e-12)))


def in_words(able: int, told: int) -> str:
    """A share as people say it: `none`, `about 3 in 4`, `all`; no finer than fifths, and `all` only if it is."""
    if able in {0, told}:
        return "all" if able else "none"
    near = Fraction(able, told).limit_denominator(5)
    if near.denominator == 1:
        return "nearly all" if near else "hardly any"
    return f"about {near.numerator} in {near.denominator}"
