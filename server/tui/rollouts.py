"""The Rollouts view: how far the newest release has come, who serves what and how it fares, and every step so far."""

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content

from server.tui import lifecycle_acts
from server.tui.commands import Act
from server.tui.faring import DEVICES, SERVING, STEPS, device_listing, serving_row, step_row
from server.tui.policy import hung
from server.tui.rolling import Rolling, rolling
from server.tui.stagebar import PHASES, stage_row
from server.tui.table import Table
from server.tui.taskview import TaskView
from server.tui.view import Panel, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import MINUTE, ago, line, lines, muted, strong, toned
from shared.tasks import Task

OFFERS: dict[str, tuple[tuple[str, ...], Callable[[Rolling], Act]]] = {
    "pause": (("rolling",), lifecycle_acts.pause),
    "resume": (("paused",), lifecycle_acts.resume),
    "advance": (("rolling", "paused", "waiting"), lifecycle_acts.advance),
    "halt": (("rolling", "paused", "waiting", "complete"), lifecycle_acts.halt),
}
"""In which phases each act can be done, and what it is."""

WHEN = 14
"""Cells for when a step was made, behind why."""

CONDITIONS = {
    "met": toned("✓ ", "$text-success"), "open": toned("◌ ", "$text-warning"), "against": toned("✕ ", "$text-error"),
}  # fmt: skip


class RolloutsView(TaskView):
    """Stages above, releases below them, then the history beside the devices."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "app.act('pause')", "Pause"),
        Binding("r", "app.act('resume')", "Resume"),
        Binding("a", "app.act('advance')", "Advance"),
        Binding("H", "app.act('halt')", "Halt"),
    ]
    found: Rolling | None = None
    seen: tuple[Snapshot, str, float] | None = None
    WORDS: ClassVar[dict[str, str]] = {
        "✓ serves": "made-up records come out as they were signed, fast enough",
        "△ slow": "slower than the task's latency gate",
        "≠ wrong": "other answers than were signed, or none that is a number",
        "✕ refused": "it did not load, is too large, or failed its self-test",
        "! crashed": "the process that tried it ended",
        "· not told": "the device runs it and said nothing of it, or its owner keeps that to themselves",
    }

    def panels(self) -> ComposeResult:
        """One panel, and three tables."""
        yield Panel("Stages", id="stages")
        yield framed(Table(SERVING, id="serving"), "Who serves what")
        with Horizontal(id="below"):
            yield framed(Table(STEPS, id="history"), "Steps")
            yield framed(Table(DEVICES, id="fares"), "Devices")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """The first release begins the first rollout."""
        if snapshot.releases:
            return None
        return advice(
            "No release is on its way, because there is none yet.",
            ("3", "shows the versions; p promotes the one under the cursor"),
            ("covey promote VERSION", "tests a version, signs it, and gives it to the first stage"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """The task on show, or else the first that has a release."""
        found = self.look(snapshot)
        if found is None:
            self._show_none(self.task_on_show(snapshot))
            return
        self._show_stages(found)
        self.query_one("#serving", Table).show([serving_row(each, found) for each in found.serving])
        self.query_one("#history", Table).show([step_row(step, self.now) for step in reversed(found.steps)])
        self.query_one("#fares", Table).list(device_listing(found, self.now))

    def look(self, snapshot: Snapshot) -> Rolling | None:
        """Where the rollout stands, found anew when the store moved, the task changed, or a minute went by."""
        task = self.task_on_show(snapshot)
        if task is None:
            return None
        name, minute, seen = task.name, self.now // MINUTE, self.seen
        if seen is None or seen[0] is not snapshot or seen[1:] != (name, minute):
            self.seen, self.found = (snapshot, name, minute), rolling(task, snapshot, self.now)
        return self.found

    def offer(self, action: str) -> Act | None:
        """What the rollout's phase allows."""
        found = self.found
        if found is None or action not in OFFERS:
            return None
        phases, act = OFFERS[action]
        return act(found) if found.phase in phases else None

    def _show_none(self, task: Task | None) -> None:
        panel = self.query_one("#stages", Panel)
        panel.border_title, panel.border_subtitle = task.name if task else "", ""
        panel.update(muted("No release of this task yet. 3 shows its versions; p promotes the one under the cursor."))
        for table in self.query(Table):
            table.show([])

    def _show_stages(self, found: Rolling) -> None:
        panel, release = self.query_one("#stages", Panel), found.release
        panel.border_title = f"{found.task.name} · release {release.number}, version {release.version}"
        panel.border_subtitle = PHASES[found.phase].content()
        panel.update(stages_text(found, panel.content_size.width, panel.content_size.height, self.now))


def stages_text(found: Rolling, width: int, height: int, now: float) -> Content:
    """The stages, why the last step was made, and what the next one waits for."""
    told = [*why(found, width, now), *waits(found), *beside(found)]
    return lines(stage_row(found.stages, width, now), *([""] if height > len(told) + 3 else []), *told)


def why(found: Rolling, width: int, now: float) -> list[Content]:
    """The newest step of this release, in words."""
    own = [step for step in found.steps if step.rollout.release == found.release.number]
    if not own:
        words = {
            "waiting": "signed, and given to nobody yet: `covey serve` makes its first step",
            "whole": "not staged: every device may run it at once",
        }
        return [line(muted("why    "), words.get(found.phase, ""))]
    said, when = hung("why    ", own[-1].why, width - WHEN, tone="bold"), muted(f" · {ago(own[-1].at, now)}")
    return [*said[:-1], line(said[-1], when)]


def waits(found: Rolling) -> list[Content]:
    """Each condition of the next stage; a halted or complete rollout waits for nothing."""
    if found.phase not in {"rolling", "paused"} or not found.conditions:
        return []
    parts = [line(CONDITIONS[each.state], each.words) for each in found.conditions]
    head = "next   " if found.following else "end    "
    return [line(muted(head if index == 0 else "       "), part) for index, part in enumerate(parts)]


def beside(found: Rolling) -> list[Content]:
    """Who tries the release beside the one that answers, and how often both agree, once that was counted."""
    agreed = found.agreement
    who = f"the next run it beside release {found.release.fallback}" if found.shadow_bp > found.share_bp else ""
    if agreed is not None:
        same = line("a share of ", strong(str(agreed.share)), " gets the same answer", muted(f", run {agreed.run_id}"))
        return [line(muted("shadow "), f"{who} · " if who else "", same)]
    return [line(muted("shadow "), f"{who} · covey survey {found.task.name} --shadow")] if who else []
