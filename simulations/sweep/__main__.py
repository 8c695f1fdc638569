"""`covey-sim sweep`: rehearse a grid of plans, and show accuracy against epsilon against bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from server import planning
from server.planfile import PlanFile, fingerprint
from shared import wire
from shared.endings import one_line
from shared.errors import InputError
from shared.modes import Mode
from shared.tasks import Task, Window, read_task
from simulations.extending import load
from simulations.fleet.behaviour import Behaviour, read_behaviour
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
from simulations.plans import plan_of
from simulations.progress import bar
from simulations.rehearsal import ROWS, Settings
from simulations.rehearsing import Outcome, rehearse
from simulations.scene import Scene
from simulations.scenes import Fleet
from simulations.sweep.conduct import conduct, rows
from simulations.sweep.grid import Done, Point, PointResult, Sweep, counts, grid, numbers
from simulations.sweep.page import PAGE, recommended


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """What all points of a sweep share."""

    task: Task
    scene: Scene
    mode: Mode
    window: Window
    deadline: float
    behaviour: Behaviour
    seeds: tuple[int, ...]
    epsilon: float
    changes: tuple[str, ...]
    workers: int

    def plan(self, point: Point) -> PlanFile:
        """The plan of a point; raise `InputError` that names it where no device would accept it."""
        moved = f"max_grad_norm={point.clip!r}", f"noise_multiplier={point.noise!r}"
        try:
            training = planning.overridden(
                planning.training_in(self.task, self.mode), (*self.changes, *moved), rounds=point.rounds
            )
            return plan_of(
                self.task, training, mode=self.mode, cohort=point.cohort, deadline=self.deadline, window=self.window
            )
        except InputError as error:
            raise InputError(f"the plan {point.name} is out of bounds: {error}") from None

    def settings(self, plan: PlanFile) -> Settings:
        """How a plan is rehearsed."""
        return Settings(
            task=self.task, plan=plan, scene=self.scene.about, devices=len(self.scene.names), behaviour=self.behaviour,
            seeds=self.seeds, epsilon=self.epsilon,
        )  # fmt: skip

    def rehearse(self, point: Point, folder: Path, say: Callable[[float], None]) -> PointResult | None:
        """Rehearse a point in its folder; None where a person interrupted it."""
        settings = self.settings(self.plan(point))
        total = point.rounds * len(self.seeds)
        outcome = rehearse(
            settings, self.scene, folder, workers=self.workers, say=lambda done: say(done / total), compare=False
        )
        return result_of(outcome) if outcome.about.complete else None


def result_of(outcome: Outcome) -> PointResult:
    """A rehearsal's figures as a point's."""
    last = {row.seed: row.auc for row in outcome.rounds if row.auc is not None}
    seeds = len(outcome.about.seeds)
    return PointResult(
        auc=outcome.auc, auc_low=min(last.values(), default=None), auc_high=max(last.values(), default=None),
        epsilon=outcome.epsilon, bytes_up=sum(row.bytes_up for row in outcome.rounds) / seeds,
        seconds=sum(row.seconds for row in outcome.rounds) / seeds, plan_sha256=outcome.about.plan_sha256,
    )  # fmt: skip


def sweep(
    task_file: TaskFile,
    clip: Annotated[
        str, typer.Option(metavar="A,B,…", help="Bounds on an example's gradient.", show_default="the task's")
    ] = "",
    noise: Annotated[
        str, typer.Option(metavar="A,B,…", help="Noise over sensitivity.", show_default="the task's")
    ] = "",
    cohort: Annotated[
        str, typer.Option(metavar="N,M,…", help="Devices to ask in a round.", show_default="all")
    ] = "",
    rounds: Annotated[
        str, typer.Option(metavar="N,M,…", help="Rounds to commit.", show_default="the task's")
    ] = "",
    seeds: Annotated[int, typer.Option(help="Repeats of each plan.", min=1)] = 3,
    devices: Devices = None,
    by: Way = "",
    mode: NoiseMode = "local",
    settings: Changes = None,
    window: Learn = None,
    test: Annotated[
        str | None, typer.Option(help="Rows to choose by; not those that you will report.", show_default="the data's")
    ] = None,
    deadline: Deadline = 600.0,
    behaviour: Behaving = "ideal",
    epsilon: Granted = None,
    workers: Workers = CORES,
    out: Annotated[
        Path | None, typer.Option(help="The result's folder; one that is there goes on.", show_default="sweeps/TASK")
    ] = None,
    extend: Extensions = None,
    json: Annotated[bool, typer.Option("--json", help="Print the points as JSON.")] = False,
) -> None:  # fmt: skip
    """Rehearse every combination of clip, noise, cohort and rounds: accuracy against epsilon against bytes."""
    for file in extend or []:
        load(file)
    task = read_task(task_file)
    fleet = Fleet(by=by, devices=devices, learn=window_of(window), test=window_of(test))
    folder = out or Path("sweeps") / task.name
    scene = fleet.build(task, folder / ROWS, extensions=tuple(file.resolve() for file in extend or []))
    common = _Common(
        task=task, scene=scene, mode=mode, window=fleet.window(task), deadline=deadline,
        behaviour=read_behaviour(behaviour), seeds=tuple(range(seeds)), changes=tuple(settings or ()), workers=workers,
        epsilon=task.privacy.epsilon if epsilon is None else epsilon,
    )  # fmt: skip
    points = _points(common, clip=clip, noise=noise, cohort=cohort, rounds=rounds)
    with bar("plans", len(points)) as say:
        found = conduct(_words(common, devices), points, folder, common.rehearse, say=say)
    _show(folder, found, asked=len(points), as_json=json)
    if len(found) < len(points):
        raise typer.Exit(INTERRUPTED)


def _points(common: _Common, *, clip: str, noise: str, cohort: str, rounds: str) -> tuple[Point, ...]:
    """The grid; raise `InputError` before anything runs if a point asks too many devices, or what none would accept."""
    training, there = planning.training_in(common.task, common.mode), len(common.scene.names)
    found = grid(
        clips=numbers(clip, "--clip", default=training.max_grad_norm),
        noises=numbers(noise, "--noise", default=training.noise_multiplier),
        cohorts=counts(cohort, "--cohort", default=there), rounds=counts(rounds, "--rounds", default=training.rounds),
    )  # fmt: skip
    for point in found:
        if point.cohort > there:
            raise InputError(f"--cohort asks {point.cohort} devices in a round, and there are {there}")
        common.settings(common.plan(point))
    return found


def _words(common: _Common, asked: int | None) -> Sweep:
    """What another sweep would differ in."""
    return Sweep(
        title=common.task.title, task=fingerprint(common.task), devices=len(common.scene.names), seeds=common.seeds,
        mode=common.mode, delta=common.task.privacy.delta,
        settings=(
            f"{common.scene.about}, {asked or 'all'} devices", f"learn {common.window}", f"test {common.scene.tested_on}", f"deadline {common.deadline!r}",
            f"epsilon {common.epsilon!r}", wire.to_json(common.behaviour).decode(), *common.changes,
        ),
    )  # fmt: skip


def _show(folder: Path, found: Sequence[Done], *, asked: int, as_json: bool) -> None:
    table = list(rows(found))
    if as_json:
        typer.echo(dumps([wire.encode(row) for row in table], indent=2))
        return
    typer.echo(f"{'':2}{'clip':>8}{'noise':>8}{'cohort':>8}{'rounds':>8}{'AUC':>9}{'epsilon':>9}{'MB up':>9}{'s':>8}")
    for row in table:
        worth = "-" if row.auc is None else f"{row.auc:.4f}"
        typer.echo(
            f"{'*' if row.on_front else '':2}{row.clip:>8g}{row.noise:>8g}{row.cohort:>8}{row.rounds:>8}{worth:>9}"
            f"{row.epsilon:>9.2f}{row.bytes_up / 1e6:>9.2f}{row.seconds:>8.1f}"
        )
    advised = recommended(found)
    state = "" if len(found) == asked else f"interrupted after {len(found)} of {asked}; the same command goes on. "
    best = f"Least epsilon near the best: {advised.point.name}. " if advised else ""
    typer.echo(f"{state}{best}* no other beats it in AUC, epsilon and bytes together; page {folder / PAGE}")


if __name__ == "__main__":
    with one_line("covey-sim sweep"):
        typer.run(sweep)
