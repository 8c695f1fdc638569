"""The Fleet view: every device, what it runs, what it answered, what it may have spent."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from server.records import Device
from server.tui import acts
from server.tui.acts import Act
from server.tui.charts import Bar, joined
from server.tui.figures import Part, Participation, device_state
from server.spending import Spending
from server.tui.table import Cell, Column, Row, Table
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import DEVICE_MARKS, age, ago, line, lines, muted, plural, size, stamp, strong, toned

COLUMNS = (
    Column("Device", 12),
    Column("State", 9),
    Column("Model", 5, rank=1, right=True),
    Column("Seen ago", 8, right=True, rank=1),
    Column("Answered", 8, right=True),
    Column("Refused", 8, rank=2),
    Column("ε ≤", 5, right=True, rank=1),
    Column("ceiling", 7, rank=3, grow=True),
    Column("Sent", 7, rank=4, right=True),
    Column("Fetched", 7, rank=5, right=True),
)
RECENT = 36
PARTS: dict[Part, tuple[str, str, str]] = {
    "returned": ("■", "$text-success", "returned"),
    "refused": ("✕", "$text-warning", "refused"),
    "failed": ("!", "$text-error", "failed"),
    "idle": ("·", "$foreground 22%", "not asked"),
}


class FleetView(View):
    """Devices in a table, and one of them in detail."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "app.act('approve')", "Approve"),
        Binding("X", "app.act('revoke')", "Revoke", key_display="X"),
    ]

    def panels(self) -> ComposeResult:
        """A table and the details of its current row."""
        yield framed(Table(COLUMNS, id="devices"), "Devices")
        yield Panel("Device", id="device")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Invite the first device."""
        if snapshot.devices:
            return None
        return advice(
            "Nobody has joined yet.",
            ("covey invite", "prints an invitation, good for one device"),
            ("covey-agent join INVITATION", "on the device; then approve it here with a"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """One row a device, and the details of the current one."""
        spent = spending_of(snapshot)
        table = self.query_one("#devices", Table)
        table.border_subtitle = census(snapshot, self.now)
        table.show([self._row(device, snapshot, spent.get(device.name), self.now) for device in urgent(snapshot)])
        if device := self.selected():
            self.query_one("#device", Panel).border_title = device.name
            self.query_one("#device", Panel).update(detail(device, snapshot, spent.get(device.name), self.now))

    def selected(self) -> Device | None:
        """The device under the cursor."""
        key = self.query_one("#devices", Table).key
        return next((d for d in self.snapshot.devices if d.name == key), None) if self.snapshot else None

    def offer(self, action: str) -> Act | None:
        """Approve who waits; revoke whoever is not shut out yet."""
        device = self.selected()
        if device is None:
            return None
        if action == "approve" and device.state == "pending":
            return acts.approve(device)
        return acts.revoke(device) if action == "revoke" and device.state != "revoked" else None

    @staticmethod
    def _row(device: Device, snapshot: Snapshot, spent: Spending | None, now: float) -> Row:
        part = snapshot.participation.get(device.name, Participation())
        return Row(device.name, (
            strong(device.name),
            DEVICE_MARKS[device_state(device, now)].content(),
            f"r{device.release}" if device.release else muted("none"),
            muted(age(now - device.last_seen) if device.last_seen else "never"),
            f"{part.returned}/{part.asked}" if part.asked else muted("-"),
            toned(part.last_refusal, "$text-warning"),
            *spent_cells(spent, ceiling(snapshot)),
            size(device.bytes_up),
            size(device.bytes_down),
        ))  # fmt: skip


def urgent(snapshot: Snapshot) -> list[Device]:
    """Those who wait for the operator first, those shut out last, by name within."""
    ranks = {"pending": 0, "approved": 1, "revoked": 2}
    return sorted(snapshot.devices, key=lambda device: (ranks[device.state], device.name))


def spending_of(snapshot: Snapshot) -> dict[str, Spending]:
    """The spend on the task of the newest run, or on the first task, by device."""
    task = snapshot.task(snapshot.runs[-1].task if snapshot.runs else None)
    return {each.device: each for each in snapshot.spending(task)} if task else {}


def ceiling(snapshot: Snapshot) -> float:
    """The ceiling of the same task; 0 while there is none."""
    task = snapshot.task(snapshot.runs[-1].task if snapshot.runs else None)
    return task.privacy.epsilon if task else 0.0


def spent_cells(spent: Spending | None, limit: float) -> tuple[Cell, Cell]:
    """Epsilon as a figure and as a bar."""
    if spent is None or not limit:
        return muted("-"), ""
    share = spent.epsilon / limit
    return f"{spent.epsilon:.2f}", Bar(share, spend_tone(share))


def spend_tone(share: float) -> str:
    """Calm below three quarters of the ceiling, a warning above, an error at it."""
    if share >= 1:
        return "$text-error"
    return "$text-warning" if share >= 0.75 else "$primary"


def census(snapshot: Snapshot, now: float) -> Content:
    """How many devices are in each state."""
    states = [device_state(device, now) for device in snapshot.devices]
    present = [(mark, states.count(state)) for state, mark in DEVICE_MARKS.items() if state in states]
    return line(*(toned(f"{mark.glyph} {count} {mark.word}", mark.tone) for mark, count in present), gap="  ")


def detail(device: Device, snapshot: Snapshot, spent: Spending | None, now: float) -> Content:
    """What is known of one device, and how it took part."""
    part = snapshot.participation.get(device.name, Participation())
    left = f", {plural(spent.campaigns_left, 'campaign')} left" if spent else ""
    return lines(
        line(DEVICE_MARKS[device_state(device, now)].content(), muted(f"  {situation(device, now)}")),
        line(muted("rounds   "), strip(part.recent)),
        line(muted("         "), legend(part.recent)),
        line(muted("privacy  "), f"ε ≤ {spent.epsilon:.2f}{left}" if spent else muted("nothing spent")),
        line(muted("says     "), device.detail or muted("nothing yet")),
        line(muted("model    "), f"release {device.release}" if device.release else muted("no release yet")),
        line(muted("traffic  "), f"{size(device.bytes_up)} sent, {size(device.bytes_down)} fetched"),
        line(muted("joined   "), stamp(device.enrolled_at)),
    )


def situation(device: Device, now: float) -> str:
    """What the state means for the operator."""
    if device.state == "pending":
        return "waits for approval: press a"
    if device.state == "revoked":
        return "its requests are refused"
    return f"seen {ago(device.last_seen, now)}"


def strip(parts: tuple[Part, ...]) -> Content:
    """One glyph a round, the newest on the right."""
    return joined(PARTS[part][:2] for part in parts[-RECENT:]) if parts else muted("not asked yet")


def legend(parts: tuple[Part, ...]) -> Content:
    """The glyphs that occur, in words."""
    shown = [PARTS[part] for part in PARTS if part in parts[-RECENT:]]
    return line(*(line(toned(glyph, tone), muted(f" {word}")) for glyph, tone, word in shown), gap="  ")
