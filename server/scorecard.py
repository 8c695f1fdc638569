"""Versions side by side for people who want different things: who is dominated, who wins for whom, and in which words.

A difference within the bounds of both figures is a tie, and so is one of latency within 5 %, of size within 1 %. Ties go
to the smaller network: a complex model must earn its place. For a score, each criterion is taken in steps from the best
figure down: all that tie with the first of a step stand on it, so that noise moves no score. A version that was never
evaluated ranks behind those that were, wherever accuracy or fairness weighs.

One version dominates another of as many parameters if it is as good in everything and better in something by more than
a tie; it dominates a larger one if it is worse in nothing, ties counted so. By this no version dominates in a circle, so
the front is never empty: along a circle parameters never grow, hence stay equal, and plain dominance has none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from server.estimates import Estimate
from shared.errors import InputError

Criterion = Literal["accuracy", "latency", "size", "fairness", "privacy", "freshness"]
Role = Literal["operator", "owner", "privacy", "ml", "fairness"]
Weights = Mapping[Criterion, float]

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

HIGHER: frozenset[Criterion] = frozenset({"accuracy"})
"""Of the others less is better: microseconds, bytes, a gap, epsilon, days of age."""

TIES: dict[Criterion, float] = {"latency": 0.05, "size": 0.01}
"""Shares by which two figures may differ whatever their bounds say: what a machine's other work and a card's words do."""

ROLES: dict[Role, dict[Criterion, float]] = {
    "operator": {"accuracy": 2, "latency": 2, "size": 1, "freshness": 2},
    "owner": {"accuracy": 1, "latency": 2, "size": 2, "privacy": 3},
    "privacy": {"accuracy": 1, "privacy": 4, "fairness": 1},
    "ml": {"accuracy": 4, "fairness": 1, "freshness": 1},
    "fairness": {"accuracy": 1, "privacy": 1, "fairness": 4},
}
"""What each role weighs; what it does not name does not count for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """One version's figures by criterion, None where nobody measured; `parameters` is how large its network is."""

    version: int
    parameters: int
    figures: dict[Criterion, Estimate | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How a version came out: its score from 0 to 1, and who dominates it; on the front where nobody does."""

    version: int
    score: float
    dominated_by: tuple[int, ...]

    @property
    def front(self) -> bool:
        """Whether no other version makes this one pointless."""
        return not self.dominated_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """All versions, best score first, the one that wins, and why in a sentence."""

    weights: dict[Criterion, float]
    places: tuple[Place, ...]
    winner: int
    why: str


def score(entrants: Sequence[Entrant], weights: Weights) -> Scorecard:
    """Compare versions under weights; raise `InputError` without versions, or where nothing weighs anything."""
    if not entrants:
        raise InputError("there is no version to compare; `covey models` lists them")
    if not sum(weights.values()) > 0 or min(weights.values()) < 0:
        raise InputError("weights must not be negative, and one of them must be above 0")
    places = tuple(
        Place(version=each.version, score=_score(each, entrants, weights), dominated_by=dominators(each, entrants))
        for each in entrants
    )
    unjudged = [each.version for each in entrants if _is_unjudged(each, entrants, weights)]
    ranked = sorted(places, key=lambda place: (place.version in unjudged, -place.score, place.version))
    winner, why = _winner({each.version: each for each in entrants}, ranked, weights, unjudged)
    if unjudged:
        why += f"; never evaluated, hence behind: {', '.join(map(str, unjudged))}"
    return Scorecard(weights=dict(weights), places=tuple(ranked), winner=winner, why=why)


def weights_of(roles: Iterable[Role], given: Weights | None = None) -> dict[Criterion, float]:
    """The mean of what roles weigh, each counted alike; or what was given instead. Without either all weighs the same."""
    if given:
        return dict(given)
    shares = [{name: weight / sum(ROLES[role].values()) for name, weight in ROLES[role].items()} for role in roles]
    if not shares:
        return dict.fromkeys(CRITERIA, 1.0)
    return {name: sum(share.get(name, 0.0) for share in shares) / len(shares) for name in CRITERIA}


def dominators(entrant: Entrant, others: Iterable[Entrant]) -> tuple[int, ...]:
    """The versions that make this one pointless, by number."""
    return tuple(sorted(other.version for other in others if other is not entrant and dominates(other, entrant)))


def dominates(one: Entrant, other: Entrant) -> bool:
    """Whether nothing speaks for `other` against `one`."""
    if one.parameters > other.parameters:
        return False
    if one.parameters < other.parameters:
        return not any(_worse(one.figures[name], other.figures[name], name) for name in CRITERIA)
    gains = [_gain(one.figures[name], other.figures[name], name) for name in CRITERIA]
    return min(gains) >= 0 and any(_worse(other.figures[name], one.figures[name], name) for name in CRITERIA)


def tied(one: Entrant, other: Entrant, weights: Weights) -> bool:
    """Whether nothing that weighs tells the two apart beyond its bounds."""
    return not any(
        _worse(one.figures[name], other.figures[name], name) or _worse(other.figures[name], one.figures[name], name)
        for name, weight in weights.items()
        if weight > 0
    )


def _worse(one: Estimate | None, other: Estimate | None, name: Criterion) -> bool:
    """Whether a figure is worse than another whatever their bounds allow; not to know is worse than to know."""
    if one is None or other is None:
        return one is None and other is not None
    if abs(one.value - other.value) <= TIES.get(name, 0.0) * max(abs(one.value), abs(other.value)):
        return False
    return one.high < other.low if name in HIGHER else one.low > other.high


def _gain(one: Estimate | None, other: Estimate | None, name: Criterion) -> float:
    """How much better a figure is than another, by their values alone; positive is better."""
    if one is None or other is None:
        return float((one is not None) - (other is not None))
    return one.value - other.value if name in HIGHER else other.value - one.value


def _score(entrant: Entrant, entrants: Sequence[Entrant], weights: Weights) -> float:
    """The weighted mean of where each figure stands between the worst and the best of all, from 0 to 1."""
    total = sum(weight * _standing(entrant, entrants, name) for name, weight in weights.items())
    return total / sum(weights.values())


def _standing(entrant: Entrant, entrants: Sequence[Entrant], name: Criterion) -> float:
    own = entrant.figures[name]
    if own is None:
        return 0.0
    steps = _steps([figure for each in entrants if (figure := each.figures[name])], name)
    here = next(step for step in steps if not _worse(own, step, name))
    best, worst = steps[0].value, steps[-1].value
    return (here.value - worst) / (best - worst) if len(steps) > 1 else 1.0


def _steps(figures: Sequence[Estimate], name: Criterion) -> list[Estimate]:
    """The first figure of each step, best first: the best of those that are worse than the step before by more than a tie."""
    rest, steps = list(figures), list[Estimate]()
    while rest:
        steps.append(_best(rest, name))
        rest = [each for each in rest if _worse(each, steps[-1], name)]
    return steps


def _best(figures: Sequence[Estimate], name: Criterion) -> Estimate:
    """The best value; of equal ones that with the best bounds, so that their order decides nothing."""
    sign = 1.0 if name in HIGHER else -1.0
    return max(figures, key=lambda each: (sign * each.value, sign * each.low, sign * each.high))


def _is_unjudged(entrant: Entrant, entrants: Sequence[Entrant], weights: Weights) -> bool:
    """Whether nobody knows how accurate a version is, where that is asked and known of another."""
    asked = weights.get("accuracy", 0) > 0 or weights.get("fairness", 0) > 0
    known = any(each.figures["accuracy"] is not None for each in entrants)
    return asked and known and entrant.figures["accuracy"] is None


def _winner(
    by_version: Mapping[int, Entrant], ranked: Sequence[Place], weights: Weights, unjudged: Sequence[int]
) -> tuple[int, str]:
    """The best score, or the smallest network that ties with it in everything that weighs."""
    best = by_version[ranked[0].version]
    judged = [by_version[place.version] for place in ranked if place.version not in unjudged]
    equals = [each for each in judged or [best] if tied(each, best, weights)]
    simplest = min(equals, key=lambda each: each.parameters)
    if simplest.parameters < best.parameters:
        return simplest.version, (
            f"version {best.version} scores highest, but version {simplest.version} ties with it in everything that weighs "
            f"here and has {simplest.parameters:,} parameters instead of {best.parameters:,}: the simpler one wins"
        )
    more = len(equals) - 1
    others = "1 other ties with it and is" if more == 1 else f"{more} others tie with it and are"
    rest = f"; {others} no simpler" if more else ""
    return best.version, f"version {best.version} scores highest{rest}"
