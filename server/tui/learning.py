"""What a campaign has cost a row and how well its versions do, round by round; pure functions from records to text."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from textual.content import Content

from server.estimates import Estimate
from server.tui.charts import columns
from server.tui.roundchart import MARGIN, axis, frame, scaled
from server.tui.words import line, lines, muted, toned
from shared import accounting
from shared.privacy import SampledGaussian
from shared.rounds import RoundResult

Events = tuple[SampledGaussian, ...]


def spend_by_round(rounds: Sequence[RoundResult], *, delta: float) -> tuple[float, ...]:
    """Epsilon of a row on a device that answered every round so far, after each round."""
    return _spend(tuple(_paid(result) for result in rounds), delta)


def _paid(result: RoundResult) -> Events:
    """What a round cost; of a campaign that was paid as a whole, its first round is all of it."""
    later = result.plan.reserved is not None and result.plan.number > 1
    return () if later else result.plan.cost.record


@lru_cache(maxsize=64)
def _spend(events: tuple[Events, ...], delta: float) -> tuple[float, ...]:
    divergence = np.zeros(len(accounting.ORDERS))
    found: list[float] = []
    for each in events:
        divergence = divergence + accounting.renyi(each)
        found.append(accounting.epsilon_of(divergence, delta=delta))
    return tuple(found)


def learning_chart(
    rounds: Sequence[RoundResult], total: int, aucs: Mapping[int, Estimate], width: int, height: int, *, delta: float
) -> Content:
    """Epsilon above, the AUC of the rounds' versions below as far as they were evaluated, on one axis of rounds.

    `aucs` are by the round's number. Two empty lines stand for what no evaluation has told yet.
    """
    if width < MARGIN + 2 or height < 6:
        return Content("")
    if not rounds:
        return muted("the first round has not ended yet")
    committed = sum(result.outcome == "committed" for result in rounds)
    place = frame(len(rounds), len(rounds) + max(0, total - committed), width)
    shown = rounds[len(rounds) - place.shown :]
    spent = spend_by_round(rounds, delta=delta)
    below = max(2, (height - 4) // 2)
    drawn = columns(
        spent[-place.shown :], height=height - 3 - below, top=spent[-1], tone="$secondary", cell=place.cell,
        gap=place.gap,
    )  # fmt: skip
    return lines(
        _legend(spent[-1], aucs, rounds),
        *scaled(drawn, f"{spent[-1]:.2f}"),
        axis(shown, place),
        *_accuracy(shown, aucs, below, place.cell, place.gap),
    )


def _legend(spent: float, aucs: Mapping[int, Estimate], rounds: Sequence[RoundResult]) -> Content:
    newest = next((aucs[r.plan.number] for r in reversed(rounds) if r.plan.number in aucs), None)
    accuracy = f"AUC {newest}" if newest else "AUC of evaluated rounds"
    return line(
        " " * MARGIN, toned("■ ", "$secondary"), muted(f"above: ε of a row so far {spent:.2f}"),
        "   ", toned("■ ", "$success"), muted(f"below: {accuracy}"),
    )  # fmt: skip


def _accuracy(
    rounds: Sequence[RoundResult], aucs: Mapping[int, Estimate], height: int, cell: int, gap: int
) -> list[Content]:
    """AUC from chance at the foot to the best there is; a round that nobody evaluated stays empty."""
    found = [aucs.get(result.plan.number) for result in rounds]
    known = [each.value for each in found if each is not None]
    if not known:
        return [
            muted(f"{'':{MARGIN}}no round was evaluated yet: `covey evaluate VERSION` asks the fleet for noisy counts")
        ]
    top = max(0.51, *known)
    values = [max(0.0, each.value - 0.5) if each is not None else 0.0 for each in found]
    drawn = columns(values, height=height, top=top - 0.5, tone="$success", cell=cell, gap=gap)
    rows = scaled(drawn, f"{top:.3f}")
    rows[-1] = (
        line(muted(f"{'0.5':>{MARGIN - 2}} "), toned("▏", "$foreground 22%"), drawn[-1]) if height > 1 else rows[-1]
    )
    return rows
