"""The Dawid-Skene label model: what votes say of a row's class, from how often each voter errs.

A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Applied
Statistics 28 (1979). A voter here is a labelling rule, and abstaining is a vote like any other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ABSTAINS = -1
"""The vote of a rule that says nothing; as an index it names a confusion row's last column."""

MOST_STEPS = 1000
SETTLED = 1e-7
PSEUDO_ROWS = 0.1
"""How many made-up rows stand behind each vote that a rule casts, so that no chance is zero."""

Votes = NDArray[np.integer[Any]]
Chances = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelModel:
    """How common each class is, `prior` of shape `(classes,)`, and how each rule votes on rows of it.

    `confusion` has shape `(rules, classes, classes + 1)`: for a rule and the true class, the chance of each vote, with
    abstaining last.
    """

    prior: Chances
    confusion: Chances


def posterior(model: LabelModel, votes: Votes) -> Chances:
    """The chance of each class, shape `(rows, classes)`, from votes of shape `(rows, rules)`.

    A row's chances are the same to the last bit whichever rows stand beside it: every step is elementwise.
    """
    chances = [np.full(len(votes), share) for share in model.prior]
    for rule, tables in enumerate(model.confusion):
        chances = [chance * table[votes[:, rule]] for chance, table in zip(chances, tables, strict=True)]
        total = sum(chances[1:], start=chances[0])
        chances = [chance / total for chance in chances]
    return np.stack(chances, axis=1)


def fit(votes: Votes, classes: int) -> LabelModel:
    """The parameters under which votes of shape `(rows, rules)` are likeliest, by expectation maximization.

    It looks across rows, so a device never runs it (privacy rule 3): it is for an operator's public or made-up rows.
    It starts from the majority vote; a vote that a rule never casts gets the chance zero.
    """
    small = votes.astype(np.int16)  # rows are compared byte by byte
    patterns, counts = np.unique(small, axis=0, return_counts=True)
    cast = np.eye(classes + 1)[patterns]
    truth = majority(patterns, classes)
    model = _learn(cast, counts, truth)
    for _ in range(MOST_STEPS):
        before, truth = truth, posterior(model, patterns)
        model = _learn(cast, counts, truth)
        if np.abs(truth - before).max(initial=0.0) < SETTLED:
            break
    return model


def majority(votes: Votes, classes: int) -> Chances:
    """Each class's share of the votes that were cast, shape `(rows, classes)`; even where there was none."""
    cast = np.eye(classes + 1)[votes][:, :, :classes].sum(axis=1)
    total = cast.sum(axis=1, keepdims=True)
    return np.where(total > 0, cast / np.maximum(total, 1), 1 / classes)


def _learn(cast: Chances, counts: NDArray[np.int64], truth: Chances) -> LabelModel:
    """The parameters that fit best if `truth`, shape `(patterns, classes)`, holds for so many rows of each pattern."""
    patterns, rules, kinds = cast.shape
    weighted = truth * counts[:, None]
    seen = (weighted.T @ cast.reshape(patterns, -1)).reshape(-1, rules, kinds).transpose(1, 0, 2)
    smooth = seen + PSEUDO_ROWS * cast.max(axis=0)[:, None, :]
    prior = weighted.sum(axis=0) + PSEUDO_ROWS
    return LabelModel(prior=prior / prior.sum(), confusion=smooth / smooth.sum(axis=2, keepdims=True))
