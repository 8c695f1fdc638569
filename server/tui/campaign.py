"""The campaign that the start dialog describes: checked field by field, priced, and put as a command."""

from dataclasses import dataclass, replace
from datetime import datetime

from server.tui.acts import Act
from server.tui.figures import ENDED
from server.spending import campaign_event, epsilon, merged
from server.tui.watcher import Snapshot
from server.tui.words import plural
from shared.tasks import Task, Window

MOST_ROUNDS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the dialog's fields hold, as typed."""

    rounds: str
    start: str
    end: str
    quorum: str


def fleet_size(snapshot: Snapshot) -> int:
    """How many devices can be asked."""
    return sum(device.state == "approved" for device in snapshot.devices)


def free_tasks(snapshot: Snapshot) -> tuple[Task, ...]:
    """The tasks that no run is working on; the coordinator takes one run a task at a time."""
    busy = {run.task for run in snapshot.runs if run.state not in ENDED}
    return tuple(task for task in snapshot.tasks if task.name not in busy)


def problems(draft: Draft, fleet: int) -> dict[str, str]:
    """What is wrong, by the field's name."""
    found = {
        "rounds": _whole(draft.rounds, MOST_ROUNDS),
        "start": _date(draft.start),
        "end": _date(draft.end),
        "quorum": _whole(draft.quorum, max(1, fleet)),
    }
    if not found["start"] and not found["end"] and draft.start and draft.end:
        found["end"] = _order(draft.start, draft.end)
    return {field: text for field, text in found.items() if text}


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
    dated = ("--window", f"{draft.start}..{draft.end}") if draft.start or draft.end else ()
    fleet = fleet_size(snapshot)
    return Act(
        title="Start rounds",
        verb="Start",
        words=("start", task.name, "--rounds", draft.rounds, "--quorum", draft.quorum, *dated, "--detach"),
        consequences=(
            f"{plural(int(draft.rounds), 'round')} over {window}; the rows never leave their devices.",
            f"{plural(fleet, 'device')} asked in each; a round counts once {draft.quorum} answered.",
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
