"""Whether this device takes part: decided from the public plan, the signed task and the owner's word alone.

Nothing here sees an example, so no refusal can tell of one (privacy rule 4).
"""

import hashlib
import json
from datetime import UTC, datetime

from client import clock
from client.config import AgentHome, AgentSettings
from shared import wire
from shared.drift import SurveyPlan
from shared.errors import ConsentWithheld, NotEligible, PlanTooWeak
from shared.privacy import PrivacyBudget
from shared.rounds import RoundPlan
from shared.tasks import Task

ROLES = ("root", "targets", "snapshot", "timestamp")
"""Whose expiry stops training: every role that vouches for the task."""


def check_round(plan: RoundPlan, task: Task, settings: AgentSettings) -> None:
    """Raise `NotEligible` or `PlanTooWeak` unless the plan lies within the signed task and the owner's floor."""
    _same_task(plan.task, plan.revision, task)
    privacy, floor = task.privacy, settings.floor
    _at_least("noise_multiplier", plan.noise_multiplier, max(privacy.min_noise_multiplier, floor.min_noise_multiplier))
    _at_most("sample_rate", plan.sample_rate, min(privacy.max_sample_rate, floor.max_sample_rate))
    _at_most("steps", plan.steps, min(privacy.max_steps, floor.max_steps))
    _at_most("max_grad_norm", plan.max_grad_norm, privacy.max_grad_norm)
    _at_least("normalizer", plan.normalizer, 1.0)


def check_survey(plan: SurveyPlan, task: Task, settings: AgentSettings, *, release: int) -> None:
    """Raise `NotEligible` or `PlanTooWeak` unless the survey is the task's, about the release that serves here."""
    _same_task(plan.task, plan.revision, task)
    if plan.release != release:
        raise NotEligible(f"the survey is about release {plan.release}, this device runs {release or 'none'}")
    floor = settings.floor.min_noise_multiplier
    _at_least("score_noise_multiplier", plan.score_noise_multiplier, max(task.drift.score_noise_multiplier, floor))
    _at_least(
        "feature_noise_multiplier", plan.feature_noise_multiplier, max(task.drift.feature_noise_multiplier, floor)
    )


def fingerprint(task: Task) -> str:
    """What an owner agrees to: the whole task, because its signer could sign other words under the same revision."""
    return hashlib.sha256(wire.to_json(task)).hexdigest()


def check_consent(settings: AgentSettings, *, agreed: bool) -> None:
    """Raise `ConsentWithheld` unless the owner agreed to this task and has not paused."""
    if settings.paused:
        raise ConsentWithheld("the owner has paused this agent")
    if not agreed:
        raise ConsentWithheld("the owner has not agreed to the task as it is signed now")


def check_freshness(home: AgentHome, now: datetime) -> None:
    """Raise `NotEligible` once a role of the trusted metadata has expired: a frozen federation gets no training.

    A fresh timestamp is not enough: its key is online, while the task's own signature, the targets', is not.
    """
    if behind := clock.went_back(home, now.timestamp()):
        raise NotEligible(f"this device's clock went back by {behind / 3600:.1f} h, so nothing shows what has expired")
    try:
        expires, role = min((_expiry(home, role), role) for role in ROLES)
    except (OSError, ValueError, KeyError, TypeError):
        raise NotEligible("there is no trusted metadata on this device yet") from None
    if expires <= now:
        raise NotEligible(f"the federation's signed metadata ({role}) expired at {expires:%Y-%m-%d %H:%M} UTC")


def effective_budget(settings: AgentSettings, task: Task) -> PrivacyBudget:
    """Combine what the owner granted with the task's ceiling: the stricter of the two holds."""
    return PrivacyBudget(
        epsilon=min(settings.budget.epsilon, task.privacy.epsilon), delta=min(settings.budget.delta, task.privacy.delta)
    )


def _expiry(home: AgentHome, role: str) -> datetime:
    document = json.loads((home.metadata / f"{role}.json").read_bytes())
    return datetime.fromisoformat(document["signed"]["expires"]).replace(tzinfo=UTC)


def _same_task(name: str, revision: int, task: Task) -> None:
    if (name, revision) != (task.name, task.revision):
        raise NotEligible(
            f"the plan is for {name!r} revision {revision}, this device learns {task.name!r} {task.revision}"
        )


def _at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise PlanTooWeak(f"{name} is {value}, below the {least} demanded here")


def _at_most(name: str, value: float, most: float) -> None:
    if value > most:
        raise PlanTooWeak(f"{name} is {value}, above the {most} allowed here")
