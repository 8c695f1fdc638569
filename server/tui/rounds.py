"""The Rounds view: every run, where the current one is, and what came of each round."""

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size

from server.estimates import Estimate
from server.records import Run
from server.tui.figures import current_run
from server.tui.learning import learning_chart
from server.tui.replay import Scrubber, Tape
from server.tui.roundchart import round_chart
from server.tui.roundrows import ROUNDS, RUNS, round_page, round_row, run_row
from server.tui.runwords import (
    kind_of,
    noise_beside,
    phase_beside,
    run_detail,
    total_rounds,
)
from server.tui.table import Table
from server.tui.versionstate import Qualities, evaluation_of
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import muted
from shared.rounds import RoundResult

TICK_SECONDS = 0.1
"""How often a tape that plays moves."""


class RoundsView(View):
    """Runs, and the rounds of the selected one. A new run is selected as it appears.

    With a tape, the selected run is shown as it was at the tape's moment.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "replay", "Replay"),
        Binding("r", "end_replay", "End the replay"),
        Binding("c", "chart", "Other chart", show=False),
        Binding("l", "log", "Log"),
    ]
    WORDS: ClassVar[dict[str, str]] = {
        "phase": "what a round is at; `enter` on a round shows all of its phases and who was late",
        "replay": "the campaign again, as it was recorded: space plays, arrows go round by round, + and - set the pace",
    }
    newest = 0
    tape: Tape | None = None
    learning = False

    def panels(self) -> ComposeResult:
        """Runs; the selected run's state; its rounds as columns and as a table; the scrubber of a replay."""
        with Vertical(id="left"):
            yield framed(Table(RUNS, id="runs"), "Runs")
            yield Panel("Run", id="run")
        with Vertical(id="right"):
            yield Scrubber(id="scrubber")
            yield Panel("Answers by round", id="chart")
            yield framed(Table(ROUNDS, id="rounds"), "Rounds")

    def on_mount(self) -> None:
        """A tape runs ten times a second while it plays."""
        self._qualities = Qualities()
        self.set_interval(TICK_SECONDS, self._tick)

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Publish a task, or start the first run."""
        if snapshot.runs:
            return None
        if not snapshot.tasks:
            return advice(
                "There is no task yet, so there is nothing to learn.",
                ("covey task tasks/flights.toml", "signs and publishes what the fleet is to learn"),
            )
        return advice(
            "No rounds have run yet.",
            ("s", "starts a campaign; the dialog says first what it costs each device"),
            (f"covey start {snapshot.tasks[0].name}", "does the same from a shell"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """All runs, newest first, and the selected one."""
        table = self.query_one("#runs", Table)
        table.show([run_row(run, snapshot) for run in reversed(snapshot.runs)])
        if snapshot.runs[-1].id != self.newest:
            self.newest = snapshot.runs[-1].id
            table.select(str((current_run(snapshot.runs) or snapshot.runs[-1]).id))
        if run := self.selected():
            self._show_run(run, snapshot)

    def selected(self) -> Run | None:
        """The run under the cursor."""
        key = self.query_one("#runs", Table).key
        return next((run for run in self.snapshot.runs if str(run.id) == key), None) if self.snapshot else None

    def _show_run(self, run: Run, snapshot: Snapshot) -> None:
        rounds, progress, serving = snapshot.rounds[run.id], snapshot.progress.get(run.id), snapshot.serving
        if self.tape and self.tape.rounds[0].plan.run_id != run.id:
            self.tape = None
        if self.tape:
            rounds, progress = self.tape.moment.rounds, self.tape.moment.progress
            run, serving = as_it_was(run, self.tape), serving or self.tape.at < self.tape.length
            self.query_one(Scrubber).show(self.tape)
        self.set_class(self.tape is not None, "-replaying")
        made = {v.round_number: v.number for v in snapshot.versions if v.run_id == run.id}
        panel = self.query_one("#run", Panel)
        width, chart = panel.content_size.width, self.query_one("#chart", Panel)
        panel.border_title = f"{'Replay of run' if self.tape else 'Run'} {run.id} · {kind_of(run)} · {run.task}"
        panel.border_subtitle = phase_beside(run, progress, width, serving=serving) or noise_beside(
            run, rounds, panel.content_size.height
        )
        panel.update(run_detail(run, progress, rounds, self.now, width, plot=not chart.display, serving=serving))
        chart.border_title = "ε and AUC by round" if self.learning else "Answers by round"
        chart.border_subtitle = "c: answers" if self.learning else "c: ε and AUC"
        chart.update(self._chart(run, rounds, total_rounds(run, progress), chart.content_size, snapshot))
        self.query_one("#rounds", Table).show([round_row(result, made) for result in reversed(rounds)])

    def _chart(self, run: Run, rounds: tuple[RoundResult, ...], total: int, size: Size, snapshot: Snapshot) -> Content:
        task = snapshot.task(run.task)
        if run.kind != "train" and not rounds:
            return muted("this run asks once, so it has no rounds")
        if not self.learning or task is None:
            return round_chart(rounds, total, size.width, size.height)
        return learning_chart(
            rounds, total, self._aucs(run, snapshot), size.width, size.height, delta=task.privacy.delta
        )

    def _aucs(self, run: Run, snapshot: Snapshot) -> dict[int, Estimate]:
        """The AUC of each round's version, by the round's number, as far as versions were evaluated."""
        task = snapshot.task(run.task)
        made = [version for version in snapshot.versions if version.run_id == run.id]
        found = {each.round_number: self._qualities.of(evaluation_of(each, snapshot), task) for each in made}
        return {number: quality.auc for number, quality in found.items() if quality is not None}

    def page(self, table: Table, key: str, width: int) -> tuple[str, Content] | None:
        """One round in time, or all that was asked of a run."""
        run, snapshot = self.selected(), self.snapshot
        if run is None or snapshot is None:
            return None
        if table.id == "runs":
            rounds = snapshot.rounds[run.id]
            progress, serving = snapshot.progress.get(run.id), snapshot.serving
            return f"Run {run.id}", run_detail(run, progress, rounds, self.now, width, plot=True, serving=serving)
        result = next((each for each in snapshot.rounds[run.id] if str(each.plan.number) == key), None)
        return (f"Round {key} of run {run.id}", round_page(result, width)) if result else None

    # -- replay -----------------------------------------------------------------------------------

    def action_chart(self) -> None:
        """Show the other chart."""
        self.learning = not self.learning
        self.refill()

    def action_log(self) -> None:
        """Go to what the selected run wrote."""
        if run := self.selected():
            self.post_message(self.Go("Logs", "files", f"run-{run.id}.log"))

    def action_replay(self) -> None:
        """Play the selected run again from its start."""
        run = self.selected()
        if run is None or self.snapshot is None:
            return
        rounds = self.snapshot.rounds[run.id]
        self.tape = Tape(rounds=rounds, total=total_rounds(run, None) or len(rounds), playing=True)
        self.refill()
        self.query_one(Scrubber).focus()

    def on_scrubber_moved(self, message: Scrubber.Moved) -> None:
        """A key moved the tape."""
        if self.tape:
            self.tape = message.move(self.tape)
            self.refill()

    def on_scrubber_left(self) -> None:
        """Back to what is now."""
        self.action_end_replay()

    def action_end_replay(self) -> None:
        """Back to what is now, with the keyboard in the first table."""
        self.tape = None
        self.remove_class("-replaying")
        self.refill()
        self.focus_first()

    def focus_first(self) -> None:
        """A replay that was left for another view goes on having the keyboard."""
        if self.tape:
            self.screen.set_focus(self.query_one(Scrubber))
        else:
            super().focus_first()

    def can_go_back(self) -> bool:
        """A replay is something to leave."""
        return self.tape is not None or super().can_go_back()

    def action_back(self) -> None:
        """Leave what lies over a replay, then the replay, then what every view leaves."""
        if self.tape and not super().can_go_back():
            self.action_end_replay()
        else:
            super().action_back()

    def _tick(self) -> None:
        if self.tape and self.tape.playing and self.display:
            self.tape = self.tape.ticked(TICK_SECONDS)
            self.refill()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a replay where rounds were recorded, and its end while it lasts."""
        if action == "end_replay":
            return self.tape is not None
        if action == "replay":
            if self.tape:
                return False
            run = self.selected() if self.is_mounted and self.snapshot and not self.has_class("-empty") else None
            return bool(run and self.snapshot and self.snapshot.rounds[run.id])
        return super().check_action(action, parameters)


def as_it_was(run: Run, tape: Tape) -> Run:
    """The run while its tape had not come to the end."""
    ended = tape.at >= tape.length
    return run if ended else replace(run, state="running", finished_at=None, detail="")
