"""The Fleet view: every device, what it runs, what it answered, what it may have spent."""

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from server.records import Device
from server.spending import Spending
from server.tui import acts
from server.tui.acts import Act
from server.tui.charts import Bar, bar, joined
from server.tui.figures import Part, Participation, device_state
from server.tui.table import Cell, Column, Row, Table
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import (
    DEVICE_MARKS,
    PARTS,
    age,
    ago,
    line,
    lines,
    muted,
    plural,
    size,
    stamp,
    strong,
    tally,
    toned,
)

COLUMNS = (
    Column("Device", 12),
    Column("State", 9),
    Column("Model", 5, rank=1, right=True),
    Column("Seen ago", 8, right=True, rank=2),
    Column("Answered", 8, right=True),
    Column("last rounds", 11, rank=1, grow=True),
    Column("Refused", 8, rank=3),
    Column("ε ≤", 5, right=True, rank=1),
    Column("of ceiling", 10, rank=5),
    Column("Sent", 7, rank=6, right=True),
    Column("Fetched", 7, rank=6, right=True),
)
MARGIN = 9
"""Cells left of a device's details, for their names."""


@dataclass(frozen=True, slots=True)
class Strip:
    """What a device did in its last rounds: one mark a round, the newest on the right, as many as fit."""

    parts: tuple[Part, ...]

    def __call__(self, width: int) -> Content:
        """Draw the marks."""
        return joined(PARTS[part][:2] for part in self.parts[-width:])


class FleetView(View):
    """Devices in a table, and one of them in detail."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "app.act('approve')", "Approve"),
        Binding("X", "app.act('revoke')", "Revoke", key_display="X"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "unfilter", "All devices"),
    ]
    wanted = ""

    def panels(self) -> ComposeResult:
        """A table and the details of its current row."""
        with Vertical(id="list"):
            yield framed(Table(COLUMNS, id="devices"), "Devices")
            yield Input(placeholder="part of a name, a state, a reason …", id="filter", compact=True)
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
        shown = [device for device in urgent(snapshot) if matches(device, snapshot, self.wanted, self.now)]
        table.border_title = f"Devices · {len(shown)} match {self.wanted!r}" if self.wanted else "Devices"
        table.show([self._row(device, snapshot, spent.get(device.name), self.now) for device in shown])
        panel, device = self.query_one("#device", Panel), self.selected()
        panel.border_title = device.name if device else "Device"
        found = spent.get(device.name) if device else None
        panel.update(detail(device, snapshot, found, self.now, panel.content_size.width) if device else "")

    # -- the filter -----------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Ask for a word to look for."""
        self.add_class("-filtering")
        self.query_one("#filter", Input).focus()

    def action_unfilter(self) -> None:
        """Show every device again."""
        self.query_one("#filter", Input).value = ""
        self.remove_class("-filtering")
        self.focus_first()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Offer the filter where it can be typed, and the way out of it only while there is one."""
        if isinstance(self.app.screen, ModalScreen):
            return False
        return self.has_class("-filtering") if action == "unfilter" else True

    @on(Input.Changed, "#filter")
    def narrow(self, message: Input.Changed) -> None:
        """Show what matches while it is typed."""
        self.wanted = message.value.strip()
        self.refill()
        self.app.refresh_bindings()

    @on(Input.Submitted, "#filter")
    def keep(self) -> None:
        """Go back to the devices that match."""
        self.set_class(bool(self.wanted), "-filtering")
        self.focus_first()

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
            Strip(part.recent),
            toned(part.last_refusal, "$text-warning"),
            *spent_cells(spent, ceiling(snapshot)),
            size(device.bytes_up),
            size(device.bytes_down),
        ))  # fmt: skip


def matches(device: Device, snapshot: Snapshot, wanted: str, now: float) -> bool:
    """Whether a device has the word in its name, its state, its last refusal or what it says."""
    part = snapshot.participation.get(device.name, Participation())
    words = (device.name, device_state(device, now), part.last_refusal, device.detail)
    return any(wanted.lower() in word.lower() for word in words)


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


def detail(device: Device, snapshot: Snapshot, spent: Spending | None, now: float, width: int) -> Content:
    """What is known of one device, and how it took part."""
    part = snapshot.participation.get(device.name, Participation())
    room = max(8, width - MARGIN)
    return lines(
        line(DEVICE_MARKS[device_state(device, now)].content(), muted(f"  {situation(device, now)}")),
        line(muted("rounds   "), Strip(part.recent)(room) if part.asked else muted("not asked yet")),
        line(muted("         "), legend(part.recent[-room:]) if part.asked else ""),
        *privacy(spent, ceiling(snapshot), room),
        line(muted("refused  "), tally(part.refusals) or muted("nothing")),
        line(muted("model    "), f"release {device.release}" if device.release else muted("no release yet"),
             muted(f"  {device.detail}")),
        line(muted("traffic  "), f"{size(device.bytes_up)} sent, {size(device.bytes_down)} fetched"),
        line(muted("joined   "), stamp(device.enrolled_at), muted(" UTC")),
    )  # fmt: skip


def privacy(spent: Spending | None, limit: float, width: int) -> list[Content]:
    """What a device has spent at most, as a figure and against the ceiling."""
    if spent is None or not limit:
        return [line(muted("privacy  "), muted("nothing spent"))]
    share = spent.epsilon / limit
    figure = f"ε {spent.epsilon:.2f} of {limit:g} "
    left = plural(spent.campaigns_left, "campaign")
    return [
        line(muted("privacy  "), figure, bar(share, max(4, min(30, width - len(figure))), spend_tone(share))),
        line(muted("         "), muted(f"at most; room for {left}")),
    ]


def situation(device: Device, now: float) -> str:
    """What the state means for the operator."""
    if device.state == "pending":
        return "waits for approval: press a"
    if device.state == "revoked":
        return "its requests are refused"
    return f"seen {ago(device.last_seen, now)}"


def legend(parts: tuple[Part, ...]) -> Content:
    """The glyphs that occur, in words."""
    shown = [PARTS[part] for part in PARTS if part in parts]
    return line(*(line(toned(glyph, tone), muted(f" {word}")) for glyph, tone, word in shown), gap="  ")
