"""How the devices of a rehearsal behave, in words and figures: a table that a person writes, or one of three presets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared import wire
from shared.errors import InputError, WireError

Attack = Literal["sign-flip", "scale", "nan"]

_SHARES = (
    "charge_daily", "charge_by_day", "idle_at_night", "idle_by_day", "unmetered", "never", "unreachable", "fails",
    "late", "labels_never", "attackers",
)  # fmt: skip
_NEVER_NEGATIVE = (
    "charge_hours_spread", "slowness_spread", "jitter", "link_seconds", "link_spread", "interruptions_per_hour",
    "late_hours", "label_delay_hours", "charge_hour_spread",
)  # fmt: skip
_POSITIVE = ("charge_hours", "stretch_minutes", "examples_per_second", "slowness_tail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """From `start` on, an ISO date, rows of some devices change: `amount` is added to inputs, or labels turn round.

    `share` is how many of the devices; `inputs` which columns shift, all of them if left out. Inputs are scaled to lie
    in [-1, 1] and stay there.
    """

    kind: Literal["shift", "invert"]
    start: str
    share: float = 1.0
    amount: float = 0.0
    inputs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {self.share}")
        if min(self.inputs, default=0) < 0:
            raise ValueError(f"inputs are columns from 0, got {list(self.inputs)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How devices behave; docs/devices.md says where each preset's figures come from. What is left out is ideal.

    A device takes part while it is charging, idle and on an unmetered network:

    - `zones`: hours that local time is ahead of virtual time; each device has one of them.
    - `charge_hour`, `charge_hour_spread`, `charge_hours`, `charge_hours_spread`: when a device is plugged in for the
      night and for how long, local hours, normal over devices; on a share `charge_daily` of days it is. At any other
      time it is plugged in with probability `charge_by_day`. From 24 hours on it always is.
    - `idle_at_night`, `idle_by_day`: how likely it is idle at three in the night and in the afternoon, a cosine between.
    - `unmetered`: how likely its network is. `never`: the share of devices that never take part.
    - `stretch_minutes`: how long a device stays idle and unmetered, or not, before that is decided anew.

    What becomes of a request:

    - `unreachable`: the share that is gone before it has paid; `fails`: the share that fails afterwards.
    - `interruptions_per_hour`: how often its owner takes a device away that works; slow ones drop out more often.
    - `late`, `late_hours`: the share that finishes, loses the network and sends the sealed answer later, exponentially.

    How long it takes, `(work / examples_per_second) * slowness * jitter + link`:

    - `slowness`: a device's own factor, `log-normal` with median 1 and `slowness_spread` as the standard deviation of its
      logarithm, or `pareto` with least 1 and exponent `slowness_tail`: P(slowness > x) = x ** -slowness_tail.
    - `jitter`: the standard deviation of the logarithm of each request's own factor, of median 1.
    - `link_seconds`, `link_spread`: what the model down and the update up take; median and spread of the logarithm.

    What the rows are like: `label_delay_hours` is the mean of how long after its row a label comes, exponentially;
    `labels_never` the share of rows that get none; `drifts` what changes when. `attackers` is the share of devices that
    lie, by `attack`; one that scales sends `attack_scale` times its update.
    """

    zones: tuple[float, ...] = (0.0,)
    charge_hour: float = 0.0
    charge_hour_spread: float = 1.0
    charge_hours: float = 24.0
    charge_hours_spread: float = 0.0
    charge_daily: float = 1.0
    charge_by_day: float = 1.0
    idle_at_night: float = 1.0
    idle_by_day: float = 1.0
    unmetered: float = 1.0
    never: float = 0.0
    stretch_minutes: float = 30.0
    unreachable: float = 0.0
    fails: float = 0.0
    interruptions_per_hour: float = 0.0
    late: float = 0.0
    late_hours: float = 1.0
    examples_per_second: float = 1000.0
    slowness: Literal["log-normal", "pareto"] = "log-normal"
    slowness_spread: float = 0.0
    slowness_tail: float = 2.0
    jitter: float = 0.0
    link_seconds: float = 0.0
    link_spread: float = 0.0
    label_delay_hours: float = 0.0
    labels_never: float = 0.0
    drifts: tuple[Drift, ...] = ()
    attackers: float = 0.0
    attack: Attack = "sign-flip"
    attack_scale: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what no device can be like."""
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in _NEVER_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 < len(self.zones) < 128:
            raise ValueError("zones must name 1 to 127 offsets in hours")
        if self.unreachable + self.fails + self.late > 1:
            raise ValueError("unreachable, fails and late share out one request, so they are at most 1 together")


PRESETS = {
    "ideal": Behaviour(),
    "phones": Behaviour(
        zones=(-8.0, -7.0, -6.0, -6.0, -5.0, -5.0), charge_hour=22.5, charge_hour_spread=1.5, charge_hours=8.0,
        charge_hours_spread=1.5, charge_daily=0.85, charge_by_day=0.3, idle_at_night=0.9, idle_by_day=0.65,
        unmetered=0.8, never=0.1, stretch_minutes=40.0, unreachable=0.03, fails=0.04, interruptions_per_hour=0.8,
        late=0.01, late_hours=6.0, examples_per_second=20.0, slowness_spread=1.0, jitter=0.3, link_seconds=15.0,
        link_spread=1.0,
    ),
    "desktops": Behaviour(
        zones=(-8.0, -7.0, -6.0, -6.0, -5.0, -5.0), charge_hour=8.5, charge_hour_spread=1.0, charge_hours=9.5,
        charge_hours_spread=2.0, charge_daily=0.75, charge_by_day=0.35, idle_at_night=0.95, idle_by_day=0.5,
        unmetered=0.98, never=0.02, stretch_minutes=20.0, unreachable=0.01, fails=0.01, interruptions_per_hour=0.5,
        late=0.02, late_hours=12.0, examples_per_second=200.0, slowness_spread=0.6, jitter=0.4, link_seconds=4.0,
        link_spread=0.5,
    ),
}  # fmt: skip
"""`desktops` "charge" while they are switched on: for an office's day, and some of them through the night."""


def read_behaviour(what: str) -> Behaviour:
    """A preset by its name, or what a TOML file says; raise `InputError` with the reason if it is neither."""
    if what in PRESETS:
        return PRESETS[what]
    path = Path(what)
    if not path.is_file():
        raise InputError(f"{what!r} is neither one of {sorted(PRESETS)} nor a file that describes how devices behave")
    try:
        return wire.from_toml(Behaviour, path.read_bytes(), what=path.name)
    except WireError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
