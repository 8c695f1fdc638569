"""What the header and its banner say of a snapshot; pure functions from values to text."""

from textual.content import Content

from server.tui.figures import ENDED, current_run
from server.tui.fitting import Parts
from server.tui.runwords import least_words, phase_line, round_words, run_mark
from server.tui.watcher import Snapshot
from server.tui.words import age, ago, line, muted, plain, toned

QUIET_SECONDS = 60.0
"""A run under way from which nothing was heard for so long deserves a look at `covey serve`."""


def parts_of(snapshot: Snapshot, now: float, trouble: str) -> Parts:
    """What the header says of a snapshot; of a store that cannot be read, what it said last is greyed."""
    runs, least = run_words(snapshot)
    return Parts(
        federation=snapshot.federation,
        runs=tuple(muted(each.plain) for each in runs) if trouble else runs,
        least=tuple(muted(each.plain) for each in least) if trouble else least,
        cost=cost(snapshot),
        ages=(news(snapshot, now, trouble), news(snapshot, now, trouble, short=True)),
        service=service(snapshot, trouble),
    )


def cost(snapshot: Snapshot) -> Content:
    """The most that this federation's plans have cost a device, of the newest run's task; nothing before the first."""
    task = snapshot.task(snapshot.runs[-1].task if snapshot.runs else None)
    if task is None or not snapshot.spending(task):
        return Content("")
    most, ceiling = snapshot.dearest.get(task.name, 0.0), task.privacy.epsilon
    tone = "$text-error" if most >= ceiling else "$text-warning" if most >= 0.75 * ceiling else "$foreground 60%"
    return toned(f"ε ≤ {most:.2f} of {plain(ceiling)}", tone)


def news(snapshot: Snapshot, now: float, trouble: str, *, short: bool = False) -> Content:
    """How old the newest figure is."""
    if trouble:
        return toned(f"✕ {age(max(0.0, now - (snapshot.newest or now)))} old", "$text-error")
    if snapshot.newest is None:
        return muted("" if short else "no news yet")
    if quiet(snapshot, now):
        return toned(f"▲ {'' if short else 'no news for '}{age(now - snapshot.newest)}", "$text-warning")
    return muted(f"{'' if short else 'news '}{ago(snapshot.newest, now)}")


def quiet(snapshot: Snapshot, now: float) -> bool:
    """Whether a run is under way from which nothing was heard for long."""
    run = current_run(snapshot.runs)
    return bool(run and run.state not in ENDED and snapshot.newest and now - snapshot.newest > QUIET_SECONDS)


def service(snapshot: Snapshot, trouble: str) -> Content:
    """Whether a coordinator is there to carry anything out; without one, a run that waits is in trouble."""
    if trouble:
        return toned("✕ store unreadable", "$text-error")
    if snapshot.serving:
        return toned("● serving", "$text-success")
    return toned("▲ not serving", "$text-warning") if waits(snapshot) else muted("○ not serving")


def waits(snapshot: Snapshot) -> bool:
    """Whether a run needs a coordinator."""
    run = current_run(snapshot.runs)
    return run is not None and run.state not in ENDED


def run_words(snapshot: Snapshot) -> tuple[tuple[Content, ...], tuple[Content, ...]]:
    """The run under way, or that there is none: the longest words first; then the least that tells of it."""
    run = current_run(snapshot.runs)
    if run is None:
        return (muted("no run yet"),), ()
    number, progress = muted(f"run {run.id} "), snapshot.progress.get(run.id)
    mark = run_mark(run, serving=snapshot.serving).content()
    if run.state in ENDED:
        return (line(number, mark), mark), ()
    phase = phase_line(run, progress, serving=snapshot.serving)
    short = phase_line(run, progress, short=True, serving=snapshot.serving)
    if progress is None or run.state == "queued" or not snapshot.serving:
        return (line(number, phase), short), (mark,)
    return (line(number, phase), short, *round_words(run, progress)), least_words(run, progress)


def warning(snapshot: Snapshot | None, trouble: str, *, left: bool) -> Content | None:
    """What is wrong with the connection; `left` says that a coordinator was seen before and is gone."""
    if trouble:
        old = "What you see is what it said last. " if snapshot else ""
        return toned(f"✕ The store cannot be read: {trouble}. {old}Trying again.", "$text-error")
    if snapshot is None or snapshot.serving or not left:
        return None
    run = current_run(snapshot.runs)
    stands = f"run {run.id} stands still" if run and run.state not in ENDED else "nothing is carried out"
    return toned(f"▲ The coordinator is gone, {stands}; `covey serve` takes up where it was.", "$text-warning")
