"""The campaign that the start dialog describes: checked field by field, priced, and put as a command."""

from dataclasses import dataclass, replace
from datetime import datetime

from server.answers import answers, campaigns_in, in_words
from server.calculator import MOST_ROUNDS, most_rounds
from server.costs import campaign_cost
from server.modewords import HOLDS
from server.spending import campaign_event, epsilon, merged
from server.tui.acts import Act
from server.tui.figures import ENDED
from server.tui.watcher import Snapshot
from server.tui.words import plain, plural
from shared.enrolment import BUCKETS
from shared.modes import Mode
from shared.privacy import Cost
from shared.tasks import Task, Window

MOST_SECONDS = 86_400
DEADLINE = "300"
"""Seconds, as `covey start` has it by itself."""

MODES: dict[Mode, str] = {
    "local": "local · each device adds all of its noise",
    "distributed": "distributed · each adds a share; takes a signed roster",
    "central": "central · the coordinator adds it, and is trusted to",
}


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
    mode: Mode = "local"


def modes(task: Task) -> list[tuple[str, Mode]]:
    """The modes that a task offers, as they read."""
    return [(words, mode) for mode, words in MODES.items() if task.training_in(mode)]


def usual_rounds(task: Task, mode: Mode) -> str:
    """How many rounds the task has in a mode."""
    return str((task.training_in(mode) or task.training).rounds)


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
        "rounds": _whole(draft.rounds, MOST_ROUNDS) or _unpriced(task, draft),
        **window_problems(draft.start, draft.end),
        "base": _version(draft.base, versions_of(task, snapshot)),
        "cohort": _whole(draft.cohort, fleet) or _too_few(task, draft),
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


def _unpriced(task: Task, draft: Draft) -> str:
    """Why so many rounds cannot be accounted for, if they cannot."""
    try:
        cost_of(task, draft.mode, int(draft.rounds))
    except ValueError as error:
        return str(error)
    return ""


def _too_few(task: Task, draft: Draft) -> str:
    least = task.distributed.min_cohort if draft.mode == "distributed" and task.distributed else 1
    return f"at least {least}, for a sum" if int(draft.cohort) < least else ""


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


def room(task: Task, mode: Mode) -> str:
    """How many rounds the signed ceiling covers, for the hint beside them."""
    try:
        most = most_rounds(task, lambda training: campaign_cost(task, mode, training), mode)
    except ValueError:
        return "each makes one version"
    return f"each makes one version; ε {plain(task.privacy.epsilon)} covers {most}"


def cost_of(task: Task, mode: Mode, rounds: int) -> Cost:
    """What so many rounds of a mode cost; raise `ValueError` where that cannot be said."""
    return campaign_cost(task, mode, replace(task.training_in(mode) or task.training, rounds=rounds))


def start(task: Task, draft: Draft, snapshot: Snapshot) -> Act:
    """The act of a draft that has no problems."""
    window = Window(start=draft.start, end=draft.end)
    rest = [
        *(("--mode", draft.mode) if draft.mode != "local" else ()),
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
            *price(task, draft, snapshot),
        ),
    )


def price(task: Task, draft: Draft, snapshot: Snapshot) -> tuple[str, ...]:
    """What the campaign costs a row of a device, against whom that holds, who could not pay, and what owners say of it."""
    cost = cost_of(task, draft.mode, int(draft.rounds))
    delta, ceiling = task.privacy.delta, task.privacy.epsilon
    alone = f"Costs each device at most ε {epsilon(merged(cost.record), delta):.2f} by itself, at δ {delta:g}."
    held = () if draft.mode == "local" else (f"That is for each row, {HOLDS[cost.trust]}.",)
    after = {each.device: epsilon(merged([*each.events, *cost.record]), delta) for each in snapshot.charges[task.name]}
    if not after:
        return alone, *held
    name, most = max(after.items(), key=lambda item: item[1])
    unable = sum(epsilon > ceiling for epsilon in after.values())
    told = f"Then {name}, the most spent, stands at ε {most:.2f} of {plain(ceiling)}."
    if unable:
        told = (
            f"▲ {unable} of {plural(len(after), 'device')} would pass ε {plain(ceiling)}; they refuse when it is spent."
        )
    return alone, *held, told, *afforded(task, cost, snapshot)


def afforded(task: Task, cost: Cost, snapshot: Snapshot) -> tuple[str, ...]:
    """How many of the devices whose owners tell can afford the campaign; nothing where none does, or none could say."""
    own = campaign_event(task.training)
    needed = max(campaigns_in(event, own) for event in cost.record)
    able, told = answers(snapshot.devices, task.name, campaigns=needed)
    if not told or needed > max(BUCKETS.values()):
        return ()
    if told == 1:
        return (f"The one device whose owner answers can{'' if able else 'not'} afford it.",)
    return (f"Of the {told} devices whose owners answer, {in_words(able, told)} can afford it.",)
