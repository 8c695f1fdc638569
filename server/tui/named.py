"""The act that a line names: `promote 21`, `revoke EWR-B6 EWR-DL`, `halt flights`."""

from collections.abc import Sequence
from typing import TypeVar

from server.tui import acts, promoting
from server.tui.commands import Act
from server.tui.rolling import rolling
from server.tui.rollouts import OFFERS
from server.tui.watcher import Snapshot
from shared.errors import InputError

T = TypeVar("T")


def act_of(name: str, rest: Sequence[str], snapshot: Snapshot, now: float) -> Act:
    """The act that a line names; raise `InputError` where it is about nothing that there is."""
    if name == "run":
        return acts.run_command(rest)
    if name == "stop":
        return found(acts.stop_of(snapshot), "no run is under way")
    if name in {"approve", "revoke"}:
        return found(acts.together([_on_device(name, each, snapshot) for each in rest], "device"), "name a device")
    if name == "promote":
        version = next((v for v in snapshot.versions if str(v.number) == rest[0].removeprefix("v")), None)
        return promoting.promote(found(version, f"there is no version {rest[0]}"), snapshot)
    if name == "withdraw":
        release = next((r for r in snapshot.releases if str(r.number) == rest[0].removeprefix("r")), None)
        return acts.withdraw(found(release, f"there is no release {rest[0]}"), snapshot)
    return _on_rollout(name, rest[0], snapshot, now)


def _on_device(name: str, device: str, snapshot: Snapshot) -> Act:
    one = found(next((d for d in snapshot.devices if d.name == device), None), f"no device is called {device!r}")
    if name == "approve" and one.state != "pending":
        raise InputError(f"{device} does not wait for approval; it is {one.state}")
    if name == "revoke" and one.state == "revoked":
        raise InputError(f"{device} is revoked already")
    return acts.approve(one) if name == "approve" else acts.revoke(one)


def _on_rollout(name: str, task: str, snapshot: Snapshot, now: float) -> Act:
    one = found(next((t for t in snapshot.tasks if t.name == task), None), f"no task is called {task!r}")
    way = found(rolling(one, snapshot, now), f"task {task!r} has no release yet")
    phases, make = OFFERS[name]
    if way.phase not in phases:
        raise InputError(f"release {way.release.number} of {task!r} is {way.phase}; nothing there to {name}")
    if name == "advance" and way.following is None:
        raise InputError(f"release {way.release.number} of {task!r} is at its last stage")
    return make(way)


def found(value: T | None, missing: str) -> T:
    """What is there; raise `InputError` with the reason otherwise."""
    if value is None:
        raise InputError(missing)
    return value
