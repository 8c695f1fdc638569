"""`covey promote`, `withdraw`, `renew`: the releases that devices run."""

import time
from pathlib import Path
from typing import Annotated

import typer

from server.cli.base import AsJson, command_line, opened, print_json
from server.store import Store
from server.underway import under_way
from shared.errors import InputError
from shared.models import Release
from shared.tasks import Task

Probe = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Public rows with known outcomes (CSV or Parquet), asked beside the fleet."),
]


def promote(
    context: typer.Context,
    version: Annotated[int, typer.Argument(help="The version; `covey models` lists them.")],
    probe: Probe = None,
    percent: Annotated[
        float | None,
        typer.Option(help="How much of the fleet gets it first.", show_default="the task's first stage"),
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Give it to everyone at once.")] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Let the devices that are next run it beside the one that answers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Test a version against the task's gates and sign it as a release; in stages where the task has a rollout."""
    with opened(context) as (federation, store):
        found = store.version(version)

        from server import promotion

        task = store.task(found.task)
        staged = percent is not None or shadow or (task.rollout is not None and not everyone)
        way = promotion.Way(everyone=everyone or not staged, percent=percent, shadow=shadow)
        release = promotion.promote(
            federation, store, task, version, probe=probe, command=command_line(context), way=way
        )
        reach, warning = _reach(store, release), _blind(store, task) if release.staged else ""
    if warning:
        typer.echo(f"warning: {warning}; `covey rollout advance` must open the next stage by hand", err=True)
    _show(release, f"Version {version} is release {release.number} of {release.task}{reach}", as_json=as_json)


def renew(
    context: typer.Context,
    lift: Annotated[
        bool, typer.Option("--lift", help="Also rise above what devices saw since a restored backup was made.")
    ] = False,
) -> None:
    """Sign every release role anew whose keys are here, before one expires."""
    with opened(context) as (federation, store):
        from server import lifting, releases

        command = command_line(context)
        if lift:
            lifting.lift(federation, store, command=command)
        left = releases.renew(federation)
        what = f"every role but {' and '.join(left)}" if left else "every role"
        store.audit("operator", "renew", what, command=command)
        until = releases.renewal_due(federation)
    typer.echo(
        f"{what.capitalize()} is signed anew. `covey serve` keeps the daily ones fresh; the next renewal is due by {until:%Y-%m-%d}."
    )
    if left:
        typer.echo(
            f"{' and '.join(left).capitalize()} stays as it was: its keys are not in {federation.keys}; put them back and ask again."
        )


def withdraw(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="RELEASE", help="The release; `covey models` lists them.")],
    as_json: AsJson = False,
) -> None:
    """Take a release back: older weights are signed as a newer one."""
    with opened(context) as (federation, store):
        task = next((release.task for release in store.releases() if release.number == number), None)
        if task is None:
            raise InputError(f"there is no release {number}; `covey models` lists them")

        from server import promotion

        current = promotion.withdraw(federation, store, store.task(task), number, command=command_line(context))
    said = f"Release {number} is withdrawn; version {current.version} is in force as release {current.number}"
    _show(current, said, as_json=as_json)


def _reach(store: Store, release: Release) -> str:
    """Who gets a staged release first, in words."""
    if not release.staged:
        return ""
    found = under_way(store, store.task(release.task))
    canary = next(each.meant for each in found.serving if each.release == release.number)
    devices = f"{canary} of {found.devices} devices"
    return f": {devices} first; `covey rollout {release.task}` shows how it fares"


def _blind(store: Store, task: Task) -> str:
    """Why the charged comparison of the first stage can never alarm, in words; empty where it can, or is not asked for."""
    from server.rollouts import powerless
    from server.situation import look

    found = look(store, task, now=time.time())
    return powerless(found) if found else ""


def _show(release: Release, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(release)
    else:
        typer.echo(f"{said}.")
