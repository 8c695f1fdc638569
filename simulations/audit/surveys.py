"""The drift survey under audit: noisy counts of rows, with one row in or out.

Its noise comes from the operating system's random bits. To see the same each time, an audit puts a cipher stream in
their place: `client/discrete.py` reads no others.
"""

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from client import discrete, drift
from shared.drift import CONTRACT, OUTCOMES, SurveyPlan, edges_of
from shared.features import Category, Cycle, Number
from shared.noise import CipherStream
from shared.privacy import Cost
from shared.tasks import Task, Window
from simulations.audit.accountant import exact_epsilon
from simulations.audit.bounds import Scores
from simulations.audit.canaries import DELTA, Effort, canary_task
from simulations.audit.findings import Case, Finding, at_least, near, unrelated
from simulations.audit.judgement import judge
from simulations.audit.trainers import spent

BINS = 100
Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a survey counts: raw columns, the model's score of the last class, and the cells of its two other counts."""

    columns: Mapping[str, NDArray[Any]]
    scores: Scores
    cells: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyor:
    """How a survey is answered and what that is said to cost."""

    answer: Callable[[SurveyPlan, Task, Rows], Counts]
    told: Callable[[SurveyPlan, int], float]


def answered(plan: SurveyPlan, task: Task, rows: Rows) -> Counts:
    """The shipped answer, all histograms behind each other."""
    both = np.stack([1 - rows.scores, rows.scores], axis=1)
    report = drift.report(plan, task, columns=rows.columns, scores=both, cells=rows.cells)
    return np.concatenate([histogram.counts for histogram in report.histograms])


def charged(plan: SurveyPlan, surveys: int) -> float:
    """What the ledger says of so many surveys."""
    return spent([Cost(record=plan.events)] * surveys, DELTA)


SHIPPED = Surveyor(answer=answered, told=charged)


class _Bits:
    """Random bits as `secrets` gives them, from a cipher stream."""

    def __init__(self, key: bytes) -> None:
        self._stream = CipherStream(key)

    def token_bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        return self._stream.words(-(-count // 8)).tobytes()[:count]

    def randbelow(self, bound: int) -> int:
        """A random integer below `bound`."""
        while (drawn := int.from_bytes(self.token_bytes(-(-bound.bit_length() // 8)), "little")) >= bound:
            pass
        return drawn


@contextmanager
def seeded(key: bytes) -> Generator[None]:
    """Let discrete noise come from `key` for a while."""
    with patch.object(discrete, "secrets", _Bits(key)):
        yield


def survey_task() -> Task:
    """Two numbers, an hour and a word, so that one row is in several histograms."""
    return replace(
        canary_task(1),
        features=(
            Number(name="load", low=0.0, high=1.0, missing=0.5),
            Number(name="heat", low=-20.0, high=60.0, missing=20.0),
            Cycle(name="hour", period=24.0),
            Category(name="site", values=("north", "south")),
        ),
    )


def survey_plan(**changes: Any) -> SurveyPlan:
    """All four counts, each with a noise of its own."""
    plan = SurveyPlan(
        run_id=1, task="audit", revision=1, release=1, window=Window(), role="current", features=True, score_bins=10,
        feature_bins=5, score_noise_multiplier=1.5, feature_noise_multiplier=1.0, contract_noise_multiplier=2.0,
        outcome_noise_multiplier=2.0,
    )  # fmt: skip
    return replace(plan, **changes)


def rows_of(task: Task, plan: SurveyPlan, present: Sequence[float]) -> Rows:
    """One row for each score in `present`, alike in all else: each in the first cell of the contract and the outcomes."""
    count = len(present)
    columns = {"load": np.full(count, 0.5), "heat": np.full(count, 3.0), "hour": np.full(count, 7.0)}
    cells = {
        bins.name: np.zeros(bins.size, np.int64) for bins in edges_of(task, plan) if bins.name in (CONTRACT, OUTCOMES)
    }
    for cell in cells.values():
        cell[0] = count
    return Rows(
        columns={**columns, "site": np.full(count, "south")}, scores=np.array(present, dtype=float), cells=cells
    )


def bins_of_scores(surveyor: Surveyor, effort: Effort) -> Iterator[Finding]:
    """A hundred rows, each alone in its bin of the score: each survey is a hundred canaries at once."""
    task, plan = survey_task(), survey_plan(score_bins=BINS, features=False, contract_noise_multiplier=None,
                                            outcome_noise_multiplier=None)  # fmt: skip
    surveys, middles = max(4, effort.canaries // BINS), (np.arange(BINS) + 0.5) / BINS
    coins = effort.coins(surveys * BINS, "survey").reshape(surveys, BINS)
    scores = np.stack([surveyor.answer(plan, task, rows_of(task, plan, middles[one].tolist())) for one in coins])
    noise, outside = plan.score_noise_multiplier, scores[~coins]
    yield near("noise", noise, float(outside.std()), error=noise / math.sqrt(2 * outside.size))
    yield from judge(scores.ravel(), coins.ravel(), mu=_theory(plan), told=surveyor.told(plan, 1), of="score's ")


def whole_row(surveyor: Surveyor, effort: Effort) -> Iterator[Finding]:
    """One row, in all histograms at once: the best an attacker can do is to weigh what each of them says of it."""
    task, plan = survey_task(), survey_plan()
    without, with_it = (_exact(task, plan, present) for present in ([0.05], [0.05, 0.75]))
    weights = (with_it - without) / scales(task, plan) ** 2
    coins = effort.coins(2 * effort.surveys, "row")
    present = (rows_of(task, plan, [0.05, 0.75] if coin else [0.05]) for coin in coins)
    scores = np.array([surveyor.answer(plan, task, rows) @ weights for rows in present])
    yield from judge(scores, coins, mu=_theory(plan), told=surveyor.told(plan, 1))
    exact = exact_epsilon(plan.events * 2, delta=DELTA)
    yield at_least("ledger", exact, surveyor.told(plan, 2))


def _exact(task: Task, plan: SurveyPlan, present: Sequence[float]) -> Counts:
    """The counts that an attacker expects, by its own reckoning: every row that is like ours is in the same bins."""
    rows = rows_of(task, plan, present)
    return np.concatenate(drift.count(plan, task, columns=rows.columns, scores=rows.scores, cells=rows.cells)).astype(
        float
    )


def _theory(plan: SurveyPlan) -> float:
    """How far apart a survey's answers with and without a row are, in standard deviations, all histograms together."""
    return math.sqrt(sum(event.noise_multiplier**-2 for event in plan.events))


def one_row(surveyor: Surveyor, _: Effort) -> Iterator[Finding]:
    """One row more moves each histogram's counts by one in one bin: with the same noise, nothing else differs."""
    task, plan = survey_task(), survey_plan()
    moved: list[float] = []
    for present in ([], [0.05], [0.05, 0.4, 0.4]):
        answers: list[Counts] = []
        for rows in (present, [*present, 0.75]):
            with seeded(bytes(32)):
                answers.append(surveyor.answer(plan, task, rows_of(task, plan, rows)))
        moved.append(float(np.linalg.norm((answers[1] - answers[0]) / scales(task, plan))))
    yield near("one row", _theory(plan), max(moved), error=1e-9, within=1.0)


def answers(surveyor: Surveyor, effort: Effort) -> Iterator[Finding]:
    """No two answers share noise, whatever PyTorch's generator was seeded with; a device without rows adds the whole noise."""
    import torch

    task, plan = survey_task(), survey_plan(score_bins=BINS)
    empty = rows_of(task, plan, [])
    counts: list[Counts] = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(4 + effort.surveys // 20):
            torch.manual_seed(7)
            counts.append(surveyor.answer(plan, task, empty))
    scaled = np.stack(counts) / scales(task, plan)
    yield unrelated("answers", scaled)
    score, *others = edges_of(task, plan)
    columns = sum(bins.size for bins in others[: len(task.features)])
    parts = np.split(scaled, [score.size, score.size + columns], axis=1)
    for of, part in zip(("the score", "the columns", "the cells"), parts, strict=True):
        yield near(f"noise of {of}, without rows", 1.0, float(part.std()), error=1 / math.sqrt(2 * part.size))


def scales(task: Task, plan: SurveyPlan) -> Counts:
    """The standard deviation that each count should have."""
    return np.concatenate([np.full(bins.size, bins.noise) for bins in edges_of(task, plan)])


CHECKS: tuple[Callable[[Surveyor, Effort], Iterator[Finding]], ...] = (bins_of_scores, whole_row, one_row, answers)


def examine(surveyor: Surveyor, effort: Effort, *, mutant: str = "") -> Case:
    """All checks of one way to answer."""
    with seeded(effort.key("survey")):
        findings = tuple(finding for check in CHECKS for finding in check(surveyor, effort))
    return Case(target="survey", mutant=mutant, findings=findings)
