"""A campaign in a file: what was rehearsed is what runs in deployment, known by its hash.

It holds all that a `CampaignRequest` has but the version to start from, which is the federation's own; and the task's
fingerprint, because a name and a revision could be another task's elsewhere.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.records import CampaignRequest
from shared import wire
from shared.errors import InputError, WireError
from shared.files import write_whole
from shared.modes import Mode
from shared.tasks import Task, Window
from shared.training import Training

CHANGED = " changed"
"""What stands behind a hash where an operator put numbers of their own in place of the plan's."""

_NAME, _FINGERPRINT = re.compile("[a-z0-9][a-z0-9-]*"), re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """One campaign: of which task, on which rows, how it trains, and whom it asks for how long.

    `fingerprint` is the SHA-256 of the task's canonical JSON, as owners agree to it. `window` is in ISO dates.
    """

    task: str
    revision: int
    fingerprint: str
    mode: Mode
    cohort: int
    quorum: int
    deadline_seconds: float
    reserve: bool
    window: Window
    training: Training

    def __post_init__(self) -> None:
        """Refuse a campaign that nobody could conduct."""
        if not (_NAME.fullmatch(self.task) and _FINGERPRINT.fullmatch(self.fingerprint) and self.revision >= 1):
            raise ValueError("a plan names its task, a revision from 1 on, and a fingerprint of 64 hexadecimal digits")
        if not 1 <= self.quorum <= self.cohort:
            raise ValueError(f"quorum must lie between 1 and the cohort of {self.cohort}, got {self.quorum}")
        if not self.deadline_seconds > 0:
            raise ValueError(f"deadline_seconds must be positive, got {self.deadline_seconds}")

    @property
    def sha256(self) -> str:
        """What reports call this plan by: 64 hexadecimal digits that equal plans share, whatever their files look like."""
        # Read back first: a whole number may stand for a float here, and is one in the file.
        return hashlib.sha256(wire.to_json(wire.decode(PlanFile, wire.encode(self)))).hexdigest()

    def request(self, *, base_version: int) -> CampaignRequest:
        """The campaign from a version of the federation's own; it carries the plan's hash."""
        return CampaignRequest(
            task=self.task, window=self.window, training=self.training, base_version=base_version, quorum=self.quorum,
            cohort=self.cohort, deadline_seconds=self.deadline_seconds, mode=self.mode, reserve=self.reserve,
            plan=self.sha256,
        )  # fmt: skip


def plan_of(task: Task, request: CampaignRequest) -> PlanFile:
    """The plan that a campaign of `task` follows."""
    return PlanFile(
        task=task.name, revision=task.revision, fingerprint=fingerprint(task), mode=request.mode, cohort=request.cohort,
        quorum=request.quorum, deadline_seconds=request.deadline_seconds, reserve=request.reserve, window=request.window,
        training=request.training,
    )  # fmt: skip


def fingerprint(task: Task) -> str:
    """What an owner agrees to, as 64 hexadecimal digits: the same as `client.policy.fingerprint`."""
    return hashlib.sha256(wire.to_json(task)).hexdigest()


def read_plan(path: Path) -> PlanFile:
    """Read a plan file; raise `InputError` naming the file and the field."""
    try:
        return wire.from_toml(PlanFile, path.read_bytes(), what="plan")
    except OSError as error:
        raise InputError(f"plan file {path} cannot be read: {error.strerror or error}") from None
    except WireError as error:
        raise InputError(f"plan file {path}: {error}") from None


def write_plan(path: Path, plan: PlanFile) -> None:
    """Write a plan for people and `read_plan`, whole or not at all; raise `InputError` if it cannot be written."""
    try:
        write_whole(path, render(plan).encode())
    except OSError as error:
        raise InputError(f"plan file {path} cannot be written: {error.strerror or error}") from error


def render(plan: PlanFile) -> str:
    """The plan as TOML, with what a person should know beside each part."""
    return f"""\
# A campaign as it was rehearsed. `covey start --plan FILE` runs exactly this, from the newest version there, and names
# this plan in its reports: {plan.sha256}

task = {_value(plan.task)}
revision = {plan.revision}
fingerprint = {_value(plan.fingerprint)}  # the task's content; another task of this name is refused

mode = {_value(plan.mode)}  # who adds the noise: "local" each device, "distributed" each a share, "central" the coordinator
cohort = {plan.cohort}  # devices asked in a round
quorum = {plan.quorum}  # how many must answer
deadline_seconds = {plan.deadline_seconds!r}  # how long they have
reserve = {_value(plan.reserve)}  # true: devices pay for all rounds before the first

# Only rows of these days are learned from; the end is not included, and empty text means no bound.
[window]
{_lines(wire.encode(plan.window))}
# How the campaign trains; with the mode, this decides what it costs a device. All of it is public.
[training]
{_lines(wire.encode(plan.training), "training")}"""


def _lines(table: Mapping[str, Any], name: str = "") -> str:
    """A table's values, then the tables inside it under their full names."""
    return "".join(f"{line}\n" for line in _each(table, name))


def _each(table: Mapping[str, Any], name: str) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    yield from (f"{key} = {_value(value)}" for key, value in table.items() if key not in inner)
    for key, value in inner.items():
        yield f"\n[{name}.{key}]"
        yield from _each(value, f"{name}.{key}")


def _value(value: object) -> str:
    """A TOML value: text and flags as JSON has them, but for a control character; floats by their shortest digits."""
    if isinstance(value, (str, bool)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(float(value) if isinstance(value, float) else value)


def with_numbers(plan: PlanFile, *, cohort: int | None, quorum: int | None) -> PlanFile:
    """The plan with an operator's own cohort or quorum; raise `InputError` where they contradict each other."""
    given = {"cohort": cohort, "quorum": quorum}
    try:
        return dataclasses.replace(plan, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise InputError(str(error)) from None
