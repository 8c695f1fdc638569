"""From what an operator typed to a request that can be queued; refused here rather than by every device."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from server import choices
from server.heldout import default_window, learned, require_held_out
from server.history import is_collected
from server.planfile import CHANGED, PlanFile, fingerprint, with_numbers
from server.records import CampaignRequest, EvaluationRequest, SurveyRequest
from server.shadow import surveyed
from server.spending import noise_of
from server.store import Store
from shared import wire
from shared.aggregation import Aggregation
from shared.drift import SurveyRole
from shared.errors import InputError, WireError
from shared.modes import Distributed, Mode
from shared.secure import fewest
from shared.tasks import Task, Window
from shared.training import Training


def campaign(
    store: Store, task: Task, *, window: Window, training: Training, base_version: int | None,
    quorum: int | None, cohort: int | None, deadline_seconds: float, mode: Mode = "local", reserve: bool = False,
) -> CampaignRequest:  # fmt: skip
    """A campaign from the newest version unless another is named; by default all devices are asked, two thirds enough.

    Raise `InputError` if no device could accept it.
    """
    asked = fleet_size(store) if cohort is None else cohort
    enough = max(1, -(-2 * asked // 3)) if quorum is None else quorum
    if not 1 <= enough <= asked:
        raise InputError(f"quorum must lie between 1 and the cohort of {asked}, got {enough}")
    check_terms(task, training, mode)
    _check_votes(store, training, asked)
    if task.distributed and mode == "distributed":
        _check_cohort(task.distributed, asked, task.name)
        _check_roster(store, asked)
    return CampaignRequest(
        task=task.name, window=window, training=training, base_version=base_of(store, task, base_version),
        quorum=enough, cohort=asked, deadline_seconds=deadline_seconds, mode=mode, reserve=reserve,
    )  # fmt: skip


def from_plan(
    store: Store, plan: PlanFile, *, base_version: int | None, cohort: int | None = None, quorum: int | None = None
) -> CampaignRequest:
    """The campaign of a plan file, from the newest version unless another is named; `cohort` and `quorum` replace its own.

    Raise `InputError` if the plan is not of the task that is published here, or asks more devices than there are.
    """
    task = _planned_task(store, plan)
    asked, fleet = with_numbers(plan, cohort=cohort, quorum=quorum), fleet_size(store)
    if asked.cohort > fleet:
        enough = max(1, -(-fleet * plan.quorum // plan.cohort))
        raise InputError(
            f"the plan asks {asked.cohort} devices in a round, and {fleet} are approved here; `--cohort {fleet} --quorum "
            f"{enough}` beside --plan takes fewer, which is no longer exactly what was rehearsed"
        )
    checked = campaign(
        store, task, window=asked.window, training=asked.training, base_version=base_version, quorum=asked.quorum,
        cohort=asked.cohort, deadline_seconds=asked.deadline_seconds, mode=asked.mode, reserve=asked.reserve,
    )  # fmt: skip
    return replace(checked, plan=plan.sha256 + (CHANGED if asked != plan else ""))


def _planned_task(store: Store, plan: PlanFile) -> Task:
    """The published task that a plan is of; raise `InputError` where it is another."""
    task = store.task(plan.task)
    if task.revision != plan.revision:
        raise InputError(
            f"the plan is of {task.name!r}, revision {plan.revision}, and revision {task.revision} is published here; "
            "rehearse it with that revision's task file, and save another plan"
        )
    if (here := fingerprint(task)) != plan.fingerprint:
        raise InputError(
            f"the plan was rehearsed with another {task.name!r}, revision {task.revision}, than is published here "
            f"(fingerprint {plan.fingerprint[:12]}, here {here[:12]}); rehearse it with the published task file"
        )
    training_in(task, plan.mode)
    return task


def survey(
    store: Store, task: Task, *, window: Window, role: SurveyRole, features: bool, quorum: int | None,
    deadline_seconds: float, shadow: bool = False,
) -> SurveyRequest:  # fmt: skip
    """A survey about the release in force; raise `InputError` if there is none.

    With `shadow`, of how often the newest release agrees with the one that it gives way to, where it is tried beside that.
    """
    before, beside = surveyed(store, task, shadow=shadow)
    if before is None:
        raise InputError(f"task {task.name!r} has no release to survey; `covey promote` makes one")
    if before.revision != task.revision:
        raise InputError(
            f"release {before.number} answers revision {before.revision} of {task.name!r}, which is at revision "
            f"{task.revision} now: promote a version of it first"
        )
    fleet = fleet_size(store)
    enough = max(1, -(-fleet // 2)) if quorum is None else quorum
    asked = SurveyRequest(
        task=task.name, release=before.number, window=window, role=role, features=features,
        quorum=enough, deadline_seconds=deadline_seconds, contract=features and bool(task.contract.rules),
        outcomes=features and task.drift.outcome_noise_multiplier is not None,
        shadow=beside.number if beside else None,
    )  # fmt: skip
    return replace(asked, noise=noise_of(asked, task))


def evaluation(
    store: Store, task: Task, *, version: int | None, window: Window | None, quorum: int | None, deadline_seconds: float
) -> EvaluationRequest:
    """An evaluation of the newest version unless another is named, by default on all rows after the last it learned.

    Raise `InputError` if the task allows none, or the version has learned rows of the window.
    """
    if task.evaluation is None:
        raise InputError(
            f"task {task.name!r} has no [evaluation] table, so devices would refuse; sign a revision with one"
        )
    number = base_of(store, task, version)
    require_kept(store, number)
    known = learned(store.version(number), store.versions(task.name), store.runs())
    asked = default_window(known) if window is None else window
    require_held_out(task, number, asked, known)
    enough = max(1, -(-fleet_size(store) // 2)) if quorum is None else quorum
    return EvaluationRequest(
        task=task.name, version=number, window=asked, noise_multiplier=task.evaluation.noise_multiplier,
        quorum=enough, deadline_seconds=deadline_seconds,
    )  # fmt: skip


def require_kept(store: Store, number: int) -> None:
    """Raise `InputError` for a version whose weights were dropped: nobody can be asked about it."""
    if is_collected(store.version(number).weights_sha256, store.blob_sizes()):
        raise InputError(
            f"the weights of version {number} were collected by `covey models gc`, so it cannot be evaluated"
        )


def _check_votes(store: Store, training: Training, asked: int) -> None:
    """Refuse a rule whose rounds hostile devices could end by staying away."""
    rule = training.aggregation or Aggregation()
    owners = {each.owner or f"device {each.name}" for each in store.devices() if each.state == "approved"}
    votes = min(asked, len(owners)) if rule.by_owner else asked
    if votes < rule.smallest_cohort:
        raise InputError(
            f"{rule} takes {rule.smallest_cohort} votes or more, so that hostile ones cannot end rounds by staying away; "
            f"{votes} can be asked"
        )


def _check_cohort(terms: Distributed, asked: int, name: str) -> None:
    if (sure := fewest(terms, asked)) < terms.min_cohort:
        raise InputError(
            f"{asked} devices make sure of a sum of {sure}, and {name!r} promises sums of {terms.min_cohort} or more; "
            "ask a larger cohort"
        )


def _check_roster(store: Store, asked: int) -> None:
    """Refuse a cohort that the newest roster does not name: nobody would be summed with the others."""
    roster, keys = store.roster(), {each.name: each.public_key for each in store.devices() if each.state == "approved"}
    named = sum(roster.devices.get(name, "").encode() == key for name, key in keys.items()) if roster else 0
    if named < asked:
        raise InputError(
            f"the roster names {named} of the {len(keys)} approved devices, and a sum is of these alone; `covey roster` signs a "
            f"newer one, or ask a cohort of {named} at most"
        )


def training_in(task: Task, mode: Mode) -> Training:
    """How the task trains in a mode; raise `InputError` where it does not offer it."""
    found = task.training_in(mode)
    if found is None:
        raise InputError(
            f"task {task.name!r} has no [{mode}] table, so devices would refuse; sign a revision with one, or take another mode"
        )
    return found


def check_terms(task: Task, training: Training, mode: Mode) -> None:
    """Raise `InputError` for a training that protects less than the signed task promises in this mode."""
    terms = task.terms_of(mode)
    if terms is None:
        check_ceiling(task, training)
    elif training.noise_multiplier < terms.min_noise_multiplier:
        raise InputError(f"noise_multiplier must be at least {terms.min_noise_multiplier} for {mode} {task.name!r}")
    elif training.max_grad_norm > task.privacy.max_grad_norm:
        raise InputError(f"max_grad_norm must be at most {task.privacy.max_grad_norm} for task {task.name!r}")
    if mode != "local" and training.compression:
        raise InputError(
            f"only updates that carry their whole noise are compressed; leave compression out in {mode} mode"
        )
    if mode != "local" and training.aggregation and training.aggregation.sees_each:
        raise InputError(f"{training.aggregation} must see updates one by one; in {mode} mode take the mean")


def overridden(training: Training, settings: Sequence[str], *, rounds: int | None) -> Training:
    """The task's training with `NAME=VALUE` settings put in place of its own; raise `InputError` for a bad one."""
    changes = dict(_setting(text) for text in settings)
    if rounds is not None:
        changes["rounds"] = rounds
    try:
        return wire.decode(Training, {**wire.encode(training), **changes}, what="training")
    except WireError as error:
        raise InputError(str(error)) from None


def base_of(store: Store, task: Task, number: int | None) -> int:
    """The version to start from: the one named, or the newest of the task's revision."""
    versions = [version for version in store.versions(task.name) if version.revision == task.revision]
    if number is None and versions:
        return versions[-1].number
    if number in {version.number for version in versions}:
        return int(number or 0)
    raise InputError(f"version {number} is not one of task {task.name!r}, revision {task.revision}; see `covey models`")


def fleet_size(store: Store) -> int:
    """How many devices are approved; raise `InputError` if none is."""
    approved = sum(device.state == "approved" for device in store.devices())
    if not approved:
        raise InputError("no device is approved yet; `covey fleet` shows who waits, `covey approve NAME` lets one in")
    return approved


def check_ceiling(task: Task, training: Training) -> None:
    """Raise `InputError` for training that protects less than the signed task promises."""
    ceiling = task.privacy
    if training.noise_multiplier < ceiling.min_noise_multiplier:
        raise InputError(f"noise_multiplier must be at least {ceiling.min_noise_multiplier} for task {task.name!r}")
    limits = ("sample_rate", ceiling.max_sample_rate), ("steps", ceiling.max_steps)
    for name, most in (*limits, ("max_grad_norm", ceiling.max_grad_norm)):
        if getattr(training, name) > most:
            raise InputError(f"{name} must be at most {most} for task {task.name!r}; devices would refuse")


_CHOICES: dict[str, Callable[[str], object]] = {
    "compression": choices.compression, "aggregation": choices.aggregation, "strategy": str
}  # fmt: skip


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    known = {field.name for field in fields(Training)}
    if not equals or name not in known:
        raise InputError(f"a setting is NAME=VALUE with a name of {sorted(known)}, got {text!r}")
    if name in _CHOICES:
        return name, _CHOICES[name](value)
    try:
        return name, int(value) if value.lstrip("-").isdigit() else float(value)
    except ValueError:
        raise InputError(f"{name} must be a number, got {value!r}") from None
