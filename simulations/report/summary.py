"""What a rehearsal came to in a few figures, read off its tables: the words and the plots take them from here."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulations.report.tables import About, Tables

STILL = 0.005
"""By how many nats a device's mean loss must move before it counts as a gain or a loss."""

WORST = 0.1
"""The share of devices that are looked at as those who fare worst."""

TRAP = 0.5
"""The mean misleads where it improves and fewer devices than this gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure over seeds: its mean, the lowest and the highest."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """Who gains and who loses by the new version, over the devices of all seeds that have test rows.

    `change` is each one's loss before minus after, shape `(devices,)`: a gain is positive. `mean` is over devices.
    `worst_before` and `worst_after` are the mean loss of the worst tenth, chosen anew for each version.
    """

    change: NDArray[np.float64]
    gain: float
    lose: float
    mean: float
    median: float
    worst_before: float
    worst_after: float

    @property
    def still(self) -> float:
        """The share of devices that see nothing."""
        return 1.0 - self.gain - self.lose

    @property
    def trap(self) -> bool:
        """Whether the mean improves while most devices see nothing of it, or lose."""
        return self.mean > 0 and self.gain < TRAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Epsilons:
    """What devices' own ledgers say, over the devices of all seeds: `paid` are those that paid anything."""

    paid: NDArray[np.float64]
    untouched: int

    @property
    def most(self) -> float:
        """The largest spend; 0 where nobody paid."""
        return float(self.paid.max(initial=0.0))

    @property
    def median(self) -> float | None:
        """The median of those that paid."""
        return float(np.median(self.paid)) if len(self.paid) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes that a device sends in a round in which it returns, and takes in one in which it is asked; all in a run."""

    up: float
    down: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came out. A figure that was not taken is None.

    Figures of the last weights are of the `finished` seeds, those that ran all rounds; of all as they stand if none did.
    """

    finished: int
    rounds_done: int
    rounds_asked: int
    committed: int
    auc: Spread | None
    loss: Spread | None
    lift: float | None
    gains: Gains | None
    epsilons: Epsilons
    traffic: Traffic
    virtual_seconds: float
    seconds: float


def summarise(about: About, tables: Tables) -> Summary:
    """Sum up the tables; time and bytes are those of a run of one seed."""
    rounds, seeds = tables.rounds, max(tables.rounds["seed"].n_unique(), 1)
    done = rounds.filter(pl.col("round").max().over("seed") >= about.rounds)
    judged = rounds if done.is_empty() else done
    auc = last(judged, "auc")
    return Summary(
        finished=done["seed"].n_unique(),
        rounds_done=len(rounds), rounds_asked=about.rounds * len(about.seeds),
        committed=int((rounds["outcome"] == "committed").sum()), auc=auc, loss=last(judged, "loss"),
        lift=_lift(about, auc), gains=gains(tables.devices), epsilons=_epsilons(tables.devices),
        traffic=_traffic(rounds, seeds), virtual_seconds=_total(rounds, "virtual_seconds") / seeds,
        seconds=_total(rounds, "seconds") / seeds,
    )  # fmt: skip


def last(rounds: pl.DataFrame, column: str) -> Spread | None:
    """The figure after each seed's last round that has one, over seeds."""
    known = rounds.drop_nulls(column).sort("round").group_by("seed").last()[column].to_numpy()
    return Spread(mean=float(known.mean()), low=float(known.min()), high=float(known.max())) if len(known) else None


def over_seeds(rounds: pl.DataFrame, column: str) -> list[tuple[float, float, float, float]]:
    """For each round that has the figure: its number, and the figure's mean, lowest and highest over seeds."""
    figure = pl.col(column)
    found = (
        rounds.drop_nulls(column)
        .group_by("round")
        .agg(figure.mean().alias("mean"), figure.min().alias("low"), figure.max().alias("high"))
        .sort("round")
    )
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in found.iter_rows()]


def gains(devices: pl.DataFrame) -> Gains | None:
    """Compare before and after, device by device; None where no device has test rows."""
    judged = devices.filter(pl.col("test_rows") > 0).drop_nulls(["loss_before", "loss_after"])
    if judged.is_empty():
        return None
    before, after = judged["loss_before"].to_numpy(), judged["loss_after"].to_numpy()
    change = before - after
    return Gains(
        change=change, gain=float(np.mean(change > STILL)), lose=float(np.mean(change < -STILL)),
        mean=float(change.mean()), median=float(np.median(change)), worst_before=_worst(before), worst_after=_worst(after),
    )  # fmt: skip


def _worst(losses: NDArray[np.float64]) -> float:
    """The mean of the highest tenth, of one at least."""
    return float(np.sort(losses)[-int(np.ceil(WORST * len(losses))) :].mean())


def _lift(about: About, auc: Spread | None) -> float | None:
    """How much of what central training adds to guessing is kept."""
    central = about.baselines.central
    if auc is None or central is None or central.auc is None or central.auc <= 0.5:
        return None
    return (auc.mean - 0.5) / (central.auc - 0.5)


def _epsilons(devices: pl.DataFrame) -> Epsilons:
    spent = devices["epsilon"].to_numpy()
    return Epsilons(paid=spent[spent > 0], untouched=int((spent <= 0).sum()))


def _traffic(rounds: pl.DataFrame, seeds: int) -> Traffic:
    up, down = _total(rounds, "bytes_up"), _total(rounds, "bytes_down")
    return Traffic(
        up=up / max(_total(rounds, "returned"), 1), down=down / max(_total(rounds, "cohort"), 1),
        total=(up + down) / seeds,
    )  # fmt: skip


def _total(rounds: pl.DataFrame, column: str) -> float:
    return float(rounds[column].sum() or 0)
