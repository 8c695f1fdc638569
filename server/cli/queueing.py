"""What commands share that queue a run: how they ask for its terms, and how they watch it."""

import sys
from typing import Annotated

import typer

from server.cli.base import command_line, opened, print_json
from server.records import Run, RunKind
from server.store import Store

Deadline = Annotated[float, typer.Option(metavar="SECONDS", help="How long devices have to answer.", min=1)]
Follow = Annotated[
    bool | None, typer.Option("--follow/--detach", help="Watch it to its end.", show_default="on a terminal")
]


def queue(
    context: typer.Context, store: Store, task: str, kind: RunKind, request: object, *,
    what: str, follow: bool | None, as_json: bool,
) -> Run:  # fmt: skip
    """Queue a run, say so, and watch it if wanted; returns it as it stands then."""
    from server.cli.follow import follow as watch

    command = command_line(context)
    number = store.queue_run(task, kind, request)
    store.audit("operator", "start", f"run {number} of {task}: {what}", command=command)
    if not as_json:
        typer.echo(f"Run {number} of {task}: {what}.")
    if follow if follow is not None else sys.stdout.isatty() and not as_json:
        with opened(context) as (federation, own):
            watch(federation, own, number)
    if as_json:
        print_json(store.run(number))
    return store.run(number)
