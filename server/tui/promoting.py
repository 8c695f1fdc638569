"""The promotion that its dialog describes: which way to the fleet, checked, and put as a command."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from server.tui.commands import Act
from server.tui.reach import Reach, looking_on, reach_of, rests, terms_of
from server.tui.watcher import Snapshot
from shared.lifecycle import LEAST_PERCENT, MOST_PERCENT
from shared.models import ModelVersion
from shared.tasks import Task

if TYPE_CHECKING:  # the dialog is imported when it is asked for
    from server.tui.promotedialog import PromoteDialog

Way = Literal["stages", "shadow", "everyone"]

SHARE = re.compile(r"[0-9]{1,2}(\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the dialog's fields hold, as typed; without a percent the first stage is as large as the task has it."""

    way: Way
    percent: str = ""


def ways(task: Task | None) -> list[tuple[str, Way]]:
    """The ways to the fleet as they read, the task's own first; `shadow` only where the task does not say so already."""
    looked_on = task is not None and terms_of(task).shadow
    staged: list[tuple[str, Way]] = [("in stages · a canary first", "stages")]
    if not looked_on:
        staged.append(("in stages, shadow · the next stage runs it beside first", "shadow"))
    everyone: tuple[str, Way] = ("all at once · no canary", "everyone")
    return [*staged, everyone] if task and task.rollout else [everyone, *staged]


def usual(task: Task | None) -> Draft:
    """What `covey promote` does by itself."""
    return Draft(way=ways(task)[0][1])


def problems(draft: Draft) -> dict[str, str]:
    """What is wrong, by the field's name."""
    if draft.way == "everyone" or not draft.percent:
        return {}
    fits = SHARE.fullmatch(draft.percent) and LEAST_PERCENT <= float(draft.percent) <= MOST_PERCENT
    return {} if fits else {"percent": f"a percent from {LEAST_PERCENT} to {MOST_PERCENT}"}


def promote(version: ModelVersion, snapshot: Snapshot, draft: Draft | None = None) -> Act:
    """Turn a version into a release; its name is asked for where it meets the whole fleet at once.

    `draft` has no problems; without one the act asks for the way.
    """
    task = task_of(version, snapshot)
    chosen = draft or usual(task)
    reach = reach_of(version, snapshot, percent_of(chosen, task))
    return Act(
        title=f"Promote version {version.number}",
        verb="Promote",
        words=("promote", str(version.number), *options(chosen, task)),
        consequences=(
            f"promote {version.number} → {reach}",
            f"Version {version.number} is exported and tested against the gates of {version.task}.",
            "If every gate passes it is signed and offered; if one fails, nothing changes.",
            *_afterwards(version, snapshot, chosen, task, reach),
        ),
        typed="" if reach.staged else f"v{version.number}",
        asks=partial(_dialog, version, task, snapshot) if task and draft is None else None,
    )


def task_of(version: ModelVersion, snapshot: Snapshot) -> Task | None:
    """The task that a version was trained for."""
    return next((task for task in snapshot.tasks if task.name == version.task), None)


def percent_of(draft: Draft, task: Task | None) -> float:
    """How much of the fleet gets the release first."""
    if draft.way == "everyone":
        return 100.0
    return float(draft.percent) if draft.percent else terms_of(task).stages[0]


def options(draft: Draft, task: Task | None) -> tuple[str, ...]:
    """The options that say it, without those that the task makes needless."""
    declared = task is not None and task.rollout is not None
    if draft.way == "everyone":
        return ("--all",) if declared else ()
    percent = draft.percent or ("" if declared else f"{terms_of(task).stages[0]:g}")
    return (*(("--percent", percent) if percent else ()), *(("--shadow",) if draft.way == "shadow" else ()))


def _afterwards(
    version: ModelVersion, snapshot: Snapshot, draft: Draft, task: Task | None, reach: Reach
) -> tuple[str, ...]:
    """What comes after the first stage, or that there is none."""
    if not reach.staged:
        return ("There are no stages: whoever looks next has it. `w` signs the one before anew.",)
    shadow = draft.way == "shadow" or terms_of(task).shadow
    looks = looking_on(version, snapshot, reach.percent) if shadow else ""
    return tuple(said for said in (looks, rests(task, reach.percent)) if said)


def _dialog(version: ModelVersion, task: Task, snapshot: Snapshot, home: Path) -> "PromoteDialog":
    from server.tui.promotedialog import PromoteDialog

    return PromoteDialog(version, task, snapshot, home)
