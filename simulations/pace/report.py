"""Runs as rows and as a table: each way's own figures, and how they compare with what was published."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulations.pace.race import Pace, Reached
from simulations.pace.stages import STAGES, WAYS, StageName, Way

Row = dict[str, Any]
Runs = Mapping[Way, Sequence[Reached | None]]

WORDS: dict[Way, str] = {"rounds": "synchronous rounds", "buffer": "a buffer (FedBuff)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A published ratio of synchronous to asynchronous training, and what is counted for it here."""

    name: str
    published: float
    figure: Callable[[Reached], float]
    definition: str


ANCHORS = (
    Anchor(
        name="FedBuff: updates", published=3.3, figure=lambda run: run.updates,
        definition="updates aggregated until the target is met, rounds over buffer, as many devices at work in both "
        "(Nguyen et al. 2022, abstract: 3.3 times more efficient)",
    ),
    Anchor(
        name="Papaya: time", published=5.0, figure=lambda run: run.seconds,
        definition="virtual time until the target is met, rounds with over-selection over buffer, as many devices at "
        "work in both (Huba et al. 2022, abstract: 5 times faster at high concurrency)",
    ),
    Anchor(
        name="Papaya: trips", published=8.0, figure=lambda run: run.trips,
        definition="turns that devices began until the target is met, rounds over buffer "
        "(Huba et al. 2022, abstract: nearly 8 times less communication)",
    ),
)  # fmt: skip


def rows(stage: StageName, runs: Runs, pace: Pace) -> Iterator[Row]:
    """One stage's figures: medians over the seeds that met the target, and the ratios beside the published ones."""
    name = f"pace.{stage}"
    yield {"name": f"{name}.target", "value": STAGES[stage].target, "unit": STAGES[stage].measure}
    yield {"name": f"{name}.devices at work", "value": pace.concurrency, "unit": "devices"}
    for way in WAYS:
        reached = [run for run in runs[way] if run]
        yield {
            "name": f"{name}.{way}.seeds that met the target", "value": len(reached), "unit": "runs",
            "target": len(runs[way]), "meets": len(reached) == len(runs[way]),
        }  # fmt: skip
        for what, unit, figure in _figures():
            values = [value for run in reached if (value := figure(run)) is not None]
            yield {"name": f"{name}.{way}.{what}", "value": statistics.median(values) if values else None, "unit": unit}
    for anchor in ANCHORS:
        yield ratio(name, anchor, runs)


def ratio(name: str, anchor: Anchor, runs: Runs) -> Row:
    """Rounds over buffer, seed by seed: the median, and from where to where. None unless every seed met the target."""
    pairs = list(zip(*(runs[way] for way in WAYS), strict=True))
    found = [anchor.figure(rounds) / anchor.figure(buffer) for rounds, buffer in pairs if rounds and buffer]
    value = statistics.median(found) if len(found) == len(pairs) else None
    return {
        "name": f"{name}.{anchor.name}", "value": value, "unit": "x", "target": anchor.published,
        "meets": value is not None and value >= anchor.published, "from": min(found, default=None),
        "to": max(found, default=None), "definition": anchor.definition,
    }  # fmt: skip


def _figures() -> tuple[tuple[str, str, Callable[[Reached], float | None]], ...]:
    def epsilon(index: int) -> Callable[[Reached], float | None]:
        return lambda run: run.epsilons[index] if run.epsilons else None

    return (
        ("updates", "updates", lambda run: run.updates),
        ("trips", "turns", lambda run: run.trips),
        ("wasted", "turns", lambda run: run.wasted),
        ("server steps", "steps", lambda run: run.steps),
        ("time", "virtual min", lambda run: run.seconds / 60),
        ("devices that paid", "devices", lambda run: run.payers),
        ("epsilon, median of who paid", "epsilon", epsilon(0)),
        ("epsilon, 95 % paid at most", "epsilon", epsilon(1)),
        ("epsilon, most", "epsilon", epsilon(2)),
    )


def table(stage: StageName, found: Sequence[Row]) -> Iterator[str]:
    """A stage as a person reads it."""
    by_name = {row["name"].removeprefix(f"pace.{stage}."): row for row in found}
    at_work = by_name["devices at work"]["value"]
    yield f"{stage}: until {STAGES[stage].measure} is {STAGES[stage].target:g}, {at_work} devices at work"
    yield f"  {'':<34}" + "".join(f"{WORDS[way]:>22}" for way in WAYS)
    for what in ("seeds that met the target", *(each[0] for each in _figures())):
        values = [by_name[f"{way}.{what}"]["value"] for way in WAYS]
        if any(value is not None for value in values):
            yield f"  {what:<34}" + "".join(f"{_number(value):>22}" for value in values)
    for anchor in ANCHORS:
        row = by_name[anchor.name]
        span = "" if row["from"] is None else f" (seeds {row['from']:.2f} to {row['to']:.2f})"
        verdict = f"{'meets' if row['meets'] else 'MISSES'} {anchor.published:g}x"
        yield f"  {anchor.name:<34}{_number(row['value']):>21}x{span}  {verdict}"
        yield f"      {anchor.definition}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if math.isclose(value, round(value)) else f"{value:,.2f}"
