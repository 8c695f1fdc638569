"""What a key would do: the command that does it, and what will happen, in words, before it happens."""

from collections.abc import Sequence

from server.records import Device, Run
from server.tui.commands import Act
from server.tui.figures import ENDED, current_run
from server.tui.watcher import Snapshot
from server.tui.words import plural
from shared.models import Release

__all__ = ["Act", "approve", "revoke", "run_command", "stop", "stop_of", "together", "withdraw"]

MOST_NAMED = 6
"""So many are named in a dialog, the rest counted."""


def stop(run: Run) -> Act:
    """End a run after the round that is under way."""
    return Act(
        title=f"Stop run {run.id}",
        verb="Stop",
        words=("stop", str(run.id)),
        consequences=(
            "The round under way is given up; every round committed so far stays.",
            "Devices that trained in it already keep that charge.",
            "A new campaign continues from the last committed version.",
        ),
        danger=True,
    )


def stop_of(snapshot: Snapshot) -> Act | None:
    """Stopping the run under way, if there is one that is not stopping already."""
    run = current_run(snapshot.runs)
    return stop(run) if run and run.state not in (*ENDED, "stopping") else None


def approve(device: Device) -> Act:
    """Let a device take part."""
    return Act(
        title=f"Approve {device.name}",
        verb="Approve",
        words=("approve", device.name),
        consequences=(
            f"{device.name} may take part in rounds and surveys, and receives releases.",
            "The roster key signs its public key. Only approve a device that you expect.",
        ),
    )


def revoke(device: Device) -> Act:
    """Shut a device out, for good."""
    return Act(
        title=f"Revoke {device.name}",
        verb="Revoke",
        words=("revoke", device.name),
        consequences=(
            f"The next request of {device.name} is refused. It keeps the model it has, and predicts offline.",
            "What it has spent stays spent; versions that it helped to train stay as they are.",
        ),
        danger=True,
        typed=device.name,
    )


def withdraw(release: Release, snapshot: Snapshot) -> Act:
    """Take a release back by publishing older weights above it; its version cannot be promoted again."""
    running = sum(device.release == release.number and device.state == "approved" for device in snapshot.devices)
    return Act(
        title=f"Withdraw release {release.number}",
        verb="Withdraw",
        words=("withdraw", str(release.number)),
        consequences=(
            f"withdraw {release.number} → {plural(running, 'device')} that said last they run it",
            f"The weights before release {release.number} are signed again, as a newer release.",
            "Devices move to it when they next look; a release's number never goes back.",
            f"Version {release.version} is withdrawn for good; only another can be promoted.",
        ),
        danger=True,
        typed=f"v{release.version}",
    )


def run_command(words: Sequence[str]) -> Act:
    """Any command of `covey`, as a person typed it."""
    return Act(
        title=f"Run covey {words[0]}",
        verb="Run",
        words=tuple(words),
        consequences=("The command runs as if typed in a shell; its last line is shown here.",),
    )


def together(acts: Sequence[Act], noun: str) -> Act | None:
    """The same act on several rows, one after the other; the first that fails ends it."""
    if len(acts) < 2:
        return acts[0] if acts else None
    first = acts[0]
    names = [act.words[1] for act in acts]
    others = len(names) - MOST_NAMED
    listed = ", ".join(names[:MOST_NAMED]) + (f" and {others} more" if others > 0 else "")
    return Act(
        title=f"{first.verb} {plural(len(acts), noun)}",
        verb=first.verb,
        words=first.words,
        also=tuple(act.words for act in acts[1:]),
        consequences=(f"{first.verb.lower()} {plural(len(acts), noun)} → {listed}", *first.consequences[1:]),
        danger=first.danger,
        typed=str(len(acts)) if first.typed else "",
    )
