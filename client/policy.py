"""Whether this device takes part: decided from the public plan, the signed task and the owner's word alone.

Nothing here sees an example, so no refusal can tell of one (privacy rule 4).
"""

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime

from client import clock
from client.config import AgentHome
from client.lifetimes import Lifetime
from client.settings import AgentSettings, Period
from shared import wire
from shared.architecture import size
from shared.central import within
from shared.drift import SurveyPlan
from shared.errors import ConsentWithheld, NotEligible, PlanTooWeak
from shared.evaluation import EvaluationPlan
from shared.privacy import TRUST, TRUSTS, Level, PrivacyBudget
from shared.rounds import RoundPlan
from shared.secure import shortfall
from shared.tasks import Task

ROLES = ("root", "targets", "snapshot", "timestamp")
"""Whose expiry stops training: every role that vouches for the task."""


def check_round(plan: RoundPlan, task: Task, settings: AgentSettings) -> None:
    """Raise `NotEligible` or `PlanTooWeak` unless the plan lies within the signed task and the owner's floor."""
    _same_task(plan.task, plan.revision, task)
    privacy, floor = task.privacy, settings.floor
    if TRUSTS.index(plan.cost.trust) > TRUSTS.index(floor.trust):
        raise PlanTooWeak(f"the plan holds {TRUST[plan.cost.trust]}, and the owner wants {TRUST[floor.trust]}")
    _check_mode(plan, task, settings)
    if plan.mode == "local":
        least = max(privacy.min_noise_multiplier, floor.min_noise_multiplier)
        _at_least("noise_multiplier", plan.noise_multiplier, least)
        _at_most("sample_rate", plan.sample_rate, min(privacy.max_sample_rate, floor.max_sample_rate))
        _at_most("steps", plan.steps, min(privacy.max_steps, floor.max_steps))
    _at_most("max_grad_norm", plan.max_grad_norm, min(privacy.max_grad_norm, floor.max_grad_norm))
    _at_least("normalizer", plan.normalizer, max(1.0, floor.min_normalizer))


def _check_mode(plan: RoundPlan, task: Task, settings: AgentSettings) -> None:
    """Hold a round whose noise is not this device's alone to the task's terms for its mode."""
    terms = task.terms_of(plan.mode)
    if plan.mode == "local":
        return
    if terms is None:
        raise PlanTooWeak(f"the task {task.name!r} does not allow rounds whose noise is {plan.mode}")
    least = max(terms.min_noise_multiplier, settings.floor.min_noise_multiplier)
    _at_least("noise_multiplier", plan.noise_multiplier, least)
    if plan.secure and task.distributed:
        if plan.secure.noise.encoding.length != size(task):
            raise PlanTooWeak(f"the plan sums {plan.secure.noise.encoding.length} values, the task has {size(task)}")
        if why := shortfall(plan.secure, task.distributed, min_cohort=settings.floor.min_cohort):
            raise PlanTooWeak(why)
    if plan.central and task.central:
        _at_most("steps", plan.steps, task.central.training.steps)
        if not within(plan.central, task.central):
            raise PlanTooWeak("the plan's central noise is not what the signed task describes")


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
    asked = {
        "contract_noise_multiplier": (plan.contract_noise_multiplier, task.contract.noise_multiplier),
        "outcome_noise_multiplier": (plan.outcome_noise_multiplier, task.drift.outcome_noise_multiplier or math.inf),
    }
    for name, (value, least) in asked.items():
        if value is not None:
            _at_least(name, value, max(least, floor))


def check_evaluation(plan: EvaluationPlan, task: Task, settings: AgentSettings) -> None:
    """Raise `NotEligible` or `PlanTooWeak` unless the evaluation is as the signed task has it, within the owner's floor."""
    _same_task(plan.task, plan.revision, task)
    if task.evaluation is None:
        raise PlanTooWeak(f"the task {task.name!r} lets no version be evaluated on rows")
    least = max(task.evaluation.noise_multiplier, settings.floor.min_noise_multiplier)
    _at_least("noise_multiplier", plan.noise_multiplier, least)
    if plan.score_bins != task.evaluation.score_bins:
        raise PlanTooWeak(f"the plan counts {plan.score_bins} score bins, the task {task.evaluation.score_bins}")


def fingerprint(task: Task) -> str:
    """What an owner agrees to: the whole task, because its signer could sign other words under the same revision."""
    return hashlib.sha256(wire.to_json(task)).hexdigest()


def check_consent(settings: AgentSettings, task: str, *, agreed: bool) -> None:
    """Raise `ConsentWithheld` unless the owner agreed to this task, lets it run, and has not paused."""
    if settings.paused:
        raise ConsentWithheld("the owner has paused this agent")
    if not settings.tasks[task].enabled:
        raise ConsentWithheld(f"the owner has switched the task {task!r} off")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A budget and which charges count against it: one task's or all, of the last `days` or of all time.

    With `lifetime`, which is that of the rows of the task to be charged, those that one row can have paid; what else
    that takes is `client/exposure.py`'s to say.
    """

    what: str
    budget: PrivacyBudget
    task: str | None = None
    days: float | None = None
    lifetime: Lifetime | None = None
    level: Level = "record"


def limits(settings: AgentSettings, task: Task) -> tuple[Limit, ...]:
    """Everything that bounds one more charge for `task`; each of them must hold.

    What was spent is forgotten by the periods, which only add to the budgets beside them, and by the owner's word with
    the rows that paid it (privacy rule 9); never for a whole device, which does not retire. Delta is the stricter of
    the owner's and the task's.
    """
    grant, delta = settings.tasks[task.name], min(settings.budget.delta, task.privacy.delta)
    share = min(task.privacy.epsilon, grant.epsilon or math.inf)
    whole, part = (PrivacyBudget(epsilon=epsilon, delta=delta) for epsilon in (settings.budget.epsilon, share))
    lives = lifetime(settings, task)
    bounds = (
        Limit(what="this device's budget", budget=whole, lifetime=lives),
        Limit(what=f"{task.name}'s share", budget=part, task=task.name, lifetime=lives),
    )
    if settings.device_budget:
        bounds += (Limit(what="this device's budget as a whole", budget=settings.device_budget, level="device"),)
    return (*bounds, *_periods(settings.period, None, delta), *_periods(grant.period, task.name, delta))


def lifetime(settings: AgentSettings, task: Task) -> Lifetime | None:
    """How long the rows of a task take part; None where their owner lets none retire."""
    if settings.row_lifetime_days is None:
        return None
    return Lifetime(task=task.name, column=task.timestamp, days=settings.row_lifetime_days)


def _periods(period: Period | None, task: str | None, delta: float) -> tuple[Limit, ...]:
    if period is None:
        return ()
    what = f"{task or 'this device'}'s {period.days:g} days"
    return (Limit(what=what, budget=PrivacyBudget(epsilon=period.epsilon, delta=delta), task=task, days=period.days),)


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
