"""The figures about devices and groups: what they paid, who gains, who loses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulations.report import plots
from simulations.report.plots import Bin, Change, Level, Words
from simulations.report.summary import STILL, Gains, Summary
from simulations.report.tables import About
from simulations.report.words import at_delta, count, fixed, percent, signed, whole

MOST_GROUPS, BINS = 24, 40
"""What a page shows of many groups, and of a distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One plot with its sentence, a note on how to read it, and its table."""

    name: str
    headline: str
    note: str
    plot: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def epsilon(about: About, summary: Summary) -> Figure:
    """How what devices paid is distributed."""
    found = summary.epsilons
    bins = _bins(found.paid, lambda _: "a")
    untouched = (
        f" Those that never took part ({percent(found.untouched / (found.untouched + len(found.paid)), 1)}) are left out."
        if found.untouched
        else ""
    )
    shares = [0.05, 0.25, 0.5, 0.75, 0.95, 1.0]
    return Figure(
        name="epsilon", headline=f"No device paid more than ε = {fixed(found.most, 2)}",
        note=f"What each device's own ledger says{at_delta(about.delta)}, over all seeds: only a rehearsal can look.{untouched}",
        plot=plots.histogram(
            Words(
                name="epsilon", title="Epsilon per device", x="ε that a device paid", y="devices",
                description=f"A histogram of {count(len(found.paid), 'ledger')}: half paid at most {fixed(found.median, 2)}, the most is {fixed(found.most, 2)}.",
            ),
            bins, [Level(name=f"half: {fixed(found.median, 2)} or less", value=found.median or 0.0)],
        ),
        headers=("devices", "paid at most ε"),
        rows=[(percent(share), fixed(float(np.quantile(found.paid, share)), 3)) for share in shares],
    )  # fmt: skip


def gains(gains: Gains) -> Figure:
    """Who gains and who loses by the new version."""
    low, high = np.quantile(gains.change, [0.005, 0.995])
    reach = max(abs(low), abs(high), 2 * STILL)
    shown = np.clip(gains.change, -reach, reach)
    bins = _bins(shown, lambda middle: "a" if middle > 0 else "b", span=(-reach, reach))
    shares = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]
    trap = " The mean improves all the same: a mean says little here." if gains.trap else ""
    return Figure(
        name="gains", headline=f"{percent(gains.gain)} of devices gain by the new version, {percent(gains.lose)} lose",
        note=f"Each device's mean loss on its own test rows, before minus after, over all seeds: a gain lies to the right. Within ±{STILL:g} "
        f"counts as nothing ({percent(gains.still)}).{trap} What lies outside is counted in the last bar.",
        plot=plots.histogram(
            Words(
                name="gains", title="Who gains and who loses", x="loss before, less loss after", y="devices",
                description=f"A histogram of {count(len(gains.change), 'device')}: mean {signed(gains.mean)}, median {signed(gains.median)}.",
            ),
            bins, [Level(name=f"mean {signed(gains.mean)}", value=float(np.clip(gains.mean, -reach, reach)))],
        ),
        headers=("devices", "gain at most"),
        rows=[(percent(share), signed(float(np.quantile(gains.change, share)), 4)) for share in shares],
    )  # fmt: skip


def groups(column: str, table: pl.DataFrame) -> Figure:
    """The groups of a column before and after, beside the devices that fare worst and all of them."""
    means = (
        table.filter(pl.col("column").is_in([column, "devices"]))
        .group_by("column", "group", maintain_order=True)
        .agg(pl.col("rows").mean(), pl.col("auc", "loss_before", "loss_after").mean())
    )
    words = means.filter(pl.col("column") == column).sort("rows", descending=True)
    shown = words.head(MOST_GROUPS).sort("loss_after", descending=True)
    everyone = means.filter(pl.col("column") == "devices")
    worse = int((words["loss_after"] > words["loss_before"] + STILL).sum())
    found = [*_changes(everyone, strong=True), *_changes(shown, strong=False)]
    left_out = f" The {MOST_GROUPS} with most rows are drawn." if len(words) > MOST_GROUPS else ""
    return Figure(
        name=f"group-{column}",
        headline=f"By {column}: {'no group loses' if not worse else count(worse, 'group') + ' of ' + str(len(words)) + (' loses' if worse == 1 else ' lose')}",
        note=f"Mean loss of a group's test rows before (ring) and after (point), the worst first.{left_out} The worst "
        "10 % are the rows of the devices whose own loss is highest, chosen anew before and after.",
        plot=plots.changes(
            Words(
                name=f"group-{column}", title=f"Loss by {column}, before and after", x="mean log loss", y="",
                description="; ".join(f"{each.name} from {fixed(each.before)} to {fixed(each.after)}" for each in found),
            ),
            found,
        ),
        headers=(column, "rows", "AUC after", "loss before", "loss after", "gain"),
        rows=[
            (each["group"], whole(each["rows"]), fixed(each["auc"]), fixed(each["loss_before"]), fixed(each["loss_after"]), _gain(each))
            for each in (*everyone.to_dicts(), *words.to_dicts())
        ],
    )  # fmt: skip


def _bins(
    values: NDArray[np.float64], style: Callable[[float], str],
    span: tuple[float, float] | None = None,
) -> list[Bin]:  # fmt: skip
    low, high = span or (float(values.min()), float(values.max()))
    if not high > low:
        low, high = low - max(abs(low), 1.0) * 0.05, high + max(abs(high), 1.0) * 0.05
    counts, edges = np.histogram(values, bins=BINS, range=(low, high))
    return [
        Bin(low=float(a), high=float(b), count=int(n), style=style(float((a + b) / 2)))
        for n, a, b in zip(counts, edges[:-1], edges[1:], strict=True)
    ]


def _changes(groups: pl.DataFrame, *, strong: bool) -> list[Change]:
    return [
        Change(name=each["group"], before=each["loss_before"], after=each["loss_after"], strong=strong)
        for each in groups.to_dicts()
    ]


def _gain(row: dict[str, float | None]) -> str:
    before, after = row["loss_before"], row["loss_after"]
    return signed(None if before is None or after is None else before - after)
