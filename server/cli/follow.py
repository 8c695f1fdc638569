"""Watching a run, or a rollout, until it ends; leaving never stops it."""

import sys
import time
from collections.abc import Callable

import typer

from server.config import Federation
from server.records import ACTIVE, Progress, Run
from server.store import Store
from server.underway import under_way, where
from shared.errors import CoveyError
from shared.lock import holder
from shared.tasks import Task

LOOK_SECONDS = 0.2
SETTLED = ("complete", "halted", "unstaged")


def follow(federation: Federation, store: Store, run_id: int) -> None:
    """Say where the run is whenever that changes; raise `CoveyError` if it fails."""
    if holder(federation.lock) is None:
        typer.echo(f"Run {run_id} waits for the coordinator; start it with `covey serve`.")
    try:
        _watch(lambda: _line(store.progress(run_id)) if store.run(run_id).state in ACTIVE else None)
    except KeyboardInterrupt:
        typer.echo(f"\nRun {run_id} goes on; `covey stop {run_id}` stops it.")
        return
    run = store.run(run_id)
    if run.state == "failed":
        raise CoveyError(f"run {run_id} failed: {run.detail or 'the log of the run says why'}")
    typer.echo(f"Run {run_id} is {run.state}{_length(run)}.")


def follow_rollout(federation: Federation, store: Store, task: Task) -> None:
    """Say where the newest release is whenever that changes, until all devices may have it; raise `CoveyError` if it is halted."""
    if holder(federation.lock) is None:
        typer.echo("The rollout waits for the coordinator; start it with `covey serve`.")
    try:
        _watch(lambda: None if (seen := under_way(store, task)).state in SETTLED else where(seen))
    except KeyboardInterrupt:
        typer.echo("\nThe rollout goes on by itself; `covey rollout halt` ends it.")
        return
    found = under_way(store, task)
    if found.state == "halted":
        raise CoveyError(f"release {found.release} of {found.task} is halted: {found.steps[-1].why}")
    what = "went to everyone at once" if found.state == "unstaged" else f"is complete: {found.steps[-1].why}"
    typer.echo(f"Release {found.release} of {found.task} {what}.")


def _watch(look: Callable[[], str | None]) -> None:
    """Show a line whenever it is another, until there is none."""
    said = ""
    while (line := look()) is not None:
        if line != said:
            said = line
            _show(line)
        time.sleep(LOOK_SECONDS)
    if said and sys.stdout.isatty():
        typer.echo()


def _show(line: str) -> None:
    """One line that rewrites itself on a terminal, a line each elsewhere."""
    typer.echo(f"\r\033[K{line}" if sys.stdout.isatty() else line, nl=not sys.stdout.isatty())


def _line(progress: Progress | None) -> str:
    if progress is None:
        return "waiting to start"
    refused = f", {progress.refused} refused" if progress.refused else ""
    answers = f": {progress.returned} of {progress.cohort} answered{refused}" if progress.cohort else ""
    return f"round {progress.round_number} of {progress.rounds}, {progress.phase}{answers}"


def _length(run: Run) -> str:
    if run.started_at is None or run.finished_at is None:
        return ""
    return f" after {run.finished_at - run.started_at:.1f} s"
