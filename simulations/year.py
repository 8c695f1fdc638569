"""A year of monthly campaigns and daily drift counts, replayed on a virtual clock: `python -m simulations.year`.

The ledger, the limits and the accountant are the device's own. What a row pays is added up anew from the ledger's lines
alone, for a row of each birthday, so that it would show if the ledger forgot a row too early (privacy rule 9). The
same as rows in `reports/year.json`.
"""

import json as json_format
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from client import policy, whole
from client.ledger import Exact, Ledger
from client.settings import AgentSettings, Period, TaskGrant
from client.store import AgentStore
from shared import accounting
from shared.endings import one_line
from shared.errors import BudgetExhausted, InputError
from shared.files import write_whole
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.tasks import Task
from simulations.machines import TASK

REPORT = Path("reports/year.json")
DAY, HOUR = 86_400.0, 3600.0
DAYS, MONTHS = 365, 12
START = 1_767_225_600.0
"""When the year begins: 2026-01-01, UTC."""

ROUNDS = 20
ROUND = SampledGaussian(noise_multiplier=1.6, sample_rate=1 / 16, steps=16)
COUNT = SampledGaussian(noise_multiplier=20.0, sample_rate=1.0, steps=1)
DELTA = 1e-5

ARITHMETIC = (
    ("one campaign", 1, 0, 3.48, 0.005),
    ("two campaigns", 2, 0, 5.07, 0.005),
    ("twelve campaigns", 12, 0, 14.5, 0.05),
    ("a daily count for a year beside two", 2, DAYS, 1.8, 0.05),
)
"""What privacy.md plans with: how many campaigns and counts, the epsilon it says, and how far its digits reach."""

Row = dict[str, Any]
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The ledger's lines as they stand on disk: when each was charged, for which rows, at what divergence."""

    at: NDArray[np.float64]
    begins: NDArray[np.float64]
    ends: NDArray[np.float64]
    divergence: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month: what was charged and refused, epsilon of its dearest period, and, at its end, of a row and all time.

    `row` is the row that paid most of all that there were since the year began.
    """

    number: int
    charged: int
    refused: int
    period: float
    row: float
    lifetime: float


def settings_of(
    *, epsilon: float, row_lifetime_days: float | None, period: Period | None, task: Task = TASK
) -> AgentSettings:
    """An owner's policy for one task."""
    return AgentSettings(
        name="year", coordinator="", federation="", budget=PrivacyBudget(epsilon=epsilon, delta=DELTA),
        tasks={task.name: TaskGrant(data="")}, period=period, row_lifetime_days=row_lifetime_days,
    )  # fmt: skip


def replay(settings: AgentSettings, *, say: Say = lambda _: None) -> tuple[Month, ...]:
    """Ask for a year of campaigns and counts under a policy; the signed task allows more than any owner grants."""
    task = replace(TASK, privacy=replace(TASK.privacy, epsilon=1000.0))
    now, months = [START], list[Month]()
    with closing(AgentStore(":memory:")) as store:
        ledger = Ledger(store, clock=lambda: now[0])

        def ask(at: float, purpose: str, event: SampledGaussian) -> bool:
            now[0] = at
            try:
                ledger.charge(
                    f"{purpose} {at:.0f}", task=task.name, purpose=purpose, cost=Cost(record=(event,)),
                    limits=policy.limits(settings, task),
                )  # fmt: skip
            except BudgetExhausted:
                return False
            return True

        for month in range(MONTHS):
            asked = [ask(*each) for each in sorted(_asked(month), key=lambda each: each[0])]
            months.append(_month(month + 1, asked, read_lines(store), settings))
            say(f"month {month + 1} of {MONTHS}")
    return tuple(months)


def _first_day(month: int) -> int:
    return month * DAYS // MONTHS


def _asked(month: int) -> Iterator[tuple[float, str, SampledGaussian]]:
    """A month's requests: a campaign on its first day, a round each half hour, and a count each noon."""
    first = START + DAY * _first_day(month)
    for number in range(ROUNDS):
        yield first + number * HOUR / 2, f"training, round {number + 1}", ROUND
    for day in range(_first_day(month), _first_day(month + 1)):
        yield START + DAY * day + 12.25 * HOUR, "drift survey", COUNT


def _month(number: int, asked: list[bool], lines: Lines, settings: AgentSettings) -> Month:
    """How things stand when a month ends."""
    return Month(
        number=number, charged=sum(asked), refused=len(asked) - sum(asked), period=_dearest(number, lines, settings),
        row=row_epsilon(lines), lifetime=_epsilon(lines.divergence),
    )  # fmt: skip


def _dearest(month: int, lines: Lines, settings: AgentSettings) -> float:
    """The most that any period cost which ended with a charge in a month."""
    days = settings.period.days if settings.period else DAYS / MONTHS
    ends = lines.at[lines.at >= START + DAY * _first_day(month - 1)]
    periods = ((lines.at >= end - days * DAY) & (lines.at <= end) for end in ends)
    return max((_epsilon(lines.divergence[period]) for period in periods), default=0.0)


def read_lines(store: AgentStore) -> Lines:
    """Every line of the ledger at record level; one that was not for certain rows was for all."""
    rows = store.db.execute(
        "SELECT * FROM events JOIN charges ON charges.id = charge WHERE level = 'record'"
    ).fetchall()
    any_row = [row["dated"] is None for row in rows]
    events = [
        SampledGaussian(noise_multiplier=row["noise_multiplier"], sample_rate=row["sample_rate"], steps=row["steps"])
        for row in rows
    ]
    return Lines(
        at=np.array([row["charged_at"] for row in rows]),
        begins=np.array([-np.inf if every else row["rows_from"] for every, row in zip(any_row, rows, strict=True)]),
        ends=np.array([np.inf if every else row["rows_until"] for every, row in zip(any_row, rows, strict=True)]),
        divergence=np.array([accounting.renyi([event]) for event in events]).reshape(-1, len(accounting.ORDERS)),
    )


def row_epsilon(lines: Lines, *, delta: float = DELTA) -> float:
    """The most that any one row has paid: for a row born at each second at which that could change."""
    births = np.unique(np.concatenate([[START], lines.begins[np.isfinite(lines.begins)]]))
    paid = (lines.begins <= births[:, None]) & (births[:, None] < lines.ends)
    return max((_epsilon(lines.divergence[row], delta) for row in paid), default=0.0)


def _epsilon(divergence: NDArray[np.float64], delta: float = DELTA) -> float:
    return accounting.epsilon_of(divergence.sum(axis=0), delta=delta)


def arithmetic() -> Iterator[Row]:
    """The figures that privacy.md plans with, exactly, and as the ledger charges them."""
    for name, campaigns, counts, said, digits in ARITHMETIC:
        rounds = [replace(ROUND, steps=ROUND.steps * ROUNDS * campaigns)]
        both = [*rounds, *([replace(COUNT, steps=counts)] if counts else [])]
        exact = _more(whole.epsilon, both, rounds if counts else []) if whole.installed() else math.nan
        charged = _more(_charged, both, rounds if counts else [])
        told = not math.isnan(exact)
        yield {
            "name": f"year.arithmetic.{name}", "value": exact if told else None, "unit": "epsilon", "target": said,
            "meets": abs(exact - said) <= digits if told else None,
        }  # fmt: skip
        yield {"name": f"year.arithmetic.{name}, as the ledger charges it", "value": charged, "unit": "epsilon"}


def _charged(events: Sequence[SampledGaussian], delta: float) -> float:
    return accounting.epsilon(events, delta=delta)


def _more(epsilon: Exact, events: list[SampledGaussian], before: list[SampledGaussian]) -> float:
    """How much epsilon events come to, beyond those before them."""
    return epsilon(events, DELTA) - (epsilon(before, DELTA) if before else 0.0)


def rows(name: str, settings: AgentSettings, months: tuple[Month, ...]) -> Iterator[Row]:
    """A year under one policy as rows: each month, and whether the row that paid most stayed within the budget."""
    for month in months:
        about = f"year.{name}.month {month.number:02}"
        for what, unit in (
            ("charged", "charges"), ("refused", "charges"), ("period", "epsilon"), ("row", "epsilon"),
            ("lifetime", "epsilon"),
        ):  # fmt: skip
            yield {"name": f"{about}.{what}", "value": getattr(month, what), "unit": unit}
    budget, last = settings.budget.epsilon, months[-1]
    bounded = {"the row that paid most": max(month.row for month in months)}
    if settings.row_lifetime_days is None:
        bounded["the sum over all time"] = last.lifetime
    for what, value in bounded.items():
        yield {
            "name": f"year.{name}.{what}", "value": value, "unit": "epsilon", "target": budget, "meets": value <= budget,
        }  # fmt: skip
    refused = sum(month.refused for month in months)
    yield {"name": f"year.{name}.refused in the year", "value": refused, "unit": "charges"}


def table(title: str, months: tuple[Month, ...]) -> Iterator[str]:
    """A year as a person reads it."""
    yield title
    yield f"  {'month':>5}{'charged':>9}{'refused':>9}{'period':>9}{'row':>9}{'all time':>10}"
    for month in months:
        counts = f"{month.charged:>9}{month.refused:>9}"
        yield f"  {month.number:>5}{counts}{month.period:>9.2f}{month.row:>9.2f}{month.lifetime:>10.2f}"


def year(
    epsilon: Annotated[float, typer.Option(help="The owner's budget for a row.")] = 8.0,
    row_lifetime_days: Annotated[float, typer.Option(help="How long a row takes part.")] = 90.0,
    period_days: Annotated[float, typer.Option(help="The owner's period.")] = 28.0,
    period_epsilon: Annotated[float, typer.Option(help="What any period may cost.")] = 4.5,
    report: Annotated[Path, typer.Option(help="Where the rows go, as JSON.")] = REPORT,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Replay a year of monthly campaigns and daily drift counts, and show what rows pay if they retire and if not."""
    try:
        period = Period(days=period_days, epsilon=period_epsilon)
        budgets = [
            (name, days, settings_of(epsilon=epsilon, row_lifetime_days=days, period=period))
            for name, days in (("renewing", row_lifetime_days), ("for ever", None))
        ]
    except ValueError as error:
        raise InputError(f"that is no policy of an owner: {error}") from None
    found: list[Row] = [*arithmetic()]
    said: list[str] = ["What privacy.md plans with:"]
    said += [f"  {row['name'][16:]:<68}{_figure(row)}" for row in found]
    for name, days, settings in budgets:
        months = replay(settings, say=lambda words, name=name: _progress(f"{name}: {words}"))
        found += rows(name, settings, months)
        retire = f"rows retire after {days:g} days" if days else "no row retires"
        said += [
            "",
            *table(f"Budget {epsilon:g}, at most {period_epsilon:g} in {period_days:g} days; {retire}", months),
        ]
        said += [
            f"  {row['name'].removeprefix(f'year.{name}.')}: {_figure(row)}" for row in found if _is_sum(row, name)
        ]
    report.parent.mkdir(parents=True, exist_ok=True)
    write_whole(report, json_format.dumps(found, indent=2).encode() + b"\n")
    typer.echo(json_format.dumps(found, indent=2) if json else "\n".join(said))


def _is_sum(row: Row, name: str) -> bool:
    return row["name"].startswith(f"year.{name}.") and ".month " not in row["name"]


def _figure(row: Row) -> str:
    value = row["value"]
    figure = (
        "not known: dp-accounting is not installed"
        if value is None
        else f"{value:.2f}"
        if row["unit"] == "epsilon"
        else f"{value}"
    )
    verdict = row.get("meets")
    return figure + ("" if verdict is None else f"  ({'meets' if verdict else 'MISSES'} {row['target']})")


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{words}  ")


def main() -> None:
    """Run it; whatever goes wrong is one line on stderr and exit status 1."""
    with one_line("covey-sim year"):
        typer.run(year)


if __name__ == "__main__":
    main()
