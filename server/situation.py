"""What is known of the release that is on its way, read from the store for `server/rollouts.py` to decide about."""

from dataclasses import replace
from datetime import UTC, datetime

from server.records import RolloutStep, Run, SurveyRequest, SurveyResult
from server.rollouts import Situation
from server.store import Store
from shared import wire
from shared.errors import WireError
from shared.lifecycle import RolloutTerms
from shared.models import Release
from shared.tasks import Task, Window


def is_under_way(store: Store, task: Task) -> bool:
    """Whether a task's newest release is staged, and neither halted nor with everybody."""
    releases = store.releases(task.name)
    steps = steps_of(store, releases[-1]) if releases else ()
    return bool(releases) and releases[-1].staged and (not steps or steps[-1].rollout.state in {"rolling", "paused"})


def look(store: Store, task: Task, *, now: float) -> Situation | None:
    """All that is known of a task's newest release; None where it was not staged."""
    releases = store.releases(task.name)
    if not releases or not releases[-1].staged:
        return None
    release, health = releases[-1], store.health(task.name, releases[-1].number)
    if release.fallback:
        health += store.health(task.name, release.fallback)
    found = Situation(
        release=release, terms=task.rollout or RolloutTerms(), steps=steps_of(store, release), fleet=fleet_of(store),
        health=tuple(health), now=now,
    )  # fmt: skip
    runs = [run for run in store.runs() if run.kind == "survey" and run.task == task.name and _asks(run, found)]
    results = {survey.run_id: survey for survey in store.surveys(task.name)} if runs else {}
    evidence: list[SurveyResult] = [results[run.id] for run in runs if run.id in results]
    return replace(found, asked=tuple(run.created_at for run in runs), evidence=evidence[-1] if evidence else None)


def window_of(found: Situation) -> Window:
    """The rows since the stage was opened, in UTC: no row is counted for two stages."""
    opened = datetime.fromtimestamp(found.since, UTC).replace(tzinfo=None)
    return Window(start=opened.isoformat(timespec="seconds"))


def _asks(run: Run, found: Situation) -> bool:
    """Whether a survey was asked for the stage in force."""
    try:
        request = wire.from_json(SurveyRequest, run.request.encode())
    except WireError:  # of an older Covey, which knew no rollouts
        return False
    return request.role == "canary" and request.release == found.release.number and request.window == window_of(found)


def fleet_of(store: Store) -> tuple[str, ...]:
    """The approved devices, by name."""
    return tuple(device.name for device in store.devices() if device.state == "approved")


def steps_of(store: Store, release: Release) -> tuple[RolloutStep, ...]:
    """The documents that speak of a release in the order of their numbers, whatever became of the clock."""
    steps = (step for step in store.rollouts(release.task) if step.rollout.release == release.number)
    return tuple(sorted(steps, key=lambda step: step.rollout.number))
