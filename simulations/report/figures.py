"""The figures of a rehearsal's report: each a plot, the sentence it proves, and the same as a table."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from simulations.report import devices, plots
from simulations.report.devices import Figure
from simulations.report.plots import Level, Line, Words
from simulations.report.prose import spread
from simulations.report.summary import Summary, over_seeds
from simulations.report.tables import About, Baseline, Tables
from simulations.report.words import count, duration, fixed, percent, size, whole

MOST_LINES = 60
"""How many rows a page shows of a long table."""


def figures(about: About, tables: Tables, summary: Summary) -> Iterator[Figure]:
    """Every figure that the tables have something for."""
    rounds = tables.rounds
    if summary.auc:
        yield _accuracy(about, rounds, summary)
    if summary.loss:
        yield _loss(about, rounds, summary)
    if len(summary.epsilons.paid):
        yield devices.epsilon(about, summary)
    if over_seeds(rounds, "epsilon"):
        yield _epsilon_by_round(rounds)
    if summary.gains:
        yield devices.gains(summary.gains)
    for column in tables.groups.filter(pl.col("column") != "devices")["column"].unique(maintain_order=True):
        yield devices.groups(column, tables.groups)
    if len(rounds):
        yield _answers(rounds)
        yield _traffic(rounds, summary)
        yield _time(rounds, summary)


def _accuracy(about: About, rounds: pl.DataFrame, summary: Summary) -> Figure:
    found, best = over_seeds(rounds, "auc"), summary.auc
    levels = _levels(about, lambda base: base.auc)
    kept = f", {percent(summary.lift)} of what central training adds to guessing" if summary.lift is not None else ""
    return Figure(
        name="auc", headline=f"AUC {fixed(best.mean if best else None)} after {count(int(found[-1][0]), 'round')}{kept}",
        note=f"Of the weights after each round, on the same test rows. {_band(about)}",
        plot=plots.lines(
            Words(name="auc", title="AUC by round", x="round", y="AUC", description=_ends("AUC", found)),
            [_over_seeds("federation", "a", found)], levels,
        ),
        headers=("round", "AUC", "lowest seed", "highest seed"), rows=_thin(found, 4),
    )  # fmt: skip


def _loss(about: About, rounds: pl.DataFrame, summary: Summary) -> Figure:
    found = over_seeds(rounds, "loss")
    highest = max(high for *_, high in found)
    levels = [each for each in _levels(about, lambda base: base.loss) if each.value <= 1.1 * highest]
    return Figure(
        name="loss", headline=f"A mean log loss of {spread(summary.loss) if summary.loss else ''}",
        note=f"Cross-entropy in nats a test row: it falls only if the shares that are foretold are right too. {_band(about)}",
        plot=plots.lines(
            Words(name="loss", title="Log loss by round", x="round", y="log loss", description=_ends("log loss", found)),
            [_over_seeds("federation", "a", found)], levels,
        ),
        headers=("round", "log loss", "lowest seed", "highest seed"), rows=_thin(found, 4),
    )  # fmt: skip


def _epsilon_by_round(rounds: pl.DataFrame) -> Figure:
    found = over_seeds(rounds, "epsilon")
    return Figure(
        name="epsilon-rounds", headline=f"A device in every round pays ε = {fixed(found[-1][1], 2)}",
        note="What has been paid after each round by a device that took part in all of them; one that was asked less "
        "often pays less.",
        plot=plots.lines(
            Words(
                name="epsilon-rounds", title="Epsilon by round", x="round", y="ε paid so far",
                description=_ends("epsilon", found),
            ),
            [_over_seeds("in every round", "a", found)], zero=True,
        ),
        headers=("round", "ε so far", "lowest seed", "highest seed"), rows=_thin(found, 3),
    )  # fmt: skip


def _answers(rounds: pl.DataFrame) -> Figure:
    means = rounds.group_by("round").agg(pl.col("cohort", "returned", "refused", "failed").mean()).sort("round")
    layers = [
        ("returned", "a", means["returned"].to_list()),
        ("refused", "c", means["refused"].to_list()),
        ("failed", "b", means["failed"].to_list()),
        ("no answer", "still", (means["cohort"] - means["returned"] - means["refused"] - means["failed"]).to_list()),
    ]
    share = float(means["returned"].sum()) / max(float(means["cohort"].sum()), 1.0)
    abandoned = int((rounds["outcome"] != "committed").sum())
    table = [tuple(float(value) for value in row) for row in means.iter_rows()]
    return Figure(
        name="answers", headline=f"{percent(share)} of the devices that were asked returned an update",
        note=f"Devices asked in a round, by what came of it; means over seeds. {count(abandoned, 'round')} of "
        f"{len(rounds):,} went without a commit.",
        plot=plots.stacked(
            Words(
                name="answers", title="Answers by round", x="round", y="devices",
                description=f"Stacked columns, one a round; {percent(share)} returned.",
            ),
            [float(each) for each in means["round"]], layers,
        ),
        headers=("round", "asked", "returned", "refused", "failed"), rows=_thin(table, 1),
    )  # fmt: skip


def _traffic(rounds: pl.DataFrame, summary: Summary) -> Figure:
    up, down = _so_far(rounds, "bytes_up"), _so_far(rounds, "bytes_down")
    largest = max((value for _, value in (*up, *down)), default=1.0)
    unit, scale = next(
        ((name, size) for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if largest >= size), ("B", 1.0)
    )
    rows = [(a, sent / scale, taken / scale) for (a, sent), (_, taken) in zip(up, down, strict=True)]
    return Figure(
        name="bytes", headline=f"A run moves {size(summary.traffic.total)}",
        note=f"All devices together, up to the coordinator and down from it, added up over rounds; mean over seeds. A "
        f"device that returns sends {size(summary.traffic.up)} a round, one that is asked takes {size(summary.traffic.down)}.",
        plot=plots.lines(
            Words(
                name="bytes", title="Bytes so far, by round", x="round", y=f"{unit} so far",
                description=f"Two rising lines; together they end at {size(summary.traffic.total)}.",
            ),
            [
                Line(name="up", style="a", points=[(a, sent) for a, sent, _ in rows]),
                Line(name="down", style="b", points=[(a, taken) for a, _, taken in rows]),
            ],
            zero=True,
        ),
        headers=("round", f"up, {unit}", f"down, {unit}"), rows=_thin(rows, 3),
    )  # fmt: skip


def _time(rounds: pl.DataFrame, summary: Summary) -> Figure:
    virtual, real = over_seeds(rounds, "virtual_seconds"), over_seeds(rounds, "seconds")
    clock = any(mean for _, mean, *_ in virtual)
    found, whose = (virtual, "the fleet's clock") if clock else (real, "this machine")
    rows = [(a, v, r) for (a, v, *_), (_, r, *_) in zip(virtual, real, strict=True)]
    fleet = f"{duration(summary.virtual_seconds)} on the fleet's clock, " if clock else ""
    return Figure(
        name="time", headline=f"A run takes {fleet}{duration(summary.seconds)} on this machine",
        note=f"Seconds that a round takes on {whose}. The band lies between the quickest and the slowest seed.",
        plot=plots.lines(
            Words(name="time", title="Time by round", x="round", y="seconds", description=_ends("seconds", found)),
            [_over_seeds(whose, "a", found)], zero=True,
        ),
        headers=("round", "fleet's clock, s", "this machine, s"), rows=_thin(rows, 3),
    )  # fmt: skip


def _levels(about: About, figure: Callable[[Baseline], float | None]) -> list[Level]:
    bases = (("central", about.baselines.central), ("each alone", about.baselines.local))
    found = [(name, figure(base)) for name, base in bases if base]
    return [Level(name=f"{name} {fixed(value)}", value=value) for name, value in found if value is not None]


def _over_seeds(name: str, style: str, found: Sequence[tuple[float, float, float, float]]) -> Line:
    return Line(
        name=name, style=style, points=[(a, mean) for a, mean, *_ in found],
        band=[(a, low, high) for a, _, low, high in found],
    )  # fmt: skip


def _band(about: About) -> str:
    seeds = len(about.seeds)
    return (
        f"The band lies between the lowest and the highest of {seeds} seeds." if seeds > 1 else "One seed, so no band."
    )


def _ends(what: str, found: Sequence[tuple[float, ...]]) -> str:
    (first, start, *_), (last, end, *_) = found[0], found[-1]
    return f"A line of {what} over rounds: {fixed(start)} after round {first:g}, {fixed(end)} after round {last:g}."


def _thin(found: Sequence[Sequence[float]], places: int) -> list[tuple[str, ...]]:
    """The rows of a table, evenly chosen where they are many, the last among them."""
    step = max(1, -(-len(found) // MOST_LINES))
    chosen = [row for index, row in enumerate(found) if (len(found) - 1 - index) % step == 0]
    return [(whole(row[0]), *(fixed(value, places) for value in row[1:])) for row in chosen]


def _so_far(rounds: pl.DataFrame, column: str) -> list[tuple[float, float]]:
    means = rounds.group_by("round").agg(pl.col(column).mean()).sort("round")
    return [(float(a), float(b)) for a, b in zip(means["round"], means[column].cum_sum(), strict=True)]
