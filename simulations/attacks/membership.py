"""Whether a row was learned from: the likelihood-ratio attack on what a model answers, row by row.

Carlini et al. (2022), "Membership Inference Attacks From First Principles", section V, with both Gaussians fitted for
each row (their online attack): how sure are models that learned from this row, and models that did not? Half of the
models are shadows, by which that is learned; the others are attacked. Models are taught independently, so given the
shadows, two models' answers about one row have nothing to do with each other; were each model a shadow of all others,
they would sway together. The answers of one model do sway together a little; intervals are widened by how much.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.odds import Count, grouped

Scores = NDArray[np.float64]
Members = NDArray[np.bool_]

_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What an attack called members: of those that were, and of those that were not."""

    found: Count
    false: Count


def likelihood_ratios(sureness: Scores, shadows: Scores, taught: Members) -> Scores:
    """How much likelier each attacked model's sureness of each row is if the row taught it; log, `(models, rows)`.

    Sureness is the logit of the true label's probability: of the attacked models, and of the shadows, of which `taught`
    says which rows taught them. Raises `ValueError` unless each row taught two shadows, and did not teach two.
    """
    return _density(sureness, shadows, taught) - _density(sureness, shadows, ~taught)


def _density(sureness: Scores, shadows: Scores, chosen: Members) -> Scores:
    """The log density of each score, up to a constant, under the Gaussian of the chosen shadows' scores of that row."""
    count = chosen.sum(0)
    if count.min() < 2:
        raise ValueError("each row takes two shadows or more that learned from it, and two that did not")
    mean = np.where(chosen, shadows, 0.0).sum(0) / count
    variance = np.where(chosen, (shadows - mean) ** 2, 0.0).sum(0) / (count - 1)
    variance = np.maximum(variance, _LEAST_VARIANCE)
    return -0.5 * ((sureness - mean) ** 2 / variance + np.log(variance))


def rates(ratios: Scores, members: Members, *, false_rate: float) -> Rates:
    """Call members what lies above a threshold that `false_rate` of others' non-members exceed.

    Models with even numbers set the threshold for those with odd ones, and the other way round: so the rate that comes
    out is itself a measurement.
    """
    called = np.empty(members.shape, bool)
    for half in (0, 1):
        theirs, ours = slice(1 - half, None, 2), slice(half, None, 2)
        called[ours] = ratios[ours] > np.quantile(ratios[theirs][~members[theirs]], 1 - false_rate, method="higher")
    return Rates(
        found=grouped((called & members).sum(1), members.sum(1)),
        false=grouped((called & ~members).sum(1), (~members).sum(1)),
    )
