"""`covey models`: every version, where one comes from, how two differ, whether all is as it was signed, what is dropped."""

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from server.cli.base import AsJson, ago, command_line, opened, print_json, print_table, size
from server.config import Federation
from server.history import History, read_history
from server.store import Store
from shared.errors import CoveyError, InputError
from shared.models import ModelVersion

Number = Annotated[int, typer.Argument(metavar="VERSION", help="The version; `covey models` lists them.")]

app = typer.Typer(rich_markup_mode="rich", help="Show every version, where it came from, and what is released.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every version, where it came from, and what is released."""
    if context.invoked_subcommand is not None:
        return
    with opened(context) as (_, store):
        versions, releases = store.versions(), store.releases()
    if as_json:
        print_json(versions)
        return
    by_version = {release.version: release.number for release in releases}
    now = time.time()
    rows = [
        (v.number, v.task, v.stage, by_version.get(v.number, "-"), origin(v), ago(v.created_at, now)) for v in versions
    ]
    headers = ("VERSION", "TASK", "STAGE", "RELEASE", "FROM", "MADE")
    print_table(headers, rows, empty="There is no version yet; `covey task FILE` publishes a task with its first one.")


@app.command()
def show(context: typer.Context, version: Number, as_json: AsJson = False) -> None:
    """Show where a version comes from, what it cost, how it was tested, and who released it."""
    from server.cli.showing import entries
    from server.pedigree import pedigree

    with opened(context) as (federation, store):
        history = _signed_history(federation, store)
    found = pedigree(history, version)
    if as_json:
        print_json(found)
        return
    typer.echo(f"Version {version}: {found.title}")
    print_pairs(entries(found, history.task_of(found.version)))


@app.command()
def diff(context: typer.Context, one: Number, other: Number, as_json: AsJson = False) -> None:
    """Show what tells two versions apart, and how far their weights lie from each other, layer by layer."""
    import numpy as np

    from server.cli.showing import differing, entries
    from server.distances import distances
    from server.pedigree import pedigree
    from shared.architecture import shapes

    with opened(context) as (federation, store):
        history = _signed_history(federation, store)
        left, right = history.version(one), history.version(other)
        tasks = history.task_of(left), history.task_of(right)
        alike = left.task == right.task and shapes(tasks[0]) == shapes(tasks[1])
        there = not {one, other} & history.collected
        weights = [np.frombuffer(store.weights(n), dtype="<f4") for n in (one, other)] if alike and there else []
    stories = [list(entries(pedigree(history, v.number), t)) for v, t in zip((left, right), tasks, strict=True)]
    different = differing(*stories)
    apart = distances(tasks[0], *weights) if weights else ()
    if as_json:
        print_json(
            {"differs": [dict(zip(("what", "one", "other"), row, strict=True)) for row in different], "weights": apart}
        )
        return
    print_table(("", f"VERSION {one}", f"VERSION {other}"), different, empty="Nothing tells them apart.")
    typer.echo()
    rows = [(d.layer, d.parameters, f"{d.l2:.4g}", "-" if d.cosine is None else f"{d.cosine:.4f}") for d in apart]
    why = "their networks have different shapes" if there else "weights of one of them were collected"
    print_table(("WEIGHTS", "PARAMETERS", "L2", "COSINE"), rows, empty=f"The weights cannot be compared: {why}.")


@app.command()
def log(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(help="The task.", show_default="all of them")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Give every version a line.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with plain characters.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw the lineages: each version below its parent, a campaign on one line."""
    from server.cli.showing import drawn
    from server.tree import ASCII, BOXES, tree

    with opened(context) as (_, store):
        if task is not None:
            store.task(task)
        history = read_history(store)
    lines = tree([v for v in history.versions.values() if task in (None, v.task)], whole=whole)
    if as_json:
        print_json(lines)
        return
    for line in lines:
        typer.echo(drawn(line, history, ASCII if ascii_only else BOXES))
    if not lines:
        typer.echo("There is no version yet; `covey task FILE` publishes a task with its first one.")


@app.command()
def card(context: typer.Context, version: Number, as_json: AsJson = False) -> None:
    """Print a version's model card in Markdown: its use, data, evaluation, fairness, privacy and limits."""
    from server.modelcard import card as write
    from server.pedigree import pedigree

    with opened(context) as (_, store):
        history = read_history(store)
    text = write(pedigree(history, version), history.task_of(history.version(version)))
    if as_json:
        print_json({"version": version, "card": text})
    else:
        typer.echo(text, nl=False)


@app.command()
def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Hold all weights, records, signed files and signatures against each other; exit 1 naming what is wrong."""
    with opened(context) as (federation, store):
        from server.verifying import verify as look

        found = look(federation, store, say=_silent if as_json else _say)
    if as_json:
        print_json(found)
    else:
        typer.echo(
            f"Looked at {_count(found.versions, 'version')}, {_count(found.blobs, 'set')} of weights or optimizer state, "
            f"{_count(found.releases, 'release')} and {_count(found.targets, 'signed file')}."
        )
    if found.wrong:
        for line in () if as_json else found.wrong:
            typer.echo(f"  {line}")
        wrong = "1 thing is" if len(found.wrong) == 1 else f"{len(found.wrong)} things are"
        raise CoveyError(f"{wrong} wrong; restore from a backup, and find out who changed what is here")
    if not as_json:
        typer.echo("All of it is as it was made and signed.")


@app.command()
def gc(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be dropped, and drop nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop the weights that nothing refers to; the versions stay as rows that say so."""
    from server import collecting

    command = "" if dry_run else command_line(context)
    with opened(context) as (_, store):
        found = collecting.plan(store)
        asks = bool(found.addresses) and not (dry_run or yes)
        if asks and as_json:
            raise InputError("--json cannot ask; add --yes to drop the weights, or --dry-run to see which")
        if asks:
            typer.confirm(f"Drop {_said(found)}? This cannot be undone.", abort=True)
        if found.addresses and not dry_run:
            found = collecting.collect(store)
            store.audit("operator", "gc", _said(found), command=command)
    if as_json:
        print_json(found)
        return
    kept = f"the weights of {_count(len(found.kept), 'version')} stay, since something refers to them."
    does = "would be dropped" if dry_run else "dropped"
    typer.echo(f"{_said(found)} {does}; {kept}" if found.addresses else f"There is nothing to drop; {kept}")


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """A name and a text a line, the texts below each other."""
    found = list(pairs)
    width = max((len(name) for name, _ in found), default=0)
    for name, text in found:
        typer.echo(f"  {name.ljust(width)}  {text}")


def origin(version: ModelVersion) -> str:
    """Which round made a version."""
    if version.run_id == 0:
        return "untrained" if not version.parent else f"carried over from version {version.parent}"
    return f"run {version.run_id}, round {version.round_number}, on version {version.parent}"


def _signed_history(federation: Federation, store: Store) -> History:
    from server.signatures import signed_roles

    return read_history(store, signed=signed_roles(federation))


def _said(found: Any) -> str:
    """What is dropped, counted and named."""
    sets = _count(len(found.addresses), "set")
    return f"{sets} of weights or optimizer state, {size(found.bytes)}, of {_named(found.versions)}"


def _named(numbers: Sequence[int], most: int = 12) -> str:
    """Versions by number; many of them by their count."""
    if len(numbers) > most:
        return f"{len(numbers)} versions"
    return f"versions {', '.join(map(str, numbers))}" if numbers else "no version"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _say(what: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"looking at {what} …", err=True)


def _silent(_what: str) -> None:
    """A program that reads JSON wants nothing beside it."""
