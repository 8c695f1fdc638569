"""Runs and rounds as rows, and one round in time on a page of its own."""

from textual.content import Content

from server.records import Run
from server.tui.charts import joined
from server.tui.figures import part_in
from server.tui.phases import phase_track, sentence, straggler_bars, stragglers
from server.tui.runwords import committed, run_mark, total_rounds
from server.tui.table import Column, Row
from server.tui.watcher import Snapshot
from server.tui.words import PARTS, lasting, line, lines, muted, stamp, strong, toned, within
from shared.rounds import RoundResult

RUNS = (
    Column("Run", 3, right=True),
    Column("State", 10),
    Column("Task", 10, grow=True),
    Column("Rounds", 8, right=True),
    Column("Started", 16, rank=1),
)
TOOK = 10
"""Cells for how long a round took."""
ROUNDS = (
    Column("Round", 5, right=True),
    Column("Outcome", 11),
    Column("Returned", 8, right=True),
    Column("Each", 8, rank=3),
    Column("Refused, failed", 15, grow=True, name="refused-and-failed"),
    Column("Took", TOOK, right=True, rank=1),
    Column("Version", 7, right=True),
)


def round_page(result: RoundResult, width: int) -> Content:
    """One round in time: what came of it, its phases, and each device's answer, the latest first."""
    late = stragglers(result)
    waited = (
        line(muted("waited for  "), ", ".join(late[:6])) if late else muted("no device was much later than the others")
    )
    plan = result.plan
    return lines(
        sentence(result),
        line(
            muted(
                f"{stamp(result.started_at)} UTC, took {lasting(result.finished_at - result.started_at)}, {plan.mode} noise, version {plan.base_version} before"
            )
        ),
        "",
        strong("Phases"),
        phase_track(result, width),
        "",
        strong("Answers"),
        waited,
        straggler_bars(result, width, len(result.cohort)),
    )


def run_row(run: Run, snapshot: Snapshot) -> Row:
    """One run."""
    total = total_rounds(run, snapshot.progress.get(run.id))
    done = committed(snapshot.rounds[run.id])
    return Row(str(run.id), (
        strong(str(run.id)),
        run_mark(run, serving=snapshot.serving).content(),
        run.task,
        f"{done}/{total}" if run.kind == "train" else muted(run.kind),
        muted(stamp(run.started_at or run.created_at)),
    ))  # fmt: skip


def round_row(result: RoundResult, made: dict[int, int]) -> Row:
    """One round."""
    plan = result.plan
    counts = result.outcome == "committed"
    version = made.get(plan.number)
    return Row(str(plan.number), (
        strong(str(plan.number)),
        toned("✓ committed", "$text-success") if counts else toned("✕ abandoned", "$text-error"),
        f"{len(result.returned)}/{len(result.cohort)}",
        each_answer(result),
        line(*blamed(result), gap="; "),
        within(result.finished_at - result.started_at, TOOK),
        f"v{version}" if version else muted("-"),
    ))  # fmt: skip


def blamed(result: RoundResult) -> list[Content]:
    """Each reason with the devices that gave it; refusals first."""
    return [
        toned(f"{reason}: {', '.join(sorted(name for name in found if found[name] == reason))}", tone)
        for found, tone in ((result.refusals, "$text-warning"), (result.failures, "$text-error"))
        for reason in sorted(set(found.values()))
    ]


def each_answer(result: RoundResult) -> Content:
    """One mark for each device asked, in the order of their names."""
    return joined(PARTS[part_in(result, name)][:2] for name in result.cohort)
