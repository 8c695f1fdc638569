"""What a replay comes to: rows for programs, tables for people, and which policy it speaks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from simulations.replay.detecting import FRESH, WORSE, Caught
from simulations.replay.policies import Outcome, Policy
from simulations.replay.watch import Rates

Row = dict[str, Any]

EQUAL = 0.005
"""Mean AUCs that differ by less count as the same; three seeds of the training noise came up to 0.0024 apart."""

WORTH = 0.01
"""What a month's AUC must gain over the first version's before learning again is said to have paid."""

MOST_FALSE = 0.01
"""How often the band lets noise alone be called evident (`server.drift`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything a replay saw. `rates` are of repeated surveys of each month about the first version, `threshold` the task's.

    `unmoved` is of surveys that compare the odd days of what the first version learned from with the even ones; `caught`
    is what detectors on daily losses did.
    """

    outcomes: Sequence[Outcome]
    rates: dict[date, Rates]
    unmoved: Rates
    caught: Sequence[Caught]
    threshold: float
    delta: float

    @property
    def frozen(self) -> Outcome:
        """What the first version would have been worth all along."""
        return next(each for each in self.outcomes if each.policy == "never")

    @property
    def advised(self) -> Outcome:
        """The cheapest, in epsilon, of the policies whose mean AUC is as good as the best one's."""
        best = max(each.auc for each in self.outcomes)
        return min((each for each in self.outcomes if each.auc > best - EQUAL), key=lambda each: each.epsilon)

    def false_alarms(self, *, moved: bool = False) -> Rates:
        """Alarms among the surveys of months whose score did not move beyond the threshold, had nobody added noise.

        With `moved`, of the other months: there an alarm is right.
        """
        exact = {each.month: each.seen.exact > self.threshold for each in self.frozen.months if each.seen}
        chosen = [rates for month, rates in self.rates.items() if exact.get(month) is moved]
        return Rates(surveys=sum(each.surveys for each in chosen), alarms=sum(each.alarms for each in chosen))

    def gains(self, outcome: Outcome) -> dict[date, float]:
        """What a policy's version was worth above the first one, in each month that a later one served."""
        first = {each.month: each.auc for each in self.frozen.months}
        served = [after for before, after in _served(outcome) if before]
        return {each.month: each.auc - first[each.month] for each in served}


def _served(outcome: Outcome) -> Iterator[tuple[bool, Any]]:
    """Each month, with whether a later version than the first served in it."""
    later = False
    for each in outcome.months:
        yield later, each
        later = later or each.learned


def rows(found: Findings) -> Iterator[Row]:
    """The rows of `reports/drift.json`."""
    for each in found.frozen.months:
        name = f"drift.{each.month:%Y-%m}"
        yield {"name": f"{name}.auc of the first version", "value": each.auc, "unit": "AUC"}
        if each.seen:
            yield {"name": f"{name}.psi", "value": each.seen.shift.psi, "unit": "PSI"}
            yield {"name": f"{name}.noise band", "value": each.seen.shift.noise, "unit": "PSI"}
            yield {"name": f"{name}.psi without noise", "value": each.seen.exact, "unit": "PSI"}
            yield {"name": f"{name}.alarm", "value": each.seen.alarm, "unit": ""}
    first = next((each.month for each in found.frozen.months if each.seen and each.seen.alarm), None)
    yield {"name": "drift.first seen", "value": f"{first:%Y-%m}" if first else "never", "unit": "month"}
    yield from _alarms(found)
    for outcome in found.outcomes:
        yield from _policy(found, outcome)
    for each in found.caught:
        yield from _caught(each)
    yield {"name": "drift.recommendation", "value": found.advised.policy, "unit": "policy"}


def _alarms(found: Findings) -> Iterator[Row]:
    named = {
        "false alarms in months whose score did not move": found.false_alarms(),
        "false alarms between odd and even days": found.unmoved,
    }
    for name, rates in named.items():
        share = rates.alarms / rates.surveys if rates.surveys else None
        yield {
            "name": f"drift.{name}", "value": share, "unit": "share", "target": MOST_FALSE,
            "meets": None if share is None else share <= MOST_FALSE, "surveys": rates.surveys,
        }  # fmt: skip
    right = found.false_alarms(moved=True)
    seen = right.alarms / right.surveys if right.surveys else None
    yield {"name": "drift.alarms in months whose score moved", "value": seen, "unit": "share", "surveys": right.surveys}


def _policy(found: Findings, outcome: Outcome) -> Iterator[Row]:
    name, gains = f"drift.{outcome.policy}", found.gains(outcome)
    for each in outcome.months:
        yield {"name": f"{name}.{each.month:%Y-%m}.auc", "value": each.auc, "unit": "AUC"}
        if each.seen and outcome is not found.frozen:
            yield {"name": f"{name}.{each.month:%Y-%m}.psi", "value": each.seen.shift.psi, "unit": "PSI"}
    figures: tuple[tuple[str, object, str], ...] = (
        ("mean auc", outcome.auc, "AUC"), ("epsilon", outcome.epsilon, "epsilon"),
        ("epsilon of campaigns alone", outcome.training, "epsilon"),
        ("epsilon of surveys alone", outcome.surveys, "epsilon"),
        ("epsilon of the dearest row", outcome.row, "epsilon"),
        ("alarms", outcome.alarms, "alarms"), ("false alarms", outcome.false, "alarms"),
        ("surveys that budgets forbade", sum(each.blind for each in outcome.months), "surveys"),
        ("campaigns", outcome.campaigns, "campaigns"),
        ("campaigns that budgets forbade", sum(each.refused for each in outcome.months), "campaigns"),
        ("months that gained", sum(gain >= WORTH for gain in gains.values()), "months"),
        ("months that lost", sum(gain <= -WORTH for gain in gains.values()), "months"),
    )  # fmt: skip
    for what, value, unit in figures:
        yield {"name": f"{name}.{what}", "value": value, "unit": unit}
    paid = next((month for month, gain in gains.items() if gain >= WORTH), None)
    yield {"name": f"{name}.first month that gained", "value": f"{paid:%Y-%m}" if paid else "none", "unit": "month"}


def _caught(each: Caught) -> Iterator[Row]:
    name = f"drift.{each.detector} on daily loss, {each.kind}"
    if each.rise is not None:
        yield {"name": f"{name}.rise", "value": each.rise, "unit": "nats"}
    yield {"name": f"{name}.found", "value": each.found, "unit": "series", "series": each.series}
    yield {"name": f"{name}.days late", "value": each.late, "unit": "days"}
    yield {"name": f"{name}.false alarms", "value": each.false, "unit": "alarms", "series": each.series}


def table(found: Findings) -> Iterator[str]:
    """The replay as a person reads it."""
    yield "What surveys say of the first version's scores, and what it is worth:"
    yield f"  {'month':<9}{'PSI':>7}{'band':>8}{'no noise':>10}{'alarm':>7}{'AUC':>8}   alarms when asked again"
    for each in found.frozen.months:
        rates = found.rates.get(each.month)
        again = f"   {rates.alarms} of {rates.surveys}" if rates else ""
        if each.seen is None:
            yield f"  {each.month:%Y-%m}  {'not asked: no budget':>32}{each.auc:>8.4f}"
            continue
        shift, said = each.seen.shift, "ALARM" if each.seen.alarm else ""
        yield f"  {each.month:%Y-%m}  {shift.psi:>7.3f}{shift.noise:>8.3f}{each.seen.exact:>10.3f}{said:>7}{each.auc:>8.4f}{again}"
    yield f"  An alarm takes a PSI above {found.threshold:g} and above the band of the noise."
    false, unmoved, right = found.false_alarms(), found.unmoved, found.false_alarms(moved=True)
    yield f"  Months that did not move: {false.alarms} false alarms in {false.surveys} surveys; that moved: {right.alarms} alarms in {right.surveys}."
    yield f"  Odd days against even ones: {unmoved.alarms} false alarms in {unmoved.surveys} surveys."
    yield ""
    yield "AUC by month (* learned again in it or at its end, - would have, but budgets forbade it):"
    yield f"  {'month':<9}" + "".join(f"{each.policy:>12}" for each in found.outcomes)
    for months in zip(*(each.months for each in found.outcomes), strict=True):
        marks = ("*" if each.learned else "-" if each.refused else " " for each in months)
        yield f"  {months[0].month:%Y-%m}  " + "".join(
            f"{each.auc:>11.4f}{mark}" for each, mark in zip(months, marks, strict=True)
        )
    yield f"  {'mean':<9}" + "".join(f"{each.auc:>11.4f} " for each in found.outcomes)
    yield f"  {'epsilon':<9}" + "".join(f"{each.epsilon:>11.2f} " for each in found.outcomes)
    yield f"  {'of a row':<9}" + "".join(f"{each.row:>11.2f} " for each in found.outcomes)
    yield f"  {'campaigns':<9}" + "".join(f"{1 + each.campaigns:>11} " for each in found.outcomes)
    yield f"  {'alarms':<9}" + "".join(f"{each.alarms:>11} " for each in found.outcomes)
    yield f"  {'false':<9}" + "".join(f"{each.false:>11} " for each in found.outcomes)
    yield f"  {'blind':<9}" + "".join(f"{sum(m.blind for m in each.months):>11} " for each in found.outcomes)
    yield "  Blind are surveys that budgets forbade."
    yield ""
    yield from _detectors(found)
    yield ""
    for each in found.outcomes:
        if gains := found.gains(each):
            yield f"  {_paid(each.policy, gains)}"
    yield _advice(found)


def _detectors(found: Findings) -> Iterator[str]:
    yield "CUSUM against ADWIN on daily losses (days late: the median of the series in which a rise was found):"
    yield f"  {'days':<30}{'detector':>9}{'rise':>8}{'found':>10}{'days late':>11}{'false alarms':>14}"
    for each in found.caught:
        rise = "" if each.rise is None else f"{each.rise:+.3f}"
        late, found_in = "-" if each.late is None else f"{each.late:g}", f"{each.found} of {each.series}"
        yield f"  {each.kind:<30}{each.detector:>9}{rise:>8}{found_in:>10}{late:>11}{each.false:>14}"
    yield f"  On the flights a rise is one of {WORSE:.0%} or more in the exact loss of the last {FRESH} days."


_SAYS: dict[Policy, str] = {
    "never": "do not learn again",
    "monthly": "learn again each month",
    "on alarm": "learn again when a survey raises an alarm",
    "on loss": "learn again when the daily loss has risen",
}


def _paid(which: Policy, gains: dict[date, float]) -> str:
    """In which months a later version was worth more or less than the first one would have been."""
    won = [f"{month:%B}" for month, gain in gains.items() if gain >= WORTH]
    lost = [f"{month:%B}" for month, gain in gains.items() if gain <= -WORTH]
    return f"Learning again {which} gained {WORTH:g} or more in {_list(won)}; it lost that much in {_list(lost)}."


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or "no month"


def _advice(found: Findings) -> str:
    chosen = found.advised
    others = "; ".join(
        f"{each.policy} {each.auc:.4f} at {each.epsilon:.2f}" for each in found.outcomes if each is not chosen
    )
    return (
        f"Recommended: {_SAYS[chosen.policy]}: mean AUC {chosen.auc:.4f} for epsilon {chosen.epsilon:.2f} a device at delta "
        f"{found.delta:g} ({others}). It is the cheapest within {EQUAL:g} of the best mean AUC."
    )
