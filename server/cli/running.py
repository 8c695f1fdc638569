"""`covey start`, `stop`, `survey`, `rounds`: what the fleet is asked to do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from click.core import ParameterSource

from server import planning
from server.cli.base import AsJson, TaskName, command_line, count, opened, print_json, print_table, the_task
from server.cli.queueing import Deadline, Follow, queue
from server.estimates import Estimate
from server.modewords import explained, mode_of
from server.planfile import read_plan
from server.records import ACTIVE, CampaignRequest
from server.store import Store
from shared import wire
from shared.drift import SurveyRole
from shared.errors import InputError
from shared.modes import Mode
from shared.rounds import RoundResult
from shared.tasks import Task, parse_window

Window = Annotated[
    str,
    typer.Option(metavar="START..END", help="Only rows of these days; the end is not included.", show_default="all"),
]


def start(
    context: typer.Context,
    task: TaskName = None,
    rounds: Annotated[int | None, count("How many rounds.", default="the task's")] = None,
    window: Window = "",
    base: Annotated[int | None, count("The version to go on from.", "--from", default="the newest")] = None,
    quorum: Annotated[int | None, count("How many must answer.", default="two thirds")] = None,
    cohort: Annotated[int | None, count("How many are asked in a round.", default="all")] = None,
    deadline: Deadline = 300.0,
    mode: Annotated[
        Mode,
        typer.Option(help="Who adds the noise: each device all of it, each a share of a sum's, or the coordinator."),
    ] = "local",
    reserve: Annotated[
        bool, typer.Option("--reserve", help="Let devices pay for all rounds before the first.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Put this in place of the task's.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run what was rehearsed: a file of `covey-sim run --save-plan`."),
    ] = None,
    follow: Follow = None,
    as_json: AsJson = False,
) -> None:
    """Start rounds of training."""
    with opened(context) as (_, store):
        if plan is not None:
            request = _rehearsed(context, store, plan, task, base=base, cohort=cohort, quorum=quorum)
        else:
            read = the_task(store, task)
            request = planning.campaign(
                store, read, window=parse_window(window),
                training=planning.overridden(planning.training_in(read, mode), settings or [], rounds=rounds),
                base_version=base, quorum=quorum, cohort=cohort, deadline_seconds=deadline, mode=mode, reserve=reserve,
            )  # fmt: skip
        what = f"{request.training.rounds} rounds from version {request.base_version}"
        what += f", plan {request.plan}" if request.plan else ""
        queue(context, store, request.task, "train", request, what=what, follow=follow, as_json=as_json)


def _rehearsed(
    context: typer.Context, store: Store, file: Path, task: str | None, *,
    base: int | None, cohort: int | None, quorum: int | None,
) -> CampaignRequest:  # fmt: skip
    """The campaign of a plan file; raise `InputError` for options that say what the plan says."""
    said = [words for name, words in _IN_THE_PLAN.items() if _is_given(context, name)]
    if said:
        raise InputError(
            f"--plan runs what was rehearsed, so {', '.join(said)} cannot stand beside it; rehearse it with that, or leave "
            "--plan out. Only --from, --cohort and --quorum may stand beside it"
        )
    plan = read_plan(file)
    if task is not None and task != plan.task:
        raise InputError(f"plan file {file} is of task {plan.task!r}, not {task!r}")
    return planning.from_plan(store, plan, base_version=base, cohort=cohort, quorum=quorum)


_IN_THE_PLAN = {
    "settings": "--set", "mode": "--mode", "rounds": "--rounds", "window": "--window", "deadline": "--deadline",
    "reserve": "--reserve",
}  # fmt: skip
"""The options of `start` that a plan file decides."""


def _is_given(context: typer.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def survey(
    context: typer.Context,
    task: TaskName = None,
    role: Annotated[SurveyRole, typer.Option(help="What it was trained on, or what is seen now.")] = "current",
    window: Window = "",
    features: Annotated[bool, typer.Option("--features/--score-only", help="Count each feature too.")] = True,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Ask too how often the release tried beside it agrees.")
    ] = False,
    quorum: Annotated[int | None, count("How many must answer.", default="half")] = None,
    deadline: Deadline = 120.0,
    follow: Follow = None,
    as_json: AsJson = False,
) -> None:
    """Ask every device for noisy counts; compare them with the reference."""
    with opened(context) as (_, store):
        read = the_task(store, task)
        request = planning.survey(
            store, read, window=parse_window(window), role=role, features=features,
            quorum=quorum, deadline_seconds=deadline, shadow=shadow,
        )  # fmt: skip
        what = f"a {role} survey of release {request.release}"
        what += f", and how release {request.shadow} agrees with it" if request.shadow else ""
        run = queue(context, store, read.name, "survey", request, what=what, follow=follow, as_json=as_json)
        if run.state == "finished" and request.shadow and not as_json:
            typer.echo(f"  {_agreement(store, read, run.id)}")


def _agreement(store: Store, task: Task, run: int) -> str:
    from server.shadow import agreement_of

    share = agreement_of(next(each for each in store.surveys(task.name) if each.run_id == run), task)
    return agreement_said(share)


def agreement_said(share: Estimate | None) -> str:
    """How often two releases agree, in a sentence."""
    if share is None or not share.tells:
        return "Too few rows stand out of the noise to tell how often they name the same class."
    return f"They name the same class for a share of {share} of the rows."


def stop(
    context: typer.Context,
    run: Annotated[int | None, typer.Argument(help="The run.", show_default="the only one under way")] = None,
) -> None:
    """Stop a run; every round committed so far stays."""
    with opened(context) as (_, store):
        active = [each.id for each in store.runs(*ACTIVE)]
        if run is None and len(active) != 1:
            raise InputError(f"name a run to stop: {active}" if active else "no run is under way")
        number = active[0] if run is None else store.run(run).id
        if number not in active:
            raise InputError(f"run {number} is {store.run(number).state} already")
        command = command_line(context)
        store.set_run_state(number, "stopping")
        store.audit("operator", "stop", f"run {number}", command=command)
    typer.echo(f"Run {number} is stopping.")


def rounds(
    context: typer.Context,
    run: Annotated[int | None, typer.Argument(help="Only this run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every round: who was asked, who answered, what came of it."""
    with opened(context) as (_, store):
        results = store.rounds(run)
        if run is not None:
            store.run(run)
        plans = _plans(store, results)
    if as_json:
        print_json([_with_plan(result, plans) for result in results])
        return
    rows = [
        (
            r.plan.run_id, r.plan.number, r.plan.task, mode_of(r.plan), r.outcome,
            f"{len(r.returned)} of {len(r.cohort)}",
            _reasons(r.refusals), _reasons(r.failures), f"{r.finished_at - r.started_at:.1f} s",
        )
        for r in results
    ]  # fmt: skip
    headers = ("RUN", "ROUND", "TASK", "MODE", "OUTCOME", "ANSWERED", "REFUSED", "FAILED", "TOOK")
    print_table(headers, rows, empty="No round has run yet; `covey start` starts some.")
    for line in explained(result.plan for result in results):
        typer.echo(f"  {line}")
    for number, plan in plans.items():
        typer.echo(f"  Run {number} follows plan {plan}.")


def _plans(store: Store, results: Sequence[RoundResult]) -> dict[int, str]:
    """The hash of the plan file that each run follows, of those that follow one."""
    wanted = {result.plan.run_id for result in results}
    asked = {run.id: wire.from_json(CampaignRequest, run.request.encode()) for run in store.runs() if run.id in wanted}
    return {number: request.plan for number, request in asked.items() if request.plan}


def _with_plan(result: RoundResult, plans: Mapping[int, str]) -> dict[str, Any]:
    """A round as programs read it, with the hash of the plan file that its run follows, if it does."""
    plan = plans.get(result.plan.run_id)
    return wire.encode(result) | ({"plan_file": plan} if plan else {})


def _reasons(reasons: dict[str, str]) -> str:
    """`2 budget, 1 consent`, or a dash."""
    counts = {reason: list(reasons.values()).count(reason) for reason in sorted(set(reasons.values()))}
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "-"
