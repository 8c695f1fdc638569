"""`covey retrain`: what the policy made of the surveys, and the operator's answer to what it asks."""

import time
from typing import Annotated

import typer

from server.cli.base import AsJson, TaskName, ago, command_line, opened, print_json, print_table, the_task
from server.records import Decision
from shared.errors import InputError
from shared.tasks import Task


def retrain(
    context: typer.Context,
    task: TaskName = None,
    accept: Annotated[bool, typer.Option("--accept", help="Start the campaign that the policy asks for.")] = False,
    decline: Annotated[
        bool, typer.Option("--decline", help="Start none: what is now counts as usual from here on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the retraining policy decided and why, or answer what it asks."""
    if accept and decline:
        raise InputError("--accept and --decline cannot both be the answer")
    if accept or decline:
        _answer(context, task, yes=accept, as_json=as_json)
    else:
        _show(context, task, as_json=as_json)


def _answer(context: typer.Context, name: str | None, *, yes: bool, as_json: bool) -> None:
    from server import retraining_duty

    answer = retraining_duty.accept if yes else retraining_duty.decline
    with opened(context) as (_, store):
        decision = answer(store, the_task(store, name), now=time.time(), command=command_line(context))
    if as_json:
        print_json(decision)
    elif decision.run_id:
        typer.echo(f"Run {decision.run_id} of {decision.task} is queued; `covey promote` still tests what it makes.")
    else:
        typer.echo(f"No campaign of {decision.task} starts on this alarm.")


def _show(context: typer.Context, name: str | None, *, as_json: bool) -> None:
    with opened(context) as (_, store):
        if name is not None:
            store.task(name)
        tasks, decisions = store.tasks(), store.decisions(name)
    if as_json:
        print_json(decisions)
        return
    now = time.time()
    rows = [(each.task, ago(each.at, now), each.act, each.run_id or "-", each.why) for each in decisions]
    print_table(("TASK", "WHEN", "ACT", "RUN", "WHY"), rows, empty="The policy has decided nothing yet.")
    for task in tasks:
        if name in (None, task.name):
            _standing(task, [each for each in decisions if each.task == task.name])


def _standing(task: Task, decisions: list[Decision]) -> None:
    """How things stand with one task, in a line or two."""
    if task.retraining is None:
        typer.echo(f"{task.name} has no [retraining] table, so surveys start nothing.")
        return
    newest = decisions[-1] if decisions else None
    if newest and newest.informed:
        typer.echo(f"{task.name}: {', '.join(newest.informed)} moved; that informs and decides nothing.")
    if newest and newest.act == "ask":
        typer.echo(f"{task.name}: answer with `covey retrain {task.name} --accept` or `--decline`.")
