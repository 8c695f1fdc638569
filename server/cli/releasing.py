"""`covey models`, `promote`, `withdraw`: versions, and the releases that devices run."""

import time
from typing import Annotated

import typer

from server.cli.base import AsJson, ago, opened, print_json, print_table
from shared.errors import InputError
from shared.models import ModelVersion, Release


def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every version, where it came from, and what is released."""
    with opened(context) as (_, store):
        versions, releases = store.versions(), store.releases()
    if as_json:
        print_json(versions)
        return
    by_version = {release.version: release.number for release in releases}
    now = time.time()
    rows = [
        (v.number, v.task, v.stage, by_version.get(v.number, "-"), _origin(v), ago(v.created_at, now)) for v in versions
    ]
    headers = ("VERSION", "TASK", "STAGE", "RELEASE", "FROM", "MADE")
    print_table(headers, rows, empty="There is no version yet; `covey task FILE` publishes a task with its first one.")


def promote(
    context: typer.Context,
    version: Annotated[int, typer.Argument(help="The version; `covey models` lists them.")],
    as_json: AsJson = False,
) -> None:
    """Test a version against the task's gates and sign it as a release."""
    with opened(context) as (federation, store):
        found = store.version(version)

        from server import promotion

        release = promotion.promote(federation, store, store.task(found.task), version)
    _show(release, f"Version {version} is release {release.number} of {release.task}", as_json=as_json)


def renew(context: typer.Context) -> None:
    """Sign every release role anew, before one expires."""
    with opened(context) as (federation, store):
        from server import releases

        releases.renew(federation)
        store.audit("operator", "renew", "every release role")
        until = releases.renewal_due(federation)
    typer.echo(
        f"Every role is signed anew. `covey serve` keeps the daily ones fresh; the next renewal is due by {until:%Y-%m-%d}."
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

        current = promotion.withdraw(federation, store, store.task(task), number)
    said = f"Release {number} is withdrawn; version {current.version} is in force as release {current.number}"
    _show(current, said, as_json=as_json)


def _show(release: Release, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(release)
    else:
        typer.echo(f"{said}.")


def _origin(version: ModelVersion) -> str:
    if version.run_id == 0:
        return "untrained"
    return f"run {version.run_id}, round {version.round_number}, on version {version.parent}"
