"""What a report says in sentences: what was run, what came of it, at what price, and who gains."""

from collections.abc import Iterator

from shared.modes import Mode
from shared.privacy import ADJACENCY, TRUST
from simulations.report.summary import STILL, Epsilons, Gains, Spread, Summary
from simulations.report.tables import About, Baseline
from simulations.report.words import at_delta, count, duration, fixed, percent, signed, size, whole

MODES: dict[Mode, str] = {
    "local": "each device adds all of the noise itself",
    "distributed": "each device adds a share of the noise, and only sums are seen",
    "central": "the coordinator adds the noise",
}


def headline(about: About, summary: Summary) -> str:
    """The page's title."""
    learned = about.title or about.task
    if summary.auc is None:
        return f"{learned}: rehearsed over {count(about.devices, 'device')}"
    return f"{learned}: AUC {fixed(summary.auc.mean)} over {count(about.devices, 'device')}"


def notice(about: About, summary: Summary) -> str | None:
    """What a reader must know first of a rehearsal that was cut short."""
    if about.complete:
        return None
    return (
        f"This rehearsal is not finished: {summary.rounds_done:,} of {count(summary.rounds_asked, 'round')} were run"
        f"{' over all seeds' if len(about.seeds) > 1 else ''}. Everything below is of those rounds; "
        "the same command goes on where it stopped."
    )


def abstract(about: About, summary: Summary) -> Iterator[str]:
    """The report in a few sentences, paragraph by paragraph."""
    yield _what(about, summary)
    yield " ".join(_came(about, summary))
    yield " ".join(_price(about, summary))
    if summary.gains:
        yield " ".join(_who(summary.gains))


def _what(about: About, summary: Summary) -> str:
    trained = f", on {about.trained_on}" if about.trained_on else ""
    tested = f" and was tested on {about.tested_on}" if about.tested_on else ""
    return (
        f"A fleet of {count(about.devices, 'virtual device')} trained task {about.task}, revision {about.revision}"
        f"{trained}{tested}: {count(about.rounds, 'round')} were asked of each of {count(len(about.seeds), 'seed')}; "
        f"{summary.rounds_done:,} were run, and {summary.committed:,} of them committed. In mode {about.mode}, {MODES[about.mode]}. "
        f"It ran the code that ships, on the {about.engine} engine; the plan's hash begins with {about.plan_sha256[:12]}."
    )


def _came(about: About, summary: Summary) -> Iterator[str]:
    if summary.auc is None:
        loss = f"a mean log loss of {spread(summary.loss)}" if summary.loss else "no figure yet"
        yield f"The last weights have {loss} on the test rows."
        return
    finished = f", over the {count(summary.finished, 'seed')} that finished" if _some(about, summary) else ""
    yield f"The last weights reach an AUC of {spread(summary.auc)} on the test rows{finished}."
    bases = about.baselines
    if bases.central and bases.central.auc is not None:
        yield f"All rows in one heap, without privacy, give {_base(bases.central)}."
    if summary.lift is not None:
        yield f"The federation keeps {percent(summary.lift)} of what that adds to guessing."
    if bases.local and bases.local.auc is not None:
        better = summary.auc.mean > bases.local.auc
        yield (
            f"Devices on their own, each with its own rows alone, give {_base(bases.local)}: learning together is "
            f"{'worth' if better else 'NOT worth it, at'} {signed(summary.auc.mean - bases.local.auc)}."
        )


def _some(about: About, summary: Summary) -> bool:
    return 0 < summary.finished < len(about.seeds)


def _price(about: About, summary: Summary) -> Iterator[str]:
    found = summary.epsilons
    if len(found.paid):
        yield (
            f"The device that paid most spent ε = {fixed(found.most, 2)}{at_delta(about.delta)}, for "
            f"{ADJACENCY[about.level]}, {TRUST[about.trust]}. {_half(found)}"
        )
    else:
        yield "No device's ledger was charged." if found.untouched else "No device's ledger has been read yet."
    if summary.rounds_done:
        clock = f" and {duration(summary.virtual_seconds)} on the fleet's clock" if summary.virtual_seconds else ""
        yield (
            f"A device sent {size(summary.traffic.up)} in a round and took {size(summary.traffic.down)}; a run took "
            f"{duration(summary.seconds)} on this machine{clock}."
        )


def _half(found: Epsilons) -> str:
    share = found.untouched / (found.untouched + len(found.paid))
    untouched = f"; {percent(share, 1)} never took part" if found.untouched else ""
    return f"Half of those that took part spent {fixed(found.median, 2)} or less{untouched}."


def _who(gains: Gains) -> Iterator[str]:
    yield (
        f"By the new version {percent(gains.gain)} of devices gain, {percent(gains.lose)} lose, and "
        f"{percent(gains.still)} see nothing: their loss moves by no more than {STILL:g}."
    )
    if gains.trap:
        yield (
            f"Beware of the mean: it improves by {fixed(gains.mean)}, while the median device sees "
            f"{signed(gains.median)}."
        )
    yield (
        f"The worst tenth of devices, each counted alike, goes from a mean loss of {fixed(gains.worst_before)} to {fixed(gains.worst_after)}."
    )


def spread(found: Spread, places: int = 3) -> str:
    """A figure with its range over seeds."""
    if fixed(found.low, places) == fixed(found.high, places):
        return fixed(found.mean, places)
    return f"{fixed(found.mean, places)} ({fixed(found.low, places)} to {fixed(found.high, places)} over seeds)"


def _base(base: Baseline) -> str:
    return f"{fixed(base.auc)} ({base.about})"


def tiles(about: About, summary: Summary) -> Iterator[tuple[str, str, str]]:
    """The figures that stand out: a name, the figure, and what it is measured by."""
    central, gains, found = about.baselines.central, summary.gains, summary.epsilons
    if summary.auc:
        yield "AUC", fixed(summary.auc.mean), f"central {fixed(central.auc)}" if central else "on the test rows"
    elif summary.loss:
        yield "log loss", fixed(summary.loss.mean), "on the test rows"
    if summary.lift is not None:
        yield "of central's lift", percent(summary.lift), "over guessing"
    if len(found.paid):
        yield "ε at most", fixed(found.most, 2), TRUST[about.trust]
    if gains:
        yield "devices gain", percent(gains.gain), f"{percent(gains.lose)} lose"
    if summary.rounds_done:
        yield "sent a round", size(summary.traffic.up), "by each device"
        yield "a run takes", duration(summary.seconds), f"{whole(summary.rounds_done)} rounds over all seeds"
