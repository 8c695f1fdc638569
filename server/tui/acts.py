"""What a key would do: the command that does it, and what will happen, in words, before it happens."""

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.records import Device, Run
from server.tui.watcher import Snapshot
from server.tui.words import plural
from shared.models import ModelVersion, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One command with its consequences. `words` follow `covey --home DIR`."""

    title: str
    verb: str
    words: tuple[str, ...]
    consequences: tuple[str, ...]
    danger: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended: its exit code, and the last line that it wrote."""

    code: int
    said: str


Runner = Callable[[Sequence[str]], Awaitable[Ran]]
"""Runs `covey` with these arguments; tests put their own here."""


async def run_covey(arguments: Sequence[str]) -> Ran:
    """Run the command line of this very installation in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    said = [text for text in (err if process.returncode else out or err).decode(errors="replace").splitlines() if text]
    return Ran(code=process.returncode or 0, said=said[-1] if said else "")


def arguments_of(act: Act, home: Path) -> tuple[str, ...]:
    """The arguments of `covey` for an act."""
    return ("--home", str(home), *act.words)


def command_line(act: Act, home: Path) -> str:
    """The command as a person would type it, and as it is run."""
    return shlex.join(["covey", *arguments_of(act, home)])


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
    """Shut a device out."""
    return Act(
        title=f"Revoke {device.name}",
        verb="Revoke",
        words=("revoke", device.name),
        consequences=(
            f"The next request of {device.name} is refused. It keeps the model it has, and predicts offline.",
            "What it has spent stays spent; versions that it helped to train stay as they are.",
        ),
        danger=True,
    )


def promote(version: ModelVersion, snapshot: Snapshot) -> Act:
    """Turn a version into a release."""
    fleet = sum(device.state == "approved" for device in snapshot.devices)
    return Act(
        title=f"Promote version {version.number}",
        verb="Promote",
        words=("promote", str(version.number)),
        consequences=(
            f"Version {version.number} is exported and tested against the gates of {version.task}.",
            f"If every gate passes it is signed and offered to {plural(fleet, 'device')}; if one fails, nothing changes.",
        ),
    )


def withdraw(release: Release) -> Act:
    """Take a release back by publishing older weights above it."""
    return Act(
        title=f"Withdraw release {release.number}",
        verb="Withdraw",
        words=("withdraw", str(release.number)),
        consequences=(
            f"The weights before release {release.number} are signed again, as a newer release.",
            "Devices move to it when they next look; a release's number never goes back.",
        ),
        danger=True,
    )
