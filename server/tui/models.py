"""The Models view: every version with its lineage, and every release with the gates it passed."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from server.records import GateVerdict
from server.tui import acts
from server.tui.acts import Act
from server.tui.table import Column, Row, Table
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import STAGE_MARKS, ago, line, lines, muted, size, stamp, strong, toned
from shared.models import ModelVersion, Release

RELEASES = (
    Column("Release", 7, right=True),
    Column("Version", 7, right=True),
    Column("Task", 9, grow=True),
    Column("State", 10),
    Column("On", 7, right=True),
    Column("Share", 6, right=True, rank=1),
    Column("Published", 16, rank=2),
)
VERSIONS = (
    Column("Version", 7, right=True),
    Column("Stage", 11),
    Column("Release", 7, right=True),
    Column("Parent", 6, right=True),
    Column("From", 16, grow=True),
    Column("Weights", 7, rank=1),
    Column("Made", 10, right=True, rank=2),
)


class ModelsView(View):
    """Releases above, versions below; the details follow whichever has the keyboard."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "app.act('promote')", "Promote"),
        Binding("w", "app.act('withdraw')", "Withdraw"),
    ]

    def panels(self) -> ComposeResult:
        """Two tables and one panel of details."""
        yield framed(Table(VERSIONS, id="versions"), "Versions")
        yield framed(Table(RELEASES, id="releases"), "Releases")
        yield Panel("Gates", id="gates")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """A task brings the first version."""
        if snapshot.versions:
            return None
        return advice(
            "There is no model yet.",
            ("covey task tasks/flights.toml", "publishes a task and its untrained first version"),
            ("s", "starts rounds; each committed round makes a version"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """Newest first, and what is known of the selected row."""
        numbers = released(snapshot.releases)
        shown = self.query_one("#releases", Table)
        shown.show([release_row(release, snapshot) for release in reversed(snapshot.releases)])
        self.query_one("#versions", Table).show(
            [version_row(v, numbers, self.now) for v in reversed(snapshot.versions)]
        )
        self._show_details(snapshot)

    def on_descendant_focus(self) -> None:
        """The details follow the keyboard."""
        self.refill()

    def version(self) -> ModelVersion | None:
        """The version under the cursor."""
        key = self.query_one("#versions", Table).key
        return next((v for v in self.snapshot.versions if str(v.number) == key), None) if self.snapshot else None

    def release(self) -> Release | None:
        """The release under the cursor."""
        key = self.query_one("#releases", Table).key
        return next((r for r in self.snapshot.releases if str(r.number) == key), None) if self.snapshot else None

    def offer(self, action: str) -> Act | None:
        """Promote a candidate; withdraw the release in force."""
        version, release = self.version(), self.in_force()
        if action == "promote" and version and version.stage == "candidate" and self.snapshot:
            return acts.promote(version, self.snapshot)
        return acts.withdraw(release) if action == "withdraw" and release else None

    def in_force(self) -> Release | None:
        """The selected release, if it is the one in force: only that can be withdrawn."""
        release, releases = self.release(), self.snapshot.releases if self.snapshot else ()
        return release if release and in_force(release, releases) else None

    def _show_details(self, snapshot: Snapshot) -> None:
        panel, version, release = self.query_one("#gates", Panel), self.version(), self.release()
        if version is not None and not self.query_one("#releases", Table).has_focus:
            release = next((r for r in reversed(snapshot.releases) if r.version == version.number), None)
        if release is not None:
            panel.border_title = f"Release {release.number} · gates"
            panel.update(release_detail(release, snapshot, self.now, panel.content_size.width))
        elif version is not None:
            panel.border_title = f"Version {version.number}"
            panel.update(version_detail(version, snapshot))


def released(releases: Sequence[Release]) -> dict[int, int]:
    """The newest release of each version."""
    return {release.version: release.number for release in releases}


def in_force(release: Release, releases: Sequence[Release]) -> bool:
    """Whether no newer release of its task stands above it."""
    return release.number == max(other.number for other in releases if other.task == release.task)


def release_row(release: Release, snapshot: Snapshot) -> Row:
    """One release."""
    current = in_force(release, snapshot.releases)
    running = sum(d.release == release.number and d.state == "approved" for d in snapshot.devices)
    return Row(str(release.number), (
        strong(f"r{release.number}"),
        f"v{release.version}",
        release.task,
        toned("● in force", "$text-success") if current else muted("○ replaced"),
        f"{running} dev" if running else muted("-"),
        f"{release.ceiling_bp / 100:g} %",
        muted(stamp(release.published_at)),
    ))  # fmt: skip


def version_row(version: ModelVersion, numbers: dict[int, int], now: float) -> Row:
    """One version."""
    release = numbers.get(version.number)
    return Row(str(version.number), (
        strong(f"v{version.number}"),
        STAGE_MARKS[version.stage].content(),
        f"r{release}" if release else muted("-"),
        f"v{version.parent}" if version.parent else muted("-"),
        origin(version),
        muted(version.weights_sha256[:7]),
        muted(ago(version.created_at, now)),
    ))  # fmt: skip


def origin(version: ModelVersion) -> str:
    """Which round made it."""
    return f"run {version.run_id} · round {version.round_number}" if version.run_id else "untrained"


def release_detail(release: Release, snapshot: Snapshot, now: float, width: int) -> Content:
    """What is in a release, and every gate with what was expected and found."""
    files = [
        line(muted(f"{name:<9}"), f"{size(artifact.bytes):<8} ", muted(f"sha256 {artifact.sha256[:12]}"))
        for name, artifact in sorted(release.artifacts.items())
    ]
    return lines(
        gate_table(snapshot.gates.get(release.number, ()), width),
        "",
        line(muted("version  "), f"v{release.version}, trained on {release.trained_on}"),
        line(muted("signed   "), stamp(release.published_at), muted(f", {ago(release.published_at, now)}")),
        *files,
    )


def gate_table(gates: Sequence[GateVerdict], width: int) -> Content:
    """Verdict, name, found and expected, aligned."""
    if not gates:
        return muted("no verdicts are kept with this release")
    wide = [max(len(getattr(gate, field)) for gate in gates) for field in ("name", "found")]
    heading = muted(f"{'':2}{'gate':<{wide[0]}}  {'found':<{max(wide[1], 5)}}  expected")
    rows = [
        line(
            toned("✓ ", "$text-success") if gate.passed else toned("✕ ", "$text-error"),
            strong(f"{gate.name:<{wide[0]}}"), "  ", f"{gate.found:<{max(wide[1], 5)}}", "  ",
            muted(gate.expected.replace("at most ", "≤ ")),
        )
        for gate in gates
    ]  # fmt: skip
    return lines(*(row.truncate(width, ellipsis=True) for row in (heading, *rows)))


def version_detail(version: ModelVersion, snapshot: Snapshot) -> Content:
    """What a version is, and how it would become a release."""
    return lines(
        line(STAGE_MARKS[version.stage].content(), muted(f"  {origin(version)}")),
        line(muted("lineage  "), lineage(version, snapshot.versions)),
        line(muted("weights  "), f"sha256 {version.weights_sha256[:24]}…"),
        line(muted("made     "), stamp(version.created_at)),
        line(muted("task     "), f"{version.task} revision {version.revision}"),
        "",
        line(strong("p"), muted(" promotes it: exports, tests against the gates,")),
        muted("  and signs it only if every gate passes"),
    )


def lineage(version: ModelVersion, versions: Sequence[ModelVersion], depth: int = 4) -> str:
    """A version and its ancestors, newest first."""
    by_number = {each.number: each for each in versions}
    chain, at = [f"v{version.number}"], by_number.get(version.parent)
    while at is not None and len(chain) < depth:
        chain.append(f"v{at.number}")
        at = by_number.get(at.parent)
    return " ← ".join([*chain, "…"] if at else chain)
