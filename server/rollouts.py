"""What becomes of a rollout: open the next stage, wait, ask for charged counts, halt, or complete. No I/O.

What stands against a release is weighed in exact counts. A device that failed the release before as well says nothing of
this one. Of the others, the task lets a share fail. More than that halts the rollout at once where it is no bad luck: if
each device failed with that probability by itself, so many would in at most `BAD_LUCK` of all rollouts (the binomial
tail; two of four at 5 % are 1.4 %). Fewer may be a device's own fault, such as one of three: the stage does not open
the next one, and it halts if they still fail once it is `SECOND_LOOK` periods old.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from server.placing import can_alarm, fewest
from server.records import DeviceHealth, RolloutStep, SurveyResult
from server.stages import ROUNDING, following, reached
from shared.health import FAILING, Verdict
from shared.lifecycle import RolloutTerms
from shared.models import Release
from shared.rollout import WHOLE, Rollout

Act = Literal["open", "wait", "ask", "halt", "complete"]

BAD_LUCK = 0.02
SECOND_LOOK = 2
MOST_ASKED = 3
"""How often a stage's devices are asked for charged counts before an operator has to decide."""

HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What is to be done, and why in words; `percent` is the stage to open."""

    act: Act
    why: str
    percent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a decision looks at.

    `steps` are the documents of this release alone, oldest first; `fleet` are the approved devices; `health` is what they
    last said of this release and of the one before. `evidence` is the charged comparison of this very stage, once it
    is there; `asked` is when devices were asked for it (Unix time), each time.
    """

    release: Release
    terms: RolloutTerms
    steps: tuple[RolloutStep, ...]
    fleet: tuple[str, ...]
    health: tuple[DeviceHealth, ...]
    now: float
    evidence: SurveyResult | None = None
    asked: tuple[float, ...] = ()

    @property
    def document(self) -> Rollout | None:
        """The document in force, if there is one."""
        return self.steps[-1].rollout if self.steps else None

    @property
    def since(self) -> float:
        """When the stage in force was opened (Unix time); pausing does not begin it anew."""
        same = [step for step in self.steps if step.rollout.stage_bp == self.steps[-1].rollout.stage_bp]
        return same[0].at if same else self.now

    @property
    def periods(self) -> float:
        """How many reporting periods the stage is old."""
        return (self.now - self.since) / HOUR / self.terms.period_hours

    @property
    def inside(self) -> tuple[str, ...]:
        """The devices that are to run the release."""
        return reached(self.release, self.document.share_bp, self.fleet) if self.document else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How a stage's devices fare: all of them, those that serve, and those that fail, by what they said."""

    devices: int
    serving: int
    failing: dict[str, Verdict]

    @property
    def told(self) -> int:
        """How many said something that counts."""
        return self.serving + len(self.failing)

    def __str__(self) -> str:
        """The tally as a person reads it."""
        how = ", ".join(f"{count} {verdict}" for verdict, count in sorted(Counter(self.failing.values()).items()))
        return (
            f"{self.told} of {_devices(self.devices)} said how they fare: {how or 'all serve' if self.told else 'none'}"
        )


def decide(found: Situation) -> Ruling:
    """What is to be done now."""
    document = found.document
    if document is None:
        return Ruling(act="open", percent=found.terms.stages[0], why="published: the canary comes first")
    if document.state in {"halted", "complete"}:
        return Ruling(act="wait", why=f"the rollout is {document.state}")
    tally = tally_of(found)
    if harm := harm_of(found, tally):
        return Ruling(act="halt", why=harm)
    if waits := waits_for(found, tally):
        return Ruling(act="wait", why="; ".join(waits))
    if missing := _evidence_missing(found):
        return missing
    return _go_on(found, document, tally)


def tally_of(found: Situation) -> Tally:
    """Count what the stage's devices said, without the failures of devices that failed the release before too."""
    inside = frozenset(found.inside)
    said = {each.device: each.health for each in found.health if each.health.release == found.release.number}
    before = {each.device: each.health for each in found.health if each.health.release == found.release.fallback}
    weak = {name for name, health in before.items() if health.verdict in FAILING}
    told = {name: health.verdict for name, health in said.items() if name in inside}
    return Tally(
        devices=len(inside),
        serving=sum(verdict not in FAILING for verdict in told.values()),
        failing={name: verdict for name, verdict in told.items() if verdict in FAILING and name not in weak},
    )


def harm_of(found: Situation, tally: Tally) -> str:
    """Why the rollout is to be halted; empty if nothing speaks for that."""
    alarms = [each.says for each in found.evidence.evidence if each.alarm] if found.evidence else []
    if alarms:
        return "; ".join(alarms)
    if not _too_many(tally, found.terms):
        return ""
    by_chance = tail(len(tally.failing), tally.told, found.terms.max_failing)
    if by_chance <= BAD_LUCK:
        allowed = f"at most {_percent(found.terms.max_failing)} may fail"
        return f"{tally}; {allowed}, and so many do by bad luck {_seldom(by_chance)}"
    if found.periods >= SECOND_LOOK:
        return (
            f"{tally}; at most {_percent(found.terms.max_failing)} may fail, and it was looked at {SECOND_LOOK} times"
        )
    return ""


def waits_for(found: Situation, tally: Tally) -> tuple[str, ...]:
    """Each thing that the next stage still waits for, in words."""
    terms, needed = found.terms, enough(tally.devices, found.terms.min_reporting)
    waits: list[str] = []
    if found.document and found.document.state == "paused":
        waits.append("it is paused; `covey rollout resume` lets it go on")
    if not tally.devices:
        waits.append("no device of this stage is left; `covey rollout advance` opens the next one")
    if _too_many(tally, terms):
        waits.append(
            f"{tally}: more than {_percent(terms.max_failing)}, which may be the device's own fault; another look follows"
        )
    if found.periods < terms.periods:
        waits.append(
            f"the stage is {_hours(found.now - found.since)} old, of at least {terms.periods * terms.period_hours:g} h"
        )
    if tally.serving < needed:
        waits.append(f"{tally.serving} of {_devices(tally.devices)} serve, {needed} must")
    return tuple(waits)


def enough(devices: int, share: float) -> int:
    """How many of a stage's devices must say that they serve."""
    return max(1, math.ceil(share * devices - ROUNDING))


def tail(failing: int, told: int, probability: float) -> float:
    """How likely it is that `failing` or more of `told` fail, each by itself with `probability`."""
    lucky = (math.comb(told, k) * probability**k * (1 - probability) ** (told - k) for k in range(failing))
    return max(0.0, 1.0 - math.fsum(lucky))


def in_force(releases: Sequence[Release], steps: Sequence[RolloutStep]) -> Release | None:
    """The newest release that is meant for every device: of no ceiling, and not staged or completed; else None."""
    documents = sorted((step.rollout for step in steps), key=lambda rollout: rollout.number)
    states = {rollout.release: rollout.state for rollout in documents}
    arrived = (one for one in reversed(releases) if not one.staged or states.get(one.number) == "complete")
    whole = (one for one in arrived if one.ceiling_bp == WHOLE)
    return next(whole, None)


def compares(found: Situation) -> bool:
    """Whether the stage is to show no harm in charged counts, and there is anybody to compare its devices with."""
    return found.terms.charged and found.release.fallback > 0 and 0 < len(found.inside) < len(found.fleet)


def powerless(found: Situation) -> str:
    """Why the charged comparison can never stop a stage of this size, and what would; empty where it can."""
    canary, devices = len(found.inside), len(found.fleet)
    if not compares(found) or can_alarm(canary, devices):
        return ""
    needed = fewest(devices)
    of = f"{canary} of {_devices(devices)} can never show harm in charged counts"
    if needed is None:
        return f"{of}, and in so small a fleet no canary can"
    return f"{of}: {needed} or more can, a stage of at least {math.ceil(100 * needed / devices)} %"


def _is_told(evidence: SurveyResult | None) -> bool:
    """Whether counts can stand for a release: there is an AUC, and neither it nor a group's gap is untold."""
    found = evidence.evidence if evidence else ()
    outcomes = [each for each in found if each.name in {"AUC", "group gap"}]
    return bool(outcomes) and not any(each.untold for each in outcomes)


def _evidence_missing(found: Situation) -> Ruling | None:
    """Ask for the charged counts, or wait for more outcomes; None where they tell, or nobody wants them.

    Counts that could not tell anything are never asked for: they would cost the owners' budgets for nothing.
    """
    if not compares(found) or _is_told(found.evidence):
        return None
    if why := powerless(found):
        return Ruling(act="wait", why=f"{why}; `covey rollout advance` goes on without, `halt` ends it")
    if len(found.asked) >= MOST_ASKED:
        why = f"charged counts told nothing {MOST_ASKED} times; `covey rollout advance` goes on without, `halt` ends it"
        return Ruling(act="wait", why=why)
    if found.asked and found.now - found.asked[-1] < found.terms.period_hours * HOUR:
        return Ruling(act="wait", why="devices were asked for charged counts")
    return Ruling(act="ask", why="all serve; charged counts of outcomes come next")


def _go_on(found: Situation, document: Rollout, tally: Tally) -> Ruling:
    """Open the next stage, or complete the last."""
    shown = "; ".join([str(tally), *(each.says for each in (found.evidence.evidence if found.evidence else ()))])
    percent = following(found.terms, document.stage_bp)
    if percent is None or document.stage_bp >= WHOLE:
        return Ruling(act="complete", why=shown)
    return Ruling(act="open", percent=percent, why=shown)


def _too_many(tally: Tally, terms: RolloutTerms) -> bool:
    return len(tally.failing) > terms.max_failing * tally.told + ROUNDING


def _devices(count: int) -> str:
    return f"{count} device" if count == 1 else f"{count} devices"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _seldom(chance: float) -> str:
    return f"once in {1 / chance:,.0f} rollouts" if chance > 0 else "never"


def _hours(seconds: float) -> str:
    return f"{max(0.0, seconds) / HOUR:.1f} h"
