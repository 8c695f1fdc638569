"""What a few hostile members can do to a round is bounded here: pure rules that make one update of many.

They see each update, so they are for local mode: under secure aggregation there is only a sum. Why none is Flower's
own stands in `docs/decisions/0015-robust.md`. Updates have passed `server.strategy.check_update`: they are finite.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.aggregation import Aggregation
from shared.errors import InputError

Votes = NDArray[np.float32]
"""One update a row, shape `(n, size)`."""

Combined = NDArray[np.float64]
"""What a rule makes of votes, shape `(size,)`."""

SMOOTHING = 1e-6
"""How near to a vote the geometric median may come before that vote's weight stops growing (RFA's nu)."""

WEISZFELD_STEPS = 200
WEISZFELD_ENOUGH = 1e-9
"""Steps of the geometric median end when one moves by less than this share of the votes' spread."""


def aggregate(votes: Votes, rule: Aggregation) -> Combined:
    """Make one update of shape `(size,)` from votes of shape `(n, size)`.

    Raise `InputError` where the rule is not defined for so few: it never turns into a weaker one by itself.
    """
    if len(votes) < rule.fewest:
        raise InputError(f"{rule} is defined for {rule.fewest} updates or more, got {len(votes)}; ask more devices")
    return RULES[rule.kind](votes, rule)


def cast_votes(
    updates: Mapping[str, NDArray[np.float32]], owners: Mapping[str, str], *, rule: Aggregation, size: int
) -> Votes:
    """A round's updates of shape `(size,)`, by device, as votes of shape `(n, size)` in the order of their names.

    A device that `owners` does not name, or names with nothing, is an owner by itself.
    """
    names = sorted(updates)
    rows = np.stack([updates[name] for name in names]) if names else np.zeros((0, size), np.float32)
    return by_owner(rows, [owners.get(name) or f"device {name}" for name in names]) if rule.by_owner else rows


def by_owner(updates: Votes, owners: Sequence[str]) -> Votes:
    """One row an owner: the mean of the updates of all of their devices, in the order of owners' names.

    However many devices somebody brings, they have one vote among the owners (sybils: Douceur, 2002). `owners` is as
    long as `updates`.
    """
    if len(owners) != len(updates):
        raise InputError(f"{len(updates)} updates cannot belong to {len(owners)} owners; name one for each")
    belongs = np.array(owners, dtype=object)
    means = [updates[belongs == owner].mean(axis=0, dtype=np.float64) for owner in sorted(set(owners))]
    return np.array(means, np.float32).reshape(len(means), updates.shape[1])


def _mean(votes: Votes, _: Aggregation) -> Combined:
    """Every vote counts the same; one hostile vote can move it anywhere that the checks let a vote be."""
    return votes.mean(axis=0, dtype=np.float64)


def _norm_bound(votes: Votes, rule: Aggregation) -> Combined:
    """The mean of votes that are scaled down to a bound on their L2 norm (Sun, Kairouz, Suresh & McMahan, 2019).

    Without a public bound it is the median norm, which hostile votes cannot push past every honest one.
    """
    norms = np.linalg.norm(votes.astype(np.float64), axis=1)
    bound = float(np.median(norms)) if rule.max_norm is None else rule.max_norm
    shares = np.divide(bound, norms, out=np.ones(len(votes)), where=norms > bound)
    return (shares @ votes) / len(votes)


def _trimmed_mean(votes: Votes, rule: Aggregation) -> Combined:
    """In each coordinate, the mean of what is left without the `cut` lowest and highest (Yin et al., 2018, def. 2)."""
    if not rule.cut:
        return _mean(votes, rule)
    kept = np.partition(votes, (rule.cut, len(votes) - rule.cut - 1), axis=0)[rule.cut : len(votes) - rule.cut]
    return kept.mean(axis=0, dtype=np.float64)


def _median(votes: Votes, _: Aggregation) -> Combined:
    """In each coordinate, the median (Yin et al., 2018, definition 1)."""
    return np.median(votes.astype(np.float64), axis=0)


def _geometric_median(votes: Votes, _: Aggregation) -> Combined:
    """The point whose distances to all votes have the least sum (RFA: Pillutla, Kakade & Harchaoui, 2022).

    By smoothed steps of Weiszfeld's, from the coordinates' median, which no hostile minority drags away.
    """
    points = votes.astype(np.float64)
    middle = np.median(points, axis=0)
    enough = WEISZFELD_ENOUGH * float(np.median(np.linalg.norm(points - middle, axis=1)))
    for _step in range(WEISZFELD_STEPS):
        weights = 1.0 / np.maximum(np.linalg.norm(points - middle, axis=1), SMOOTHING)
        moved = weights @ points / weights.sum()
        if float(np.linalg.norm(moved - middle)) <= enough:
            return moved
        middle = moved
    return middle


def _krum(votes: Votes, rule: Aggregation) -> Combined:
    """The one vote whose n - f - 2 nearest neighbours are nearest (Blanchard et al., 2017)."""
    return votes[np.argmin(_scores(votes, rule.assumed_byzantine))].astype(np.float64)


def _multi_krum(votes: Votes, rule: Aggregation) -> Combined:
    """The mean of the n - f votes with the best of Krum's scores (Blanchard et al., 2017)."""
    best = np.argsort(_scores(votes, rule.assumed_byzantine), kind="stable")
    return votes[best[: len(votes) - rule.assumed_byzantine]].mean(axis=0, dtype=np.float64)


def _scores(votes: Votes, byzantine: int) -> NDArray[np.float64]:
    """Each vote's sum of squared distances to the n - f - 2 others nearest to it, shape `(n,)`.

    From differences: the shorter way over inner products loses near neighbours of long votes to cancellation.
    """
    near = len(votes) - byzantine - 2
    scores = np.empty(len(votes))
    for index, vote in enumerate(votes):
        apart = np.subtract(votes, vote, dtype=np.float64)
        squares = np.delete(np.einsum("ij,ij->i", apart, apart), index)
        scores[index] = np.partition(squares, near - 1)[:near].sum()
    return scores


RULES: dict[str, Callable[[Votes, Aggregation], Combined]] = {
    "mean": _mean,
    "norm-bound": _norm_bound,
    "trimmed-mean": _trimmed_mean,
    "median": _median,
    "geometric-median": _geometric_median,
    "krum": _krum,
    "multi-krum": _multi_krum,
}
"""By kind of `shared.aggregation.Rule`; a rehearsal's own file may add to it."""
