"""One candidate on its way: signed past the gates, watched by the real controller, period by period, to its end."""

from dataclasses import dataclass, replace

from server.export import export
from server.promotion import Way, draft_of
from server.promotion import publish as sign
from server.records import GateVerdict
from server.rollout_duty import steer
from server.situation import steps_of
from shared.models import Release
from shared.quantization import RECIPE
from shared.rollout import RolloutState, chosen
from simulations.rollouts.candidates import Candidate
from simulations.rollouts.fleet import HOUR, Fleet
from simulations.rollouts.ground import PERIOD_HOURS, TASK, learn

LONGEST = 8
"""Reporting periods; a rollout that has not ended by then never does."""

BYPASSED = GateVerdict(
    name="gates", expected="all passed", found="signed past them: this is about the rollout", passed=False
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ride:
    """How a candidate fared: shares of the fleet in [0, 1], reporting periods begun, and the controller's own words.

    `told` is who was ever told to run it, `served` where it ever answered, `canary` what the first stage allows.
    """

    candidate: Candidate
    told: float
    served: float
    canary: float
    periods: int
    state: RolloutState
    why: str
    surveys: int


def ride(fleet: Fleet, candidate: Candidate) -> Ride:
    """Promote the candidate and let time go by until its rollout is halted or complete."""
    release = promote(fleet, candidate)
    told, before, periods = set[str](), len(fleet.store.surveys(TASK.name)), 0
    while _state(fleet, release) == "rolling" and periods < LONGEST:
        told |= _told(fleet, release)
        _live(fleet, candidate, told)
        periods += 1
    step = steps_of(fleet.store, release)[-1]
    count = len(fleet.devices)
    return Ride(
        candidate=candidate, told=len(told) / count, periods=periods, state=step.rollout.state, why=step.why,
        served=sum(release.number in device.served for device in fleet.devices) / count,
        canary=TASK.rollout.stages[0] / 100 if TASK.rollout else 1.0,
        surveys=len(fleet.store.surveys(TASK.name)) - before,
    )  # fmt: skip


def first() -> Candidate:
    """What the fleet runs before anything else: a good model."""
    weights = learn(seed=1)
    return Candidate(
        name="first", what="came before", fp32=export(TASK, weights, version=1), weights=weights, good=True
    )


def settle(fleet: Fleet, good: Candidate) -> Release:
    """Release a model to everyone, and let every device install it."""
    release = _sign(fleet, good, Way(everyone=True))
    for device in fleet.devices:
        fleet.look(device, crashes=False)
    return release


def promote(fleet: Fleet, candidate: Candidate) -> Release:
    """Sign a candidate past the gates, for its canary first."""
    return _sign(fleet, candidate, Way())


def _sign(fleet: Fleet, candidate: Candidate, way: Way) -> Release:
    """Sign a file past the gates."""
    version = fleet.store.add_initial_version(TASK.name, TASK.revision, candidate.weights.tobytes())
    draft = replace(draft_of(fleet.store, version), recipe=RECIPE)
    return sign(fleet.federation, fleet.store, TASK, draft, candidate.fp32, (BYPASSED,), way=way, now=fleet.now)


def _live(fleet: Fleet, candidate: Candidate, told: set[str]) -> None:
    """One reporting period: devices look and report, the controller looks, devices predict, the controller looks again."""
    for device in fleet.devices:
        fleet.look(device, crashes=candidate.crashes and device.name in told)
    if not _steer(fleet):
        return
    for device in fleet.devices:
        fleet.predict(device, hours=PERIOD_HOURS)
    fleet.now += PERIOD_HOURS * HOUR
    if _steer(fleet):
        fleet.answer_surveys()
        _steer(fleet)


def _steer(fleet: Fleet) -> bool:
    """Let the controller do what is due; whether the rollout goes on."""
    ruling = steer(fleet.federation, fleet.store, TASK, now=fleet.now)
    return ruling is not None and ruling.act not in {"halt", "complete"}


def _told(fleet: Fleet, release: Release) -> set[str]:
    """Who is to run the release now."""
    document = steps_of(fleet.store, release)[-1].rollout
    return {d.name for d in fleet.devices if chosen(release, document, d.name) == release.number}


def _state(fleet: Fleet, release: Release) -> RolloutState:
    return steps_of(fleet.store, release)[-1].rollout.state
