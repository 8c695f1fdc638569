"""Acts on drift: asks for the surveys that are due, lets `server/retraining.py` decide on what they found, and queues campaigns.

Every decision is kept, and stands in the audit log. One look follows each survey; an alarm that had to wait, for a pause or
another run, is looked at again.
"""

import time
from contextlib import closing
from dataclasses import dataclass, replace

from server import planning
from server.config import Federation
from server.records import ACTIVE, Decision, Run, SurveyRequest, SurveyResult
from server.retraining import Funds, accepted, asking, decide, limit, window
from server.rollouts import in_force
from server.spending import charges, epsilon, merged, spending, survey_events
from server.store import Store
from server.survey_schedule import due
from shared import wire
from shared.errors import InputError
from shared.lifecycle import Retraining
from shared.models import Release
from shared.privacy import SampledGaussian
from shared.tasks import Task

COORDINATOR, OPERATOR = "coordinator", "operator"
CAMPAIGN_SECONDS, SURVEY_SECONDS = 300.0, 120.0
"""How long devices have to answer."""

LOOK_AGAIN_SECONDS = 3600.0
"""How long an alarm that had to wait rests, and a survey that did not fit."""

Looked = dict[str, float]
"""When (Unix time) each task was looked at in vain, by its name: to add up what was spent takes a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the store holds of one task that has a policy and a release in force."""

    task: Task
    terms: Retraining
    release: Release
    surveys: tuple[SurveyResult, ...]
    runs: tuple[Run, ...]
    decisions: tuple[Decision, ...]

    @property
    def unseen(self) -> bool:
        """Whether a survey of the release came since the last decision."""
        seen = [each.at for each in self.surveys if each.role == "current" and each.release == self.release.number]
        return bool(seen) and seen[-1] > max((each.at for each in self.decisions), default=0.0)

    def waits(self, now: float) -> bool:
        """Whether the last decision had to let an alarm wait, long enough ago to look again."""
        last = self.decisions[-1] if self.decisions else None
        return last is not None and last.act == "wait" and bool(last.alarms) and now - last.at >= LOOK_AGAIN_SECONDS


def look_after_all(federation: Federation, looked: Looked) -> None:
    """Do what is due for every task that has a policy: the coordinator's standing duty, which keeps `looked` for it."""
    with closing(Store(federation.database, create=False)) as store:
        for task in store.tasks():
            look_after(store, task, now=time.time(), looked=looked)


def look_after(store: Store, task: Task, *, now: float, looked: Looked | None = None) -> Decision | None:
    """Look at one task at a moment (Unix time), and do what is due; returns the decision, if one was made."""
    scene, looked = scene_of(store, task), {} if looked is None else looked
    if scene is None:
        return None
    if scene.unseen:
        return _carry_out(store, scene, _decide(store, scene, scene.terms, now))
    if now - looked.get(task.name, 0.0) < LOOK_AGAIN_SECONDS:
        return None
    if scene.waits(now):
        looked[task.name] = now
        decision = _decide(store, scene, scene.terms, now)
        if decision.act != "wait":
            return _carry_out(store, scene, decision)
    return _ask_survey(store, scene, now, looked)


def scene_of(store: Store, task: Task) -> Scene | None:
    """What is known of a task; None where it has no policy, or no release of its revision is in force."""
    if task.retraining is None:
        return None
    release = in_force(store.releases(task.name), store.rollouts(task.name))
    if release is None or release.revision != task.revision:
        return None
    return Scene(
        task=task, terms=task.retraining, release=release, surveys=tuple(store.surveys(task.name)),
        runs=tuple(run for run in store.runs() if run.task == task.name), decisions=tuple(store.decisions(task.name)),
    )  # fmt: skip


def accept(store: Store, task: Task, *, now: float, command: str = "") -> Decision:
    """Start the campaign that the policy asks for; raise `InputError` where it asks for none, or none fits any more."""
    scene, question = _asked(store, task)
    decision = _decide(store, scene, accepted(scene.terms), now)
    if decision.act != "start":
        raise InputError(f"no campaign of {task.name!r} can start: {decision.why}")
    said = replace(decision, why=f"the operator accepted: {question.why}", alarms=question.alarms)
    done = _carry_out(store, scene, said, actor=OPERATOR, command=command)
    if done.act != "start":
        raise InputError(f"no campaign of {task.name!r} was started: {done.why}")
    return done


def decline(store: Store, task: Task, *, now: float, command: str = "") -> Decision:
    """Tell the policy no: the daily loss counts as calm from here on. Raise `InputError` where there is nothing to decline."""
    scene, newest = scene_of(store, task), [each for each in store.decisions(task.name) if each.alarms]
    if scene is None or not newest or store.decisions(task.name)[-1].act == "decline":
        raise InputError(f"the policy of {task.name!r} has no alarm to decline; `covey retrain` shows what it decided")
    said = Decision(
        task=task.name, at=now, act="decline", why=f"the operator declined: {newest[-1].why}", alarms=newest[-1].alarms
    )
    return _keep(store, said, actor=OPERATOR, command=command)


def _asked(store: Store, task: Task) -> tuple[Scene, Decision]:
    scene = scene_of(store, task)
    question = asking(scene.decisions) if scene else None
    if scene is None or question is None:
        raise InputError(f"the policy of {task.name!r} asks for nothing; `covey retrain` shows what it decided")
    return scene, question


def _decide(store: Store, scene: Scene, terms: Retraining, now: float) -> Decision:
    return decide(
        terms, scene.task, release=scene.release.number, surveys=scene.surveys, runs=scene.runs,
        decisions=scene.decisions, funds=funds(store, scene.task), now=now,
    )  # fmt: skip


def funds(store: Store, task: Task) -> Funds:
    """What the task's plans can have cost the device that paid most, and would after one more campaign."""
    spent = spending(task, store.devices(), store.rounds(), store.runs())
    return Funds(
        spent=max((each.epsilon for each in spent), default=0.0), after=max((each.after for each in spent), default=0.0)
    )


def _carry_out(
    store: Store, scene: Scene, decision: Decision, *, actor: str = COORDINATOR, command: str = ""
) -> Decision:
    """Queue the campaign of a start; where that is refused the alarm waits."""
    if decision.act == "start":
        try:
            decision = replace(decision, run_id=_start(store, scene, decision.at))
        except InputError as error:
            decision = replace(decision, act="wait", why=f"{decision.why}; but {error}")
    return _keep(store, decision, actor=actor, command=command)


def _start(store: Store, scene: Scene, now: float) -> int:
    """Queue a campaign that goes on from what serves: a candidate that was never released is no ground to build on."""
    request = planning.campaign(
        store, scene.task, window=window(scene.terms, now), training=scene.task.training,
        base_version=scene.release.version, quorum=None, cohort=None, deadline_seconds=CAMPAIGN_SECONDS,
    )  # fmt: skip
    return store.queue_run(scene.task.name, "train", request)


def _keep(store: Store, decision: Decision, *, actor: str = COORDINATOR, command: str = "") -> Decision:
    store.add_decision(decision)
    run = f" (run {decision.run_id})" if decision.run_id else ""
    store.audit(actor, "retrain", f"{decision.task}: {decision.act}{run}: {decision.why}", command=command)
    return decision


def _ask_survey(store: Store, scene: Scene, now: float, looked: Looked) -> Decision | None:
    """Queue the survey that is due, unless its cost would pass the policy's limit: that is a decision, kept once."""
    found = due(scene.terms, scene.release, scene.runs, now)
    if found is None or any(run.state in ACTIVE for run in scene.runs):
        return None
    role, days = found
    try:
        request = planning.survey(
            store, scene.task, window=days, role=role, features=False, quorum=None, deadline_seconds=SURVEY_SECONDS
        )
    except InputError:  # a release on its way, or nobody to ask: both pass
        return None
    request = replace(request, outcomes=scene.task.drift.outcome_noise_multiplier is not None)
    if dear := _too_dear(store, scene, request):
        looked[scene.task.name] = now
        last = scene.decisions[-1] if scene.decisions else None
        said = Decision(task=scene.task.name, at=now, act="wait", why=dear)
        return None if last and last.why == dear else _keep(store, said)
    number = store.queue_run(scene.task.name, "survey", request)
    store.audit(COORDINATOR, "survey", f"{scene.task.name}: run {number}, a {role} survey of {days}")
    return None


def _too_dear(store: Store, scene: Scene, request: SurveyRequest) -> str:
    """Why a survey is not asked for; empty where its cost fits."""
    task, most = scene.task, limit(scene.terms, scene.task)
    due_events = _events(request, task)
    paid = charges(task, store.devices(), store.rounds(), store.runs())
    after = max((epsilon(merged([*each.events, *due_events]), task.privacy.delta) for each in paid), default=0.0)
    if after <= most:
        return ""
    spent = max(epsilon(each.events, task.privacy.delta) for each in paid)
    return f"no {request.role} survey: it would take what was spent from ε {spent:.2f} to {after:.2f} of {most:g}"


def _events(request: SurveyRequest, task: Task) -> list[SampledGaussian]:
    """What the coordinator's own account says a survey charges."""
    run = Run(
        id=0, task=task.name, kind="survey", state="queued", request=wire.to_json(request).decode(), created_at=0.0
    )
    return survey_events(run, task)
