"""The Fleet view: every device, what it runs and how that fares, what it refused, and what it may have spent."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from server.records import Device
from server.tui import acts
from server.tui.commands import Act
from server.tui.devicefacts import facts
from server.tui.devicepage import device_page
from server.tui.devicerows import COLUMNS, FIELDS, Fleet, cells_of, fleet_of
from server.tui.figures import device_state
from server.tui.firststeps import first_steps
from server.tui.lazy import Fields
from server.tui.table import Listing, Table
from server.tui.view import Panel, View, framed
from server.tui.watcher import Snapshot
from server.tui.words import DEVICE_MARKS, line, toned

CENSUS_SECONDS = 5
"""States are counted this often, beside with each snapshot: a device goes away by time alone."""
WHOLE_LINES = 24
"""A panel so high shows all that is known of a device."""


class FleetView(View):
    """Devices in a table, and one of them in detail."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "app.act('approve')", "Approve"),
        Binding("X", "app.act('revoke')", "Revoke", key_display="X"),
    ]
    WORDS: ClassVar[dict[str, str]] = {
        "online": "it spoke within the last minute",
        "runs": "its release, r, and the version of the model in it, v",
        "affords": "how many more campaigns it could pay, where its owner tells",
        "health": "how its release does on made-up records; no example is used",
        "p95": "of 20 made-up records, 19 took no longer",
    }
    shown_of: Snapshot | None = None
    counted_at: tuple[int, float] | None = None
    fleet: Fleet

    def panels(self) -> ComposeResult:
        """A table and the details of its current row."""
        yield framed(Table(COLUMNS, id="devices"), "Devices")
        yield Panel("Device", id="device")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Invite the first device."""
        return None if snapshot.devices else first_steps(serving=snapshot.serving)

    def fill(self, snapshot: Snapshot) -> None:
        """One row a device, made as it comes into sight, and the details of the current one."""
        table = self.query_one("#devices", Table)
        if snapshot is not self.shown_of:
            self.shown_of, self.fleet = snapshot, fleet_of(snapshot)
        if (moment := (id(snapshot), self.now // CENSUS_SECONDS)) != self.counted_at:
            self.counted_at, table.border_subtitle = moment, census(snapshot, self.now)
        table.list(self._listing())
        self._detail()

    def follow(self) -> None:
        """The details follow the cursor; the rows stay as they are."""
        if self.snapshot is not None and self.shown_of is self.snapshot:
            self._detail()

    def _detail(self) -> None:
        panel, device = self.query_one("#device", Panel), self.selected()
        panel.border_title = device.name if device else "Device"
        if device is None or self.snapshot is None:
            panel.update("")
            return
        room = panel.content_size
        whole = room.height >= WHOLE_LINES
        panel.border_subtitle = "" if whole else "enter shows all"
        panel.update(self._page(device, self.snapshot, room.width) if whole else self._facts(device, room.width))

    def _facts(self, device: Device, width: int) -> Content:
        return facts(self.fleet.of(device), self.now, width, acts=self._acts)

    def _page(self, device: Device, snapshot: Snapshot, width: int) -> Content:
        return device_page(self.fleet.of(device), snapshot, self.now, width, acts=self._acts)

    @property
    def _acts(self) -> bool:
        return not getattr(self.app, "read_only", False)

    def _listing(self) -> Listing:
        """The devices as rows."""
        fleet, now = self.fleet, self.now
        return Listing(
            items=fleet.devices,
            key=lambda device: device.name,
            cells=lambda device: cells_of(fleet.of(device), now),
            fields=lambda device: Fields(FIELDS, fleet.of(device), now),
        )

    def selected(self) -> Device | None:
        """The device under the cursor."""
        key = self.query_one("#devices", Table).key
        return self.fleet.by_name.get(key) if key is not None and self.shown_of else None

    def offer(self, action: str) -> Act | None:
        """Approve who waits; revoke whoever is not shut out yet; all that are marked, together."""
        if self.shown_of is None:
            return None
        found = (self.fleet.by_name.get(key) for key in self.query_one("#devices", Table).targets)
        chosen = [device for device in found if device is not None]
        if action == "approve":
            return acts.together([acts.approve(device) for device in chosen if device.state == "pending"], "device")
        if action == "revoke":
            return acts.together([acts.revoke(device) for device in chosen if device.state != "revoked"], "device")
        return None

    def page(self, table: Table, key: str, width: int) -> tuple[str, Content] | None:  # noqa: ARG002 - there is one table
        """All that is known of a device, its key included."""
        device = self.fleet.by_name.get(key) if self.shown_of else None
        if device is None or self.snapshot is None:
            return None
        return key, self._page(device, self.snapshot, width)


def census(snapshot: Snapshot, now: float) -> Content:
    """How many devices are in each state."""
    states = [device_state(device, now) for device in snapshot.devices]
    present = [(mark, states.count(state)) for state, mark in DEVICE_MARKS.items() if state in states]
    return line(*(toned(f"{mark.glyph} {count} {mark.word}", mark.tone) for mark, count in present), gap="  ")
