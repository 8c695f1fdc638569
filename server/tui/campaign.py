"""The campaign that the start dialog describes: checked field by field, priced, and put as a command."""

from dataclasses import dataclass, replace
from datetime import datetime

from server.spending import campaign_event, epsilon, merged
from server.tui.acts import Act
from server.tui.figures import ENDED
from server.tui.watcher import Snapshot
from server.tui.words import plural
from shared.tasks import Task, Window

MOST_ROUNDS = 10_000
MOST_SECONDS = 86_400
DEADLINE = "300"
"""Seconds, as `covey start` has it by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the dialog's fields hold, as typed."""

    rounds: str
    start: str
    end: str
    base: str
    cohort: str
    quorum: str
    deadline: str


def fleet_size(snapshot: Snapshot) -> int:
    """How many devices can be asked."""
    return sum(device.state == "approved" for device in snapshot.devices)


def free_tasks(snapshot: Snapshot) -> tuple[Task, ...]:
    """The tasks that no run is working on; the coordinator takes one run a task at a time."""
    busy = {run.task for run in snapshot.runs if run.state not in ENDED}
    return tuple(task for task in snapshot.tasks if task.name not in busy)


def usual_quorum(fleet: int) -> int:
    """Two thirds of those asked, as `covey start` has it by itself."""
    return max(1, -(-2 * fleet // 3))


def newest_version(task: Task, snapshot: Snapshot) -> int:
    """The version that a campaign goes on from by itself; 0 while there is none."""
    return max(versions_of(task, snapshot), default=0)


def versions_of(task: Task, snapshot: Snapshot) -> set[int]:
    """The versions that a campaign of the task's revision can go on from."""
    return {v.number for v in snapshot.versions if (v.task, v.revision) == (task.name, task.revision)}


def problems(draft: Draft, task: Task, snapshot: Snapshot) -> dict[str, str]:
    """What is wrong, by the field's name."""
    fleet = max(1, fleet_size(snapshot))
    asked = int(draft.cohort) if not _whole(draft.cohort, fleet) else fleet
    found = {
        "rounds": _whole(draft.rounds, MOST_ROUNDS),
        **window_problems(draft.start, draft.end),
        "base": _version(draft.base, versions_of(task, snapshot)),
        "cohort": _whole(draft.cohort, fleet),
        "quorum": _whole(draft.quorum, asked),
        "deadline": _whole(draft.deadline, MOST_SECONDS),
    }
    return {field: text for field, text in found.items() if text}


def window_problems(start: str, end: str) -> dict[str, str]:
    """What is wrong with a window of rows, by the field's name."""
    found = {"start": _date(start), "end": _date(end)}
    if not any(found.values()) and start and end:
        found["end"] = _order(start, end)
    return {field: text for field, text in found.items() if text}


def dated(start: str, end: str) -> tuple[str, ...]:
    """The option that names a window, if there is one."""
    return ("--window", f"{start}..{end}") if start or end else ()


def _version(text: str, known: set[int]) -> str:
    if not text or (text.isdecimal() and int(text) in known):
        return ""
    return f"a version of this task, up to {max(known, default=0)}"


def _whole(text: str, most: int) -> str:
    if text.isdecimal() and 1 <= int(text) <= most:
        return ""
    return f"a whole number from 1 to {most}"


def _date(text: str) -> str:
    try:
        datetime.fromisoformat(text or "2000-01-01")
    except ValueError:
        return "a date such as 2013-07-01, or nothing"
    return ""


def _order(start: str, end: str) -> str:
    try:
        Window(start=start, end=end)
    except (ValueError, TypeError):
        return "must come after the start"
    return ""


def start(task: Task, draft: Draft, snapshot: Snapshot) -> Act:
    """The act of a draft that has no problems."""
    window = Window(start=draft.start, end=draft.end)
    rest = [
        *dated(draft.start, draft.end),
        *(("--from", draft.base) if draft.base else ()),
        *(("--cohort", draft.cohort) if int(draft.cohort) != fleet_size(snapshot) else ()),
        *(("--deadline", draft.deadline) if draft.deadline != DEADLINE else ()),
    ]
    return Act(
        title="Start rounds",
        verb="Start",
        words=("start", task.name, "--rounds", draft.rounds, "--quorum", draft.quorum, *rest, "--detach"),
        consequences=(
            f"{plural(int(draft.rounds), 'round')} over {window}; the rows never leave their devices.",
            f"{plural(int(draft.cohort), 'device')} asked in each; it counts if {draft.quorum} answer.",
            *price(task, int(draft.rounds), snapshot),
        ),
    )


def price(task: Task, rounds: int, snapshot: Snapshot) -> tuple[str, ...]:
    """What the campaign costs a device, and who could not pay."""
    event = campaign_event(replace(task.training, rounds=rounds))
    delta, ceiling = task.privacy.delta, task.privacy.epsilon
    alone = f"Costs each device at most ε {epsilon(merged([event]), delta):.2f} by itself, at δ {delta:g}."
    after = {each.device: epsilon(merged([*each.events, event]), delta) for each in snapshot.charges[task.name]}
    if not after:
        return (alone,)
    name, most = max(after.items(), key=lambda item: item[1])
    unable = sum(epsilon > ceiling for epsilon in after.values())
    told = f"Then {name}, the most spent, stands at ε {most:.2f} of {ceiling:g}."
    if unable:
        told = f"▲ {unable} of {plural(len(after), 'device')} would pass ε {ceiling:g}; they refuse when it is spent."
    return alone, told
