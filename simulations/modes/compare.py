"""The whole comparison: which campaigns are run, and what came of them, as rows of a report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from client.inputs import Examples
from shared.privacy import LEVELS, TRUST
from shared.tasks import Task
from simulations.modes import measure
from simulations.modes.aircraft import NOISES, read_fleet
from simulations.modes.measure import Band, Comparison, Price, Run
from simulations.modes.numerics import auc_of
from simulations.modes.pool import Job, Say, work
from simulations.modes.settings import KINDS, Kind

Row = dict[str, Any]

REHEARSED: tuple[Kind, ...] = ("none", "distributed", "central", "local")
"""The longest first."""

CLOSE = 0.97
"""Distributed noise is close to central noise where it keeps so much of its lift."""

BEYOND = 2.0
"""One mean is above another where they lie so many standard errors apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured: at which epsilons, how many campaigns a band; `rehearsed` are the fleet and epsilon of whole runs."""

    epsilons: tuple[float, ...]
    repeats: int
    rehearsed: tuple[str, float]


def compare(comparisons: Sequence[Comparison], extent: Extent, *, workers: int, say: Say) -> list[Row]:
    """Every fleet's rows: `modes.FLEET.eps-E.KIND.WHAT`."""
    found = work(dict(_jobs(comparisons, extent)), workers=workers, say=say)
    rows: list[Row] = []
    for each in comparisons:
        test = measure.pooled(each, each.test)
        rows.append(_row(each.name, "devices", len(each.files), "devices"))
        for epsilon in extent.epsilons:
            rows += _fleet(each, epsilon, found, test)
    return rows


def aircraft(task: Task, extent: Extent, *, workers: int, say: Say) -> list[Row]:
    """The aircraft's rows: `modes.aircraft.eps-E.NOISE.WHAT`; epsilon is for whole devices."""
    fleet = read_fleet(task)
    places = {(epsilon, noise): f"aircraft.eps-{epsilon:g}.{noise}" for epsilon in extent.epsilons for noise in NOISES}
    jobs: dict[str, Job] = {
        place: (measure.flights_of, (task, fleet, noise, epsilon, extent.repeats))
        for (epsilon, noise), place in places.items()
    }
    found = work(jobs, workers=workers, say=say)
    rows = [
        _row("aircraft", "devices", len(fleet.devices), "devices"),
        _row("aircraft", "cohort", fleet.cohort, "devices a round"),
    ]
    for epsilon in extent.epsilons:
        tried = {noise: Tried.of(found[places[epsilon, noise]], task, fleet.test) for noise in NOISES}
        for noise, each in tried.items():
            place = places[epsilon, noise]
            rows += [*each.rows(place, tried["none"]), *_price(place, each.band.price)]
        rows.append(_above(f"aircraft.eps-{epsilon:g}", ("correlated", "independent"), tried, tried["none"]))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A band, and the AUC of each of its campaigns."""

    band: Band
    aucs: tuple[float, ...]

    @classmethod
    def of(cls, band: Band, task: Task, test: Examples) -> "Tried":
        """Test every campaign's last weights."""
        return cls(band=band, aucs=tuple(auc_of(task, weights, test) for weights in band.weights))

    @property
    def lift(self) -> float:
        """The mean AUC above chance."""
        return float(np.mean(self.aucs)) - 0.5

    @property
    def deviation(self) -> float:
        """Of one campaign's AUC."""
        return float(np.std(self.aucs, ddof=1)) if len(self.aucs) > 1 else 0.0

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.deviation / len(self.aucs) ** 0.5

    def rows(self, place: str, quiet: "Tried") -> list[Row]:
        """The accuracy, and its share of what is had without noise, with a band of two standard errors."""
        share, error = self.lift / quiet.lift, BEYOND * self.error / quiet.lift
        return [
            _row(place, "auc", 0.5 + self.lift, "AUC"), _row(place, "auc.deviation", self.deviation, "AUC"),
            _row(place, "lift", share, "of no noise"), _row(place, "lift.low", share - error, "of no noise"),
            _row(place, "lift.high", share + error, "of no noise"),
        ]  # fmt: skip


def _jobs(comparisons: Sequence[Comparison], extent: Extent) -> Iterator[tuple[str, Job]]:
    """Whole runs first: they take longest."""
    fleet, epsilon = extent.rehearsed
    for each in comparisons:
        if each.name == fleet:
            for kind in REHEARSED:
                yield f"{_place(each, epsilon, kind)}.run", (measure.run, (each, kind, epsilon))
    for each in comparisons:
        for at in extent.epsilons:
            for kind in KINDS:
                repeats = 1 if kind == "none" else extent.repeats
                yield _place(each, at, kind), (measure.band, (each, kind, at, repeats))


def _fleet(each: Comparison, epsilon: float, found: dict[str, Any], test: Examples) -> list[Row]:
    """One fleet at one epsilon."""
    places = {kind: _place(each, epsilon, kind) for kind in KINDS}
    tried = {kind: Tried.of(found[place], each.task, test) for kind, place in places.items()}
    rows: list[Row] = []
    for kind, place in places.items():
        rows += [*tried[kind].rows(place, tried["none"]), *_price(place, tried[kind].band.price)]
        if tried[kind].band.bits:
            rows.append(_row(place, "bits", tried[kind].band.bits, "bits a value"))
        if run := found.get(f"{place}.run"):
            rows += _rehearsed(f"{place}.run", run, tried[kind], each.task, test)
    at, local = f"{each.name}.eps-{epsilon:g}", max((tried["local"], tried["sampled"]), key=lambda one: one.lift)
    ratio = tried["distributed"].lift / tried["central"].lift
    pair = {"distributed": tried["distributed"], "local": local}
    return [
        *rows,
        _row(at, "distributed-over-central", ratio, "of its lift", target=f">= {CLOSE}", meets=ratio >= CLOSE),
        _above(at, ("distributed", "local"), pair, tried["none"]),
    ]


def _rehearsed(place: str, run: Run, band: Tried, task: Task, test: Examples) -> list[Row]:
    """A whole run: it must lie where the same numerics do without Flower, and cost what the plans say."""
    auc, mean = auc_of(task, run.weights, test), 0.5 + band.lift
    near = 4 * band.deviation * (1 + 1 / len(band.aucs)) ** 0.5 + 5e-4
    rows = [
        _row(place, "auc", auc, "AUC", target=f"{mean:.4f} within {near:.4f}", meets=abs(auc - mean) <= near),
        _row(place, "seconds", run.seconds, "s a round"),
        _row(place, "bytes", run.bytes_up, "bytes up a device and round"),
    ]
    for level, row in zip(LEVELS, _price(place, run.price), strict=True):
        planned, paid = band.band.price.epsilon.get(level), run.price.epsilon.get(level)
        same = planned == paid or (planned is not None and paid is not None and abs(planned - paid) <= 1e-6 * planned)
        rows.append({**row, "target": "as the plans say", "meets": same})
    return rows


def _price(place: str, price: Price) -> list[Row]:
    """Epsilon at each level; null where the mode promises nothing."""
    rows = [_row(place, f"epsilon.{level}", price.epsilon.get(level), "epsilon") for level in LEVELS]
    return [{**row, "trust": TRUST[price.trust]} for row in rows]


def _above(place: str, names: tuple[str, str], tried: Mapping[str, Tried], quiet: Tried) -> Row:
    """By how much of the lift without noise the first mean is above the second."""
    upper, lower = (tried[name] for name in names)
    gap, error = (upper.lift - lower.lift) / quiet.lift, BEYOND * (upper.error**2 + lower.error**2) ** 0.5 / quiet.lift
    target = f"above {error:.4f}, two standard errors"
    return _row(place, "-above-".join(names), gap, "of no noise", target=target, meets=gap > error)


def _place(each: Comparison, epsilon: float, kind: Kind) -> str:
    return f"{each.name}.eps-{epsilon:g}.{kind}"


def _row(place: str, what: str, value: float | None, unit: str, **verdict: str | bool) -> Row:
    return {"name": f"modes.{place}.{what}", "value": value, "unit": unit, **verdict}
