"""Whether now is a time for this device to take part: power, network, hours, and what else it does.

Only the machine decides, never a row (privacy rule 4), and only the word `not-now` reaches the operator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import cast

from client.settings import Conditions
from shared.errors import NotNow

BUSY_SHARE = 0.25
"""A machine counts as idle while less than this share of its processors' time goes to work that is not niced.

What is niced steps back by itself, and this agent's own training is: counted, it would tell how long a round took.
"""

SAMPLE_SECONDS = 0.5

_NETWORK_MANAGER_METERED = ("1", "3")
"""NetworkManager's NM_METERED_YES and NM_METERED_GUESS_YES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How the machine is now; `None` where it cannot be known."""

    busy_share: float
    on_battery: bool | None
    metered: bool | None
    clock: time


def check(conditions: Conditions, look: Callable[[], Machine] | None = None) -> None:
    """Raise `NotNow`, with the reason for the owner, unless every condition holds."""
    if conditions == Conditions():
        return
    machine = (look or read_machine)()
    if why := objection(conditions, machine):
        raise NotNow(why)


def objection(conditions: Conditions, machine: Machine) -> str | None:
    """Why not now, or None. A condition whose state cannot be known does not hold."""
    if conditions.mains_only and machine.on_battery is not False:
        return "the owner wants mains power, and this device " + _state(machine.on_battery, "is on battery")
    if conditions.unmetered_only and machine.metered is not False:
        return "the owner wants an unmetered network, and this one " + _state(machine.metered, "is metered")
    if conditions.idle_only and machine.busy_share > BUSY_SHARE:
        return f"the owner wants an idle machine, and {machine.busy_share:.0%} of the processors' time is taken"
    if conditions.open_hours and not within(machine.clock, *conditions.open_hours):
        return f"the owner's hours are {conditions.hours}, and it is {machine.clock:%H:%M}"
    return None


def within(now: time, start: time, end: time) -> bool:
    """Whether a time of day lies in hours that may pass midnight."""
    return start <= now < end if start < end else now >= start or now < end


def read_machine() -> Machine:
    """Look at the machine."""
    return Machine(
        busy_share=_busy_share(),
        on_battery=_on_battery(),
        metered=metered(),
        clock=datetime.now().astimezone().time(),
    )


def _busy_share() -> float:
    """The share of processor time that work took which is not niced, over half a second."""
    import psutil

    taken = psutil.cpu_times_percent(interval=SAMPLE_SECONDS)
    return (taken.user + taken.system) / 100


def _on_battery() -> bool | None:
    """Without a battery there is only the mains."""
    import psutil

    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is None:
        return False
    plugged = cast("bool | None", battery.power_plugged)  # None where the system does not say
    return None if plugged is None else not plugged


def metered(root: Path = Path("/run/NetworkManager/devices")) -> bool | None:
    """What NetworkManager says of any connected device; None where it does not run."""
    try:
        states = [file.read_text(encoding="utf-8", errors="replace") for file in root.iterdir()]
    except OSError:
        return None
    marks = [
        line.partition("=")[2].strip() for state in states for line in state.splitlines() if line.startswith("metered=")
    ]
    return any(mark in _NETWORK_MANAGER_METERED for mark in marks) if marks else None


def _state(known: bool | None, text: str) -> str:
    return text if known else "does not say how it is"
