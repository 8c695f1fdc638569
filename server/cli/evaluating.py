"""`covey evaluate`, `covey fairness`: how good a version is on rows that it did not learn, and for whom."""

from collections.abc import Iterator
from typing import Annotated

import typer

from server.cli.base import AsJson, count, opened, print_json, print_table, the_task
from server.cli.queueing import Deadline, Follow, queue
from server.evaluated import Evaluated, evaluated, newest
from server.fairness import Gap, GroupRates
from server.store import Store
from shared.errors import InputError
from shared.tasks import Task, parse_window

Version = Annotated[
    int | None, typer.Argument(help="The version; `covey models` lists them.", show_default="the newest")
]
OfTask = Annotated[str | None, typer.Option("--task", metavar="NAME", help="The task.", show_default="the only one")]


def evaluate(
    context: typer.Context,
    version: Version = None,
    task: OfTask = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="START..END", help="Only rows of these days.", show_default="all after those it learned"),
    ] = None,
    quorum: Annotated[int | None, count("How many must answer.", default="half")] = None,
    deadline: Deadline = 120.0,
    follow: Follow = None,
    as_json: AsJson = False,
) -> None:
    """Ask every device for noisy counts of a version's scores, on rows it did not learn."""
    from server import planning

    with opened(context) as (_, store):
        request = planning.evaluation(
            store, _task_of(store, task, version), version=version, quorum=quorum, deadline_seconds=deadline,
            window=None if window is None else parse_window(window),
        )  # fmt: skip
        what = f"an evaluation of version {request.version} on {request.window}"
        run = queue(context, store, request.task, "evaluate", request, what=what, follow=follow, as_json=as_json)
        if run.state == "finished" and not as_json:
            for line in _figures(evaluated(store, newest(store, request.task, request.version), threshold=None)):
                typer.echo(line)


def fairness(
    context: typer.Context,
    version: Version = None,
    task: OfTask = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="Alert from this score on.",
            show_default="the task's alert rate, or 0.5",
            min=0,
            max=1,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how a version serves each group, as far as its newest evaluation can tell."""
    with opened(context) as (_, store):
        result = newest(store, _task_of(store, task, version).name, version)
        found = evaluated(store, result, threshold=threshold)
    if as_json:
        print_json(found)
        return
    headers = ("GROUP", "ROWS", "BASE RATE", "ALERTS", "RECALL", "FALSE ALARMS", "AUC")
    print_table(headers, [_row(group) for group in found.fairness.groups], empty="")
    for line in _figures(found):
        typer.echo(line)
    for words, gap in _gaps(found):
        typer.echo(f"  {words}: {_said(gap)}")


def _task_of(store: Store, name: str | None, version: int | None) -> Task:
    """The version's task, unless another is named; raise `InputError` where they contradict each other."""
    if version is None:
        return the_task(store, name)
    own = store.version(version).task
    if name is not None and name != own:
        raise InputError(f"version {version} is one of task {own!r}, not of {name!r}; leave --task out")
    return store.task(own)


def _row(group: GroupRates) -> tuple[str, ...]:
    rows = f"{max(0.0, group.rows.value):,.0f} ± {group.rows.band:,.0f}"
    return (
        group.group or "all",
        rows,
        *map(str, (group.base_rate, group.alert_rate, group.recall, group.false_alarms, group.auc)),
    )


def _figures(found: Evaluated) -> Iterator[str]:
    yield (
        f"Version {found.version} on {found.window}, {found.devices} devices; alerts from a score of "
        f"{found.fairness.threshold:g} on."
    )
    yield f"  AUC {found.auc}, PR-AUC {found.pr_auc}, calibration error {found.calibration_error}"


def _gaps(found: Evaluated) -> Iterator[tuple[str, Gap]]:
    groups = found.fairness
    if len(groups.groups) > 1:
        yield "alert rates differ by", groups.parity_difference
        yield "smallest ratio of alert rates", groups.parity_ratio
        yield "recalls or false alarms differ by", groups.odds_difference
        yield "AUC of all above the worst group's", groups.auc_gap


def _said(gap: Gap) -> str:
    lowest = f" (lowest: {gap.worst})" if gap.worst and gap.estimate.tells else ""
    left_out = f"; too small to tell: {', '.join(gap.untold)}" if gap.untold else ""
    return f"{gap.estimate}{lowest}{left_out}"
