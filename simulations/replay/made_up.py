"""Made-up days for detectors: outcomes come as their scores say, until a known share of them turns over on a known day."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np

from server.losses import Loss, loss_of
from shared.drift import OUTCOMES, Histogram
from shared.tasks import Task
from simulations.replay.answers import days, edges, one_day, told
from simulations.replay.detecting import DETECTORS, Caught, judged
from simulations.replay.policies import Say

LENGTH, CHANGES = 120, 75
"""How many days a series has, and the day from which outcomes turn over."""

SHARES = (0.0, 0.1, 0.2, 0.4)
"""Of outcomes that turn over."""

ROWS = 600
"""A day's, of the whole fleet: as many as eight stations fly."""

FIRST = date(2026, 1, 1)
DATES = days(FIRST, FIRST + timedelta(days=LENGTH))


def on_made_up(task: Task, *, devices: int, streams: int, say: Say, seed: int = 1) -> Iterator[Caught]:
    """Hold every detector against so many series of every share; `devices` add the task's noise to their outcomes."""
    random = np.random.default_rng(seed)
    for share in SHARES:
        say(f"made-up days, {share:.0%} turn over")
        series = [list(made_up(task, random, share, devices)) for _ in range(streams)]
        risen = [share > 0 and number >= CHANGES for number in range(LENGTH)]
        for detector in DETECTORS:
            yield judged(
                detector, f"{share:.0%} of outcomes turn over", series, [str(day) for day in DATES], risen,
                rise=_rise(series),
            )  # fmt: skip


def made_up(task: Task, random: np.random.Generator, share: float, devices: int) -> Iterator[Loss]:
    """Each day's loss, of noisy counts; a day that tells none is left out."""
    bins, noise = task.drift.score_bins, (task.drift.outcome_noise_multiplier or 0.0) * devices**0.5
    for number, day in enumerate(DATES):
        scores = random.beta(2.0, 5.0, ROWS)
        turned = random.random(ROWS) < (share if number >= CHANGES else 0.0)
        labels = (random.random(ROWS) < scores) ^ turned
        places = labels * bins + np.minimum((scores * bins).astype(np.int64), bins - 1)
        counts = np.bincount(places, minlength=2 * bins) + random.normal(0.0, noise, 2 * bins)
        cells = Histogram(name=OUTCOMES, edges=edges(2 * bins), counts=tuple(counts.tolist()), noise=noise)
        if (found := loss_of(told(task, one_day(day), (cells,)), task)) is not None:
            yield found


def _rise(series: list[list[Loss]]) -> float:
    """How much the mean loss rose, in nats."""
    turning = str(DATES[CHANGES])
    losses = [(loss.value, loss.window.start >= turning) for one in series for loss in one]
    before, after = ([value for value, late in losses if late is now] for now in (False, True))
    return float(np.mean(after) - np.mean(before))
