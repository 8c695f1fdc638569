"""How rare a place among the sets of devices that might have run a release can be: who can raise an alarm at all."""

import math

FALSE_ALARM = 0.01
"""Of each figure, in each survey."""

SETS = 5000
"""So many sets of devices are looked at; all of them where there are not more."""


def least_chance(canary: int, devices: int) -> float:
    """The smallest chance that so many devices can ever show."""
    return 1.0 / min(SETS, math.comb(devices, canary))


def can_alarm(canary: int, devices: int) -> bool:
    """Whether so many of `devices` can ever show harm, however great it is."""
    return 0 < canary < devices and least_chance(canary, devices) <= FALSE_ALARM


def fewest(devices: int) -> int | None:
    """The smallest canary that can alarm; None in a fleet where none can."""
    return next((size for size in range(1, devices) if can_alarm(size, devices)), None)
