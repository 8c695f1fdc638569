"""The fleet as rows: what is known of each device, its cells, and what it says to queries. Nothing here reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from textual.content import Content

from server.records import Device, DeviceHealth, DeviceState
from server.spending import Spending
from server.tui.charts import Bar, joined
from server.tui.figures import Part, Participation, device_state
from server.tui.query import Age, Value
from server.tui.table import Cell, Column
from server.tui.watcher import Snapshot
from server.tui.words import DEVICE_MARKS, HEALTH_MARKS, PARTS, age, line, micros, muted, size, strong, toned
from shared.enrolment import Bucket
from shared.tasks import Task


def heading(width: int) -> Content:
    """The title of a column that only draws: it is no field."""
    return Content("last rounds").truncate(width, ellipsis=True)


def heading_of_bar(width: int) -> Content:
    """The same for the bar."""
    return Content("of ceiling").truncate(width, ellipsis=True)


COLUMNS = (
    Column("Device", 12, name="name"),
    Column("State", 9),
    Column("Runs", 7, rank=1, name="version"),
    Column("Seen", 6, right=True, rank=1),
    Column("Refused", 7, rank=1, name="why"),
    Column("ε ≤", 5, right=True, rank=1, name="epsilon"),
    Column(heading_of_bar, 10, rank=5),
    Column("Affords", 7, right=True, rank=3, name="afford"),
    Column("Health", 9, rank=1),
    Column("p95", 6, right=True, rank=2),
    Column(heading, 11, rank=4, grow=True),
    Column("Answered", 8, rank=6, right=True),
    Column("Owner", 10, rank=7),
    Column("Sent", 7, rank=8, right=True),
    Column("Fetched", 7, rank=8, right=True),
)
URGENCY: tuple[DeviceState, ...] = ("pending", "approved", "revoked")
"""Who waits for the operator comes first, who is shut out last."""


@dataclass(frozen=True, slots=True)
class Strip:
    """What a device did in its last rounds: one mark a round, the newest on the right, as many as fit."""

    parts: tuple[Part, ...]

    def __call__(self, width: int) -> Content:
        """Draw the marks."""
        return joined(PARTS[part][:2] for part in self.parts[-width:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A snapshot's devices in the order in which they are listed, and what belongs to each by its name.

    Spend is told of one `task`, the newest run's. `health` is by device and release, `versions` by release.
    """

    devices: list[Device]
    by_name: Mapping[str, Device]
    task: Task | None
    spent: Mapping[str, Spending]
    health: Mapping[tuple[str, int], DeviceHealth]
    versions: Mapping[int, int]
    parts: Mapping[str, Participation]

    def of(self, device: Device) -> "Known":
        """What is known of one device."""
        return Known(self, device)


@dataclass(frozen=True, slots=True)
class Known:
    """One device with what the coordinator knows of it, each looked up when it is asked for."""

    fleet: Fleet
    device: Device

    @property
    def part(self) -> Participation:
        """Its answers."""
        return self.fleet.parts.get(self.device.name) or Participation()

    @property
    def version(self) -> int:
        """The model in the release that it runs, 0 for none."""
        return self.fleet.versions.get(self.device.release, 0)

    @property
    def health(self) -> DeviceHealth | None:
        """What it last said of the release that it runs."""
        return self.fleet.health.get((self.device.name, self.device.release))

    @property
    def spent(self) -> Spending | None:
        """What the plans of the fleet's task cost it at most."""
        return self.fleet.spent.get(self.device.name)

    @property
    def ceiling(self) -> float:
        """How much that task may cost it, 0 without a task."""
        return self.fleet.task.privacy.epsilon if self.fleet.task else 0.0

    @property
    def share(self) -> float:
        """How much of the ceiling is spent, at most; 0 where nothing is."""
        spent = self.spent
        return spent.epsilon / self.ceiling if spent and self.ceiling else 0.0

    @property
    def afford(self) -> Bucket | None:
        """How many more campaigns of that task it says it can pay, where its owner lets it tell."""
        return self.device.affords.get(self.fleet.task.name) if self.fleet.task else None


def fleet_of(snapshot: Snapshot) -> Fleet:
    """The devices of a snapshot."""
    task = snapshot.task(snapshot.runs[-1].task if snapshot.runs else None)
    devices = [device for state in URGENCY for device in snapshot.devices if device.state == state]
    return Fleet(
        devices=devices,
        by_name={device.name: device for device in devices},
        task=task,
        spent={each.device: each for each in snapshot.spending(task)} if task else {},
        health={(each.device, each.health.release): each for each in snapshot.health},
        versions={release.number: release.version for release in snapshot.releases},
        parts=snapshot.participation,
    )


# -- cells --------------------------------------------------------------------------------------------


def cells_of(known: Known, now: float) -> tuple[Cell, ...]:
    """One device's row."""
    device, part = known.device, known.part
    return (
        strong(device.name),
        DEVICE_MARKS[device_state(device, now)].content(),
        runs(known),
        muted(age(now - device.last_seen) if device.last_seen else "never"),
        toned(part.last_refusal, "$text-warning"),
        f"{known.spent.epsilon:.2f}" if known.spent and known.ceiling else muted("-"),
        Bar(known.share, spend_tone(known.share)) if known.spent and known.ceiling else "",
        affords(known.afford),
        HEALTH_MARKS[known.health.health.verdict].content() if known.health else muted("-"),
        pace(known),
        Strip(part.recent),
        f"{part.returned}/{part.asked}" if part.asked else muted("-"),
        device.owner or muted("-"),
        size(device.bytes_up),
        size(device.bytes_down),
    )


def runs(known: Known) -> Content:
    """The release that a device runs, and the model in it."""
    if not known.device.release:
        return muted("none")
    return line(f"r{known.device.release}", muted(f" v{known.version}" if known.version else ""))


def affords(bucket: Bucket | None) -> Content:
    """How many more campaigns a device says it can pay for, if its owner lets it tell."""
    if bucket is None:
        return muted("-")
    return toned(bucket, "$text-warning") if bucket == "0" else Content(bucket)


def pace(known: Known) -> Content:
    """How long a device takes for one made-up record, 19 times in 20."""
    found = known.health.health.p95_us if known.health else 0
    return Content(micros(found)) if found else muted("-")


def spend_tone(share: float) -> str:
    """Calm below three quarters of the ceiling, a warning above, an error at it."""
    if share >= 1:
        return "$text-error"
    return "$text-warning" if share >= 0.75 else "$primary"


# -- fields -------------------------------------------------------------------------------------------


def state_of(known: Known, now: float) -> str:
    """The state; it also says `refused` where the last answer was that."""
    refused = bool(known.part.recent) and known.part.recent[-1] == "refused"
    return device_state(known.device, now) + (" refused" if refused else "")


def health_of(known: Known) -> str | None:
    """The verdict in a word; None of a device that runs nothing."""
    if known.health:
        return known.health.health.verdict
    return "not told" if known.device.release else None


def reasons(known: Known) -> str:
    """Every reason that a device gave for refusing, the last one first."""
    last = known.part.last_refusal
    return ", ".join(sorted(known.part.refusals, key=lambda reason: (reason != last, reason)))


FIELDS: Mapping[str, Callable[[Known, float], Value]] = {
    "name": lambda known, _: known.device.name,
    "state": state_of,
    "version": lambda known, _: float(known.version) or None,
    "release": lambda known, _: float(known.device.release) or None,
    "seen": lambda known, now: Age(now - known.device.last_seen) if known.device.last_seen else None,
    "why": lambda known, _: reasons(known),
    "refused": lambda known, _: float(sum(known.part.refusals.values())),
    "answered": lambda known, _: float(known.part.returned),
    "asked": lambda known, _: float(known.part.asked),
    "epsilon": lambda known, _: known.spent.epsilon if known.spent else None,
    "left": lambda known, _: float(known.spent.campaigns_left) if known.spent else None,
    "afford": lambda known, _: known.afford,
    "health": lambda known, _: health_of(known),
    "p95": lambda known, _: known.health.health.p95_us / 1e6 or None if known.health else None,
    "owner": lambda known, _: known.device.owner,
    "sent": lambda known, _: float(known.device.bytes_up),
    "fetched": lambda known, _: float(known.device.bytes_down),
    "joined": lambda known, now: Age(now - known.device.enrolled_at),
    "said": lambda known, _: known.device.detail,
}
"""What a device says to queries, orders and exports. Times are in seconds, so that units can be compared."""
