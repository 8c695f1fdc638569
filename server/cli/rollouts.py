"""`covey rollout`: how far a release has come, and an operator's hand on it."""

import time
from collections.abc import Callable
from typing import Annotated

import typer

from server.cli.base import AsJson, ago, command_line, opened, print_json, print_table, the_task
from server.cli.follow import follow_rollout
from server.store import Store
from server.underway import Serving, StageShown, UnderWay, under_way
from shared.rollout import Rollout
from shared.tasks import Task

ACTS = ("pause", "resume", "advance", "halt")


def rollout(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(metavar="[pause|resume|advance|halt]", help="What to do.", show_default="show how far it is"),
    ] = None,
    task: Annotated[str | None, typer.Argument(help="The task.", show_default="the only one")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it until all devices may have it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far the newest release has come, or pause, resume, advance or halt it."""
    act = what if what in ACTS else None
    if follow and (act or as_json):
        raise typer.BadParameter("--follow only shows, line by line: leave the act and --json out")
    if act is None and task is not None:
        raise typer.BadParameter(f"{what!r} is none of {', '.join(ACTS)}; to see a task's rollout, name the task alone")
    with opened(context) as (federation, store):
        found = the_task(store, task if act else what)
        if act is not None:
            paused = _is_paused(store, found)
            signed = _act(act)(federation, store, found, command=command_line(context))
            _say(act, signed, lifted=paused and signed.state != "paused", as_json=as_json)
            return
        if follow:
            follow_rollout(federation, store, found)
            return
        shown = under_way(store, found)
    if as_json:
        print_json(shown)
    else:
        show(shown)


def _act(name: str) -> Callable[..., Rollout]:
    from server import rollout_acts

    acts = {
        "pause": rollout_acts.pause, "resume": rollout_acts.resume, "advance": rollout_acts.advance,
        "halt": rollout_acts.halt,
    }  # fmt: skip
    return acts[name]


def _is_paused(store: Store, task: Task) -> bool:
    from server.rollout_word import newest

    document = newest(store.rollouts(task.name))
    return document is not None and document.state == "paused"


def _say(act: str, signed: Rollout, *, lifted: bool, as_json: bool) -> None:
    if as_json:
        print_json(signed)
        return
    says = {
        "pause": "is paused; one that fails is halted all the same",
        "resume": "goes on",
        "advance": "is complete" if signed.state == "complete" else f"goes to {signed.percent:g} % of the fleet",
        "halt": "is halted: devices go back to the release before when they next look",
    }
    pause = "; its pause is lifted" if act == "advance" and lifted else ""
    typer.echo(f"Release {signed.release} of {signed.task} {says[act]}{pause}.")


def show(found: UnderWay) -> None:
    """Print how far a release has come, for people."""
    what = "went to everyone at once" if found.state == "unstaged" else f"is {found.state}"
    signed, draws = _newest(found), ""
    if signed is not None and signed.share_bp:
        what += f" at {signed.percent:g} %"
        draws = f" (draws below {found.share_bp / 100:g} %)" if signed.percent * 100 != signed.share_bp else ""
    typer.echo(
        f"Release {found.release} of {found.task} (version {found.version}) {what}:"
        f" {found.reach} of {found.devices} devices{draws}."
    )
    now = time.time()
    if found.stages:
        typer.echo("")
        print_table(("STAGE", "DEVICES", "OPENED"), [_stage(each, now) for each in found.stages], empty="")
    typer.echo("")
    headers = ("RELEASE", "VERSION", "MEANT FOR", "RUN BY", "THEY SAY")
    print_table(headers, [_serving(each) for each in found.serving], empty="No device is approved yet.")
    if found.steps:
        typer.echo("")
        rows = [
            (ago(step.at, now), f"{step.rollout.percent:g} %", step.rollout.state, step.why) for step in found.steps
        ]
        print_table(("SIGNED", "STAGE", "STATE", "WHY"), rows, empty="")
    if found.ahead:
        typer.echo(f"\n{found.ahead[0].upper()}{found.ahead[1:]}.")


def _newest(found: UnderWay) -> Rollout | None:
    from server.rollout_word import newest

    return newest(found.steps)


def _stage(stage: StageShown, now: float) -> tuple[object, ...]:
    return f"{stage.percent:g} %", stage.devices, ago(stage.opened_at, now) if stage.opened_at else "-"


def _serving(each: Serving) -> tuple[object, ...]:
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(each.said.items()))
    return each.release, each.version, each.meant, each.running, said or "-"
