"""A run in words: where it is, how far, how long it may still take, and what was asked for."""

from textual.content import Content

from server.modewords import HOLDS, NOISE, TRUST_OF
from server.records import CampaignRequest, Progress, Run
from server.tui.charts import bar, spark
from server.tui.figures import ENDED
from server.tui.words import RUN_MARKS, Mark, ago, lasting, line, lines, muted, plural, strong, tally, toned
from shared import wire
from shared.errors import WireError
from shared.rounds import RoundResult

WAITS = Mark("◌", "waits", "$text-warning")
"""A run under way while no coordinator serves."""
ALL_TERMS = 8
"""Lines of a run's panel that shows all of its terms."""


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


def run_mark(run: Run, *, serving: bool) -> Mark:
    """What state a run is in; one under way waits while no coordinator serves."""
    return WAITS if run.state == "running" and not serving else RUN_MARKS[run.state]


def phase_line(run: Run, progress: Progress | None, *, short: bool = False, serving: bool = True) -> Content:
    """Where a run is, in one line; `short` for where there is little room."""
    mark = run_mark(run, serving=serving).content()
    if run.state == "queued":
        return mark if short else line(mark, muted(" · waits for the coordinator; is `covey serve` running?"))
    if run.state not in ENDED and not serving:
        return standing_line(run, progress, short=short)
    if run.state in ENDED or progress is None:
        return line(mark, muted(f" · {run.detail}") if run.detail else "")
    lead = toned(RUN_MARKS["running"].glyph, RUN_MARKS["running"].tone) if short and run.state == "running" else mark
    words = line(*progress_words(progress, short=short), gap=" · ")
    return line(lead, words, gap=" " if lead is not mark else " · ")


def standing_line(run: Run, progress: Progress | None, *, short: bool) -> Content:
    """A run under way that nobody carries on: what was under way in its round is lost, so only its number is told."""
    mark = run_mark(run, serving=False)
    waits = " for the coordinator" if mark is WAITS else " · waits for the coordinator"
    at = f" · round {progress.round_number} of {progress.rounds}" if progress and not short else ""
    return line(mark.content(), toned(waits, WAITS.tone), muted(at))


def round_words(run: Run, progress: Progress) -> tuple[Content, ...]:
    """Which round a run is at, and who refused."""
    round_of = strong(f"round {progress.round_number}/{progress.rounds}")
    return (line(_glyph(run), line(round_of, *_refused(progress), gap=" · ")),)


def least_words(run: Run, progress: Progress) -> tuple[Content, ...]:
    """The least that tells of a run: its round as two numbers; refusals as long as there is room."""
    round_of = strong(f"{progress.round_number}/{progress.rounds}")
    refused = [line(_glyph(run), line(round_of, *_refused(progress), gap=" · "))] if progress.refused else []
    return (*refused, line(_glyph(run), round_of))


def _glyph(run: Run) -> Content:
    mark = RUN_MARKS[run.state]
    return toned(f"{mark.glyph} ", mark.tone)


def _refused(progress: Progress, *, why: str = "") -> list[Content]:
    return [toned(f"{progress.refused} refused{why}", "$text-warning")] if progress.refused else []


def phase_beside(run: Run, progress: Progress | None, width: int, *, serving: bool) -> str:
    """What a running round is at, where its line has no room for that."""
    if progress is None or run.state != "running" or not serving or phase_line(run, progress).cell_length <= width:
        return ""
    return progress.phase


def noise_beside(run: Run, rounds: tuple[RoundResult, ...], height: int) -> str:
    """Who adds the noise and against whom it holds, where the terms have no room and it is not each device's own."""
    request = request_of(run)
    if request is None or request.mode == "local" or height >= ALL_TERMS:
        return ""
    return f"{NOISE[request.mode]}{sum_bits(rounds)} · {HOLDS[TRUST_OF[request.mode]]}"


def kind_of(run: Run) -> str:
    """What a run is: `survey`, `train`, or the mode of a campaign in which not each device's noise is its own."""
    request = request_of(run)
    return request.mode if request and request.mode != "local" else run.kind


def progress_words(progress: Progress, *, short: bool) -> list[Content]:
    """The running round, as the parts of a sentence."""
    of = "/" if short else " of "
    words = [strong(f"round {progress.round_number}{of}{progress.rounds}")]
    if progress.cohort:
        words.append(Content(f"{progress.returned}{of}{progress.cohort} {'back' if short else 'returned'}"))
    words += _refused(progress, why=f": {tally(progress.reasons)}" if progress.reasons and not short else "")
    return [*words, muted(progress.phase)] if progress.phase and not short else words


def run_detail(
    run: Run, progress: Progress | None, rounds: tuple[RoundResult, ...], now: float, width: int, *, plot: bool,
    serving: bool,
) -> Content:  # fmt: skip
    """The phase, how far it is, and what was asked for."""
    total, done = total_rounds(run, progress), committed(rounds)
    share = done / total if total and run.kind == "train" else float(run.state == "finished")
    tone = {"running": "$success", "failed": "$error", "stopped": "$foreground 60%"}.get(run.state, "$primary")
    stands = not serving and run.state in {"running", "stopping"}
    label = f" {share:4.0%}  {'stands still' if stands else remaining(run, rounds, total, now)}"
    track = bar(share, max(8, width - len(label) - 1), "$warning" if stands else tone)
    phase = phase_line(run, progress, serving=serving)
    return lines(
        phase if phase.cell_length <= width else phase_line(run, progress, short=True, serving=serving),
        line(track, strong(label[:6]), muted(label[6:])),
        terms(run, rounds, plot=plot),
    )


def remaining(run: Run, rounds: tuple[RoundResult, ...], total: int, now: float) -> str:
    """How long it took, or by the pace so far may still take."""
    if run.finished_at is not None and run.started_at is not None:
        return f"took {lasting(run.finished_at - run.started_at)}"
    if run.state in ENDED:
        return f"ended {ago(run.finished_at, now)}"
    done = committed(rounds)
    if not done or total <= done:
        return f"asked {ago(run.created_at, now)}"
    pace = (rounds[-1].finished_at - rounds[0].started_at) / done
    return f"about {lasting(pace * (total - done))} left"


def committed(rounds: tuple[RoundResult, ...]) -> int:
    """How many rounds count."""
    return sum(result.outcome == "committed" for result in rounds)


def terms(run: Run, rounds: tuple[RoundResult, ...], *, plot: bool) -> Content:
    """What the campaign was asked to be, and its pace where no chart shows it."""
    request = request_of(run)
    if request is None:
        return muted(f"{'an evaluation' if run.kind == 'evaluate' else 'a survey'} counts once and makes no version")
    return lines(
        line(muted("rows    "), str(request.window)),
        line(muted("asks    "), f"{plural(request.cohort, 'device')} a round, {request.quorum} must answer"),
        line(
            muted("waits   "), lasting(request.deadline_seconds), muted(" at most"), pace_line(rounds if plot else ())
        ),
        line(muted("from    "), f"version {request.base_version}"),
        line(muted("noise   "), NOISE[request.mode], muted(sum_bits(rounds))),
        line(muted("holds   "), HOLDS[TRUST_OF[request.mode]]),
    )


def sum_bits(rounds: tuple[RoundResult, ...]) -> str:
    """How many bits a value of the newest round's sum takes, where there is one."""
    secure = rounds[-1].plan.secure if rounds else None
    return f", {secure.noise.encoding.bits} bits" if secure else ""


def pace_line(rounds: tuple[RoundResult, ...]) -> Content:
    """Seconds a round, as one line of columns."""
    if not rounds:
        return Content("")
    return line(muted("    seconds a round  "), spark([r.finished_at - r.started_at for r in rounds], 30))
