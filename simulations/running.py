"""`covey-sim run`: rehearse one plan over a fleet, and show what came of it."""

import hashlib
import shlex
import sys
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from server import planning
from server.planfile import PlanFile, write_plan
from shared import wire
from shared.privacy import TRUST
from shared.tasks import Task, read_task
from simulations.extending import load
from simulations.fleet.behaviour import read_behaviour
from simulations.options import (
    CORES,
    INTERRUPTED,
    Behaving,
    Changes,
    Deadline,
    Devices,
    Extensions,
    Granted,
    Learn,
    NoiseMode,
    TaskFile,
    Way,
    Workers,
    window_of,
)
from simulations.plans import plan_in, plan_of
from simulations.progress import bar
from simulations.rehearsal import ROWS, EngineName, Settings, keep_settings
from simulations.rehearsing import Outcome, rehearse, tabulate
from simulations.scene import Scene
from simulations.scenes import Fleet

BLOCKS_FROM, BLOCK = 20_000, 1000
"""From how many devices a round on answers travel in blocks, and how large those are, unless said."""


def run(
    context: typer.Context,
    task_file: TaskFile,
    data: Annotated[
        list[Path] | None, typer.Option(help="One Parquet or CSV file a device; repeat it.", exists=True)
    ] = None,
    devices: Devices = None,
    by: Way = "",
    plan: Annotated[Path | None, typer.Option(help="Rehearse this plan file instead of the options below.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds to commit.", show_default="the task's", min=1)] = None,
    cohort: Annotated[
        int | None, typer.Option(help="Devices to ask in a round.", show_default="all", min=1)
    ] = None,
    quorum: Annotated[
        int | None, typer.Option(help="How many must answer.", show_default="two thirds of the cohort", min=1)
    ] = None,
    deadline: Deadline = 600.0,
    mode: NoiseMode = "local",
    settings: Changes = None,
    window: Learn = None,
    test: Annotated[
        str | None, typer.Option(help="Rows to be tested on.", show_default="the data's, none of your own")
    ] = None,
    behaviour: Behaving = "ideal",
    epsilon: Granted = None,
    base: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Start from what an earlier rehearsal ended with.", exists=True),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Repeats with seeds of their own.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    engine: Annotated[
        EngineName, typer.Option(help="Blocks of devices, or each as the agent that ships: in process, or on Ray.")
    ] = "fast",
    block: Annotated[
        int | None, typer.Option(help="Devices whose sum one message carries.", show_default="1; 1000 for large rounds",
                                 min=1),
    ] = None,
    workers: Workers = CORES,
    compare: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Learn the same without a federation, to compare.")
    ] = True,
    save_plan: Annotated[
        Path | None, typer.Option(help="Write the plan here, for `covey start --plan`.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The result's folder; one that is there goes on.", show_default="rehearsals/…")
    ] = None,
    extend: Extensions = None,
    json: Annotated[bool, typer.Option("--json", help="Print what came of it as JSON.")] = False,
) -> None:  # fmt: skip
    """Rehearse a campaign over thousands of devices: the coordinator's code that ships, and a report at the end."""
    for file in extend or []:
        load(file)
    task = read_task(task_file)
    fleet = Fleet(
        files=tuple(data or []), by=by, devices=devices, seed=seed, learn=window_of(window), test=window_of(test)
    )  # fmt: skip
    folder = out or Path("rehearsals") / f"{task.name}-{_digest(context, task)}"
    scene = fleet.build(task, folder / ROWS, extensions=tuple(file.resolve() for file in extend or []))
    if plan:
        asked = plan_in(plan, task, devices=len(scene.names))
    else:
        asked = plan_of(
            task, planning.overridden(planning.training_in(task, mode), settings or [], rounds=rounds), mode=mode,
            cohort=min(cohort or len(scene.names), len(scene.names)), quorum=quorum, deadline=deadline,
            window=fleet.window(task),
        )  # fmt: skip
    if save_plan:
        write_plan(save_plan, asked)
    chosen = Settings(
        task=task, plan=asked, scene=scene.about, devices=len(scene.names), behaviour=read_behaviour(behaviour),
        seeds=tuple(range(seed, seed + seeds)), epsilon=task.privacy.epsilon if epsilon is None else epsilon,
        block=_block(block, asked), engine=engine, base=str(base or ""),
        extensions=tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in extend or []),
    )  # fmt: skip
    outcome = _rehearse(chosen, fleet, scene, folder, workers=workers, compare=compare)
    show(outcome, as_json=json)
    if not outcome.about.complete:
        raise typer.Exit(INTERRUPTED)


def _rehearse(settings: Settings, fleet: Fleet, scene: Scene, folder: Path, *, workers: int, compare: bool) -> Outcome:
    command = shlex.join(["covey-sim", *sys.argv[1:]])
    with bar("rounds", settings.plan.training.rounds * len(settings.seeds)) as say:
        if settings.engine == "fast":
            return rehearse(settings, scene, folder, workers=workers, say=say, compare=compare, command=command)
        from simulations.agents import conduct_agents

        keep_settings(folder, settings)
        campaigns = conduct_agents(settings, fleet.write_files(settings.task, folder / "data"), folder, say=say)
        return tabulate(campaigns, settings, scene, folder, compare=compare, command=command)


def _block(asked: int | None, plan: PlanFile) -> int:
    """Devices in a message: one, unless said, or where a round asks so many that messages would take longer than training."""
    if asked is not None:
        return asked
    return BLOCK if plan.cohort >= BLOCKS_FROM else 1


def _digest(context: typer.Context, task: Task) -> str:
    """What the same words on the same task come to: where they go on."""
    aside = {"out", "workers", "json", "compare", "save_plan", "task_file"}
    words = {name: str(value) for name, value in sorted(context.params.items()) if name not in aside}
    return hashlib.sha256(wire.to_json(task) + repr(words).encode()).hexdigest()[:8]


def show(outcome: Outcome, *, as_json: bool) -> None:
    """Print the rounds and what all came to, or the same as one JSON object."""
    about = outcome.about
    if as_json:
        rounds = [wire.encode(row) for row in outcome.rounds]
        typer.echo(dumps({"about": wire.encode(about), "rounds": rounds, "folder": str(outcome.folder)}, indent=2))
        return
    for row in outcome.rounds:
        worth = f"  AUC {row.auc:.4f}" if row.auc is not None else ""
        away = "".join(
            f", {count} {word}" for count, word in ((row.refused, "refused"), (row.failed, "silent")) if count
        )
        typer.echo(
            f"seed {row.seed}  round {row.round:3d}  {row.outcome}  {row.returned:,} of {row.cohort:,}{away}"
            f"{worth}  epsilon {row.epsilon or 0:.2f}  {row.seconds:.2f} s"
        )
    typer.echo(_sum_up(outcome))


def _sum_up(outcome: Outcome) -> str:
    about = outcome.about
    worth = f"AUC {outcome.auc:.4f}" if outcome.auc is not None else "no test rows"
    compared = [
        f"{name} {baseline.auc:.4f}"
        for name, baseline in (("central", about.baselines.central), ("each device alone", about.baselines.local))
        if baseline and baseline.auc is not None
    ]
    against = f" ({', '.join(compared)})" if compared else ""
    failed = [verdict.name for verdict in about.gates if not verdict.passed]
    gates = f"\ngates of a release: {'failing ' + ', '.join(failed) if failed else 'all passed'}" if about.gates else ""
    state = "rehearsed" if about.complete else "interrupted; the same command goes on"
    return (
        f"{state}: {worth}{against}; a device spent epsilon {outcome.epsilon:.2f} at most at delta {about.delta:g}, "
        f"{TRUST[about.trust]}\nplan {about.plan_sha256[:16]}; report {outcome.folder / 'report.html'}{gates}"
    )
