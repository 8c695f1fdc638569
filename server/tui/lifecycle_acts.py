"""The acts of a version's life after training, each with how far it reaches: rollouts, and campaigns that a policy asks for."""

from server.records import Decision
from server.tui.commands import Act
from server.tui.rolling import Rolling
from server.tui.words import plural
from shared.tasks import Task


def pause(found: Rolling) -> Act:
    """Keep a rollout where it is; letting it go on undoes that."""
    return Act(
        undo=resume(found),
        title=f"Pause release {found.release.number}",
        verb="Pause",
        words=("rollout", "pause", found.task.name),
        consequences=(
            f"Release {found.release.number} stays with {_share(found)}; no further stage opens by itself.",
            "Devices that run it go on running it. `covey rollout resume` lets it go on.",
        ),
    )


def resume(found: Rolling) -> Act:
    """Let a paused rollout go on."""
    return Act(
        title=f"Resume release {found.release.number}",
        verb="Resume",
        words=("rollout", "resume", found.task.name),
        consequences=(
            f"Release {found.release.number} stays with {_share(found)} until the next stage may open.",
            "From then on stages open, and a failing release halts, by themselves.",
        ),
    )


def advance(found: Rolling) -> Act:
    """Open the next stage now, or complete the last one."""
    stage, here, number = found.following, found.here, found.release.number
    unmet = tuple(f"Not so yet: {condition.words}." for condition in found.conditions if condition.state != "met")
    title, goes = f"Complete release {number}", "is for everyone from now on, also for devices that join later"
    if stage is not None:
        more = max(0, stage.devices - (here.devices if here else 0))
        title = f"Advance release {number} to {stage.percent:g} %"
        goes = f"goes to {plural(more, 'more device')}: {stage.devices} of {len(found.fleet)}"
    return Act(
        title=title,
        verb="Advance" if stage else "Complete",
        words=("rollout", "advance", found.task.name),
        consequences=(
            f"Release {number} {goes}.",
            *unmet,
            "`H` halts it, and devices go back when they next look.",
        ),
    )


def halt(found: Rolling) -> Act:
    """Take a release away from everyone."""
    back = found.release.fallback
    goes = f"go back to release {back}" if back else "are left without a release"
    return Act(
        title=f"Halt release {found.release.number}",
        verb="Halt",
        words=("rollout", "halt", found.task.name),
        consequences=(
            f"The {plural(found.reached, 'device')} that run release {found.release.number} {goes} when they next look.",
            "A halted rollout does not go on; promote another version to try again.",
        ),
        danger=True,
        typed=f"v{found.release.version}",
    )


def accept(task: Task, decision: Decision, *, fleet: int) -> Act:
    """Start the campaign that the policy asks for."""
    terms = task.retraining
    days = f"the last {plural(terms.window_days, 'day')}" if terms else "the task's window"
    return Act(
        title=f"Retrain {task.name}",
        verb="Accept",
        words=("retrain", task.name, "--accept"),
        consequences=(
            f"A campaign starts: {plural(task.training.rounds, 'round')} over {days}, {plural(fleet, 'device')} asked.",
            f"Why it is asked: {decision.why}.",
            "The devices' rows stay where they are; each charges its ledger before it answers.",
        ),
    )


def decline(task: Task, decision: Decision) -> Act:
    """Tell the policy no."""
    return Act(
        title=f"Do not retrain {task.name}",
        verb="Decline",
        words=("retrain", task.name, "--decline"),
        consequences=(
            f"No campaign starts on this alarm: {decision.why}.",
            "What is now counts as usual from here on; the policy asks again when it alarms anew.",
        ),
    )


def _share(found: Rolling) -> str:
    share = found.here.percent if found.here else 0
    return f"{plural(found.reached, 'device')}, {share:g} % of the fleet"
