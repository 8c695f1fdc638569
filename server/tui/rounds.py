"""The Rounds view: every run, where the current one is, and what came of each round."""

from textual.app import ComposeResult
from textual.content import Content

from server.records import CampaignRequest, Progress, Run
from server.tui.charts import bar, columns, spark
from server.tui.figures import ENDED, counted, current_run
from server.tui.table import Column, Row, Table
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import RUN_MARKS, ago, lasting, line, lines, muted, size, stamp, strong, tally, toned
from shared import wire
from shared.errors import WireError
from shared.rounds import RoundResult

RUNS = (
    Column("Run", 3, right=True),
    Column("State", 10),
    Column("Task", 10, grow=True),
    Column("Rounds", 6, right=True),
    Column("Started", 16, rank=1),
)
ROUNDS = (
    Column("Round", 5, right=True),
    Column("Outcome", 11),
    Column("Returned", 8, right=True),
    Column("Refused", 10, grow=True),
    Column("Failed", 10, rank=1, grow=True),
    Column("Took", 7, right=True, rank=1),
    Column("Sent", 7, right=True, rank=3),
    Column("Version", 7, right=True),
)

MARGIN = 6
"""Cells left of a chart, for its scale."""


class RoundsView(View):
    """Runs, and the rounds of the selected one. A new run is selected as it appears."""

    newest = 0

    def panels(self) -> ComposeResult:
        """Runs; the selected run's state; its rounds as columns and as a table."""
        yield framed(Table(RUNS, id="runs"), "Runs")
        yield Panel("Run", id="run")
        yield framed(Table(ROUNDS, id="rounds"), "Rounds")
        yield Panel("By round", id="chart")

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
        rounds = snapshot.rounds[run.id]
        made = {v.round_number: v.number for v in snapshot.versions if v.run_id == run.id}
        panel, chart = self.query_one("#run", Panel), self.query_one("#chart", Panel)
        panel.border_title = f"Run {run.id} · {run.kind} · {run.task}"
        panel.update(
            run_detail(
                run, snapshot.progress.get(run.id), rounds, self.now, panel.content_size.width, plot=not chart.display
            )
        )
        chart.update(round_chart(rounds, chart.content_size.width, chart.content_size.height))
        self.query_one("#rounds", Table).show([round_row(result, made) for result in reversed(rounds)])


def request_of(run: Run) -> CampaignRequest | None:
    """What the operator asked for, if the run is a campaign."""
    try:
        return wire.from_json(CampaignRequest, run.request.encode()) if run.kind == "train" else None
    except WireError:
        return None


def total_rounds(run: Run, progress: Progress | None) -> int:
    """How many rounds the run is to have."""
    request = request_of(run)
    return request.training.rounds if request else progress.rounds if progress else 0


def run_row(run: Run, snapshot: Snapshot) -> Row:
    """One run."""
    total = total_rounds(run, snapshot.progress.get(run.id))
    done = len(snapshot.rounds[run.id])
    return Row(str(run.id), (
        strong(str(run.id)),
        RUN_MARKS[run.state].content(),
        run.task,
        f"{done}/{total}" if run.kind == "train" else muted("survey"),
        muted(stamp(run.started_at or run.created_at)),
    ))  # fmt: skip


def round_row(result: RoundResult, made: dict[int, int]) -> Row:
    """One round."""
    plan = result.plan
    committed = result.outcome == "committed"
    version = made.get(plan.number)
    return Row(str(plan.number), (
        strong(str(plan.number)),
        toned("✓ committed", "$text-success") if committed else toned("✕ abandoned", "$text-error"),
        f"{len(result.returned)}/{len(result.cohort)}",
        toned(tally(counted(result.refusals)), "$text-warning"),
        toned(tally(counted(result.failures)), "$text-error"),
        lasting(result.finished_at - result.started_at),
        size(result.bytes_up),
        f"v{version}" if version else muted("-"),
    ))  # fmt: skip


def phase_line(run: Run, progress: Progress | None, *, short: bool = False) -> Content:
    """Where a run is, in one line; `short` for where there is little room."""
    mark = RUN_MARKS[run.state].content()
    if run.state == "queued":
        return line(mark, muted(" · waits for the coordinator; is `covey serve` running?"))
    if run.state in ENDED or progress is None:
        return line(mark, muted(f" · {run.detail}") if run.detail else "")
    return line(mark, *progress_words(progress, short=short), gap=" · ")


def progress_words(progress: Progress, *, short: bool) -> list[Content]:
    """The running round, as the parts of a sentence."""
    of = "/" if short else " of "
    words = [strong(f"round {progress.round_number}{of}{progress.rounds}")]
    if progress.cohort:
        words.append(Content(f"{progress.returned}{of}{progress.cohort} {'back' if short else 'returned'}"))
    if progress.refused:
        words.append(toned(f"{progress.refused} refused", "$text-warning"))
    return [*words, muted(progress.phase)] if progress.phase and not short else words


def run_detail(
    run: Run, progress: Progress | None, rounds: tuple[RoundResult, ...], now: float, width: int, *, plot: bool
) -> Content:
    """The phase, how far it is, and what was asked for."""
    total, done = total_rounds(run, progress), len(rounds)
    share = done / total if total else float(run.state == "finished")
    tone = {"running": "$success", "failed": "$error", "stopped": "$foreground 60%"}.get(run.state, "$primary")
    label = f" {share:4.0%}  {remaining(run, rounds, total, now)}"
    track = bar(share, max(8, width - len(label) - 1), tone)
    return lines(
        phase_line(run, progress), line(track, strong(label[:6]), muted(label[6:])), terms(run, rounds if plot else ())
    )


def remaining(run: Run, rounds: tuple[RoundResult, ...], total: int, now: float) -> str:
    """How long it took, or by the pace so far may still take."""
    if run.finished_at is not None and run.started_at is not None:
        return f"took {lasting(run.finished_at - run.started_at)}"
    if run.state in ENDED:
        return f"ended {ago(run.finished_at, now)}"
    if not rounds or total <= len(rounds):
        return f"asked {ago(run.created_at, now)}"
    pace = (rounds[-1].finished_at - rounds[0].started_at) / len(rounds)
    return f"about {lasting(pace * (total - len(rounds)))} left"


def terms(run: Run, plotted: tuple[RoundResult, ...]) -> Content:
    """What the campaign was asked to be, and its pace where no chart shows it."""
    request = request_of(run)
    if request is None:
        return muted("a survey counts once and makes no version")
    return lines(
        line(muted("rows    "), str(request.window)),
        line(
            muted("asks    "),
            f"{request.cohort} devices a round, {request.quorum} must answer within {lasting(request.deadline_seconds)}",
        ),
        line(muted("from    "), f"version {request.base_version}", pace_line(plotted)),
    )


def pace_line(rounds: tuple[RoundResult, ...]) -> Content:
    """Seconds a round, as one line of columns."""
    if not rounds:
        return Content("")
    return line(muted("    seconds a round  "), spark([r.finished_at - r.started_at for r in rounds], 30))


def round_chart(rounds: tuple[RoundResult, ...], width: int, height: int) -> Content:
    """Replies and seconds, one column a round: side by side where there is room, else one above the other."""
    if not rounds or width < MARGIN + 2:
        return muted("the first round has not ended yet")
    beside = width >= 60
    wide, tall = (width // 2 - 1, height) if beside else (width, height // 2)
    shown = rounds[-(wide - MARGIN) :]
    replies = [float(len(result.returned)) for result in shown]
    seconds = [result.finished_at - result.started_at for result in shown]
    asked = float(max(len(result.cohort) for result in shown))
    left = axis("replies, of those asked", replies, asked, tall, wide, "$success")
    right = axis("seconds", seconds, max(seconds), tall, wide, "$primary")
    if not beside:
        return lines(*left, *right)
    return lines(*(line(a.pad_right(wide + 2 - a.cell_length), b) for a, b in zip(left, right, strict=True)))


def axis(title: str, values: list[float], top: float, height: int, width: int, tone: str) -> list[Content]:
    """Columns with their scale on the left and their title above."""
    each = (width - MARGIN) // len(values)
    cell, gap = (2, 1) if each >= 3 else (1, 1) if each == 2 else (1, 0)
    body = columns(values, height=max(1, height - 1), top=top, tone=tone, cell=cell, gap=gap)
    marks = [f"{top:4.3g} ┤", *["     │"] * max(0, len(body) - 2), "   0 ┤"][: len(body)]
    return [muted(f"      {title}"), *(line(muted(mark), row) for mark, row in zip(marks, body, strict=True))]
