"""Whether the accountants say what is so, and what admitting a round costs a device.

Agreement: epsilon by privacy loss distributions (`shared/pld.py`) and by the ledger's Renyi filter, less the exact one
(`simulations/benchmarks/exact.py`). The first is to be within a thousandth, and neither ever below. Admission: processor
time of `Ledger.charge` on a ledger in memory, so without the disk's own, whose rounds were of ten mechanisms.

python -m simulations.benchmarks.accounting
"""

import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

from client.ledger import Ledger
from client.policy import Limit
from client.store import AgentStore
from shared import accounting, pld
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from simulations.benchmarks import exact

TOLERANCE = 1e-3
ADMISSION_MS = 1.0
LEDGERS = (20, 400, 2000)
MECHANISMS = 10
REPEATS = 40

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A history whose exact epsilon is known."""

    name: str
    history: tuple[SampledGaussian, ...]
    delta: float
    exact: float


def cases() -> list[Case]:
    """Gaussians and single steps with their closed forms, and campaigns up to 10^6 steps."""
    closed = [
        _gaussian("gaussian.400_steps", (20.0, 400), delta=1e-5),
        _gaussian("gaussian.1_count", (10.0, 1), delta=1e-6),
        _gaussian("gaussian.a_year_of_counts", (10.0, 365), (14.0, 365), (20.0, 52), delta=1e-5),
    ]
    for noise, rate in ((1.2, 1 / 32), (0.8, 0.01), (4.0, 0.25), (0.6, 0.5)):
        event = _event(noise, rate, 1)
        known = exact.one_step(noise, rate, delta=1e-5)
        closed.append(Case(name=f"one_step.noise_{noise:g}.rate_{rate:g}", history=(event,), delta=1e-5, exact=known))
    return [
        *closed,
        _composed("flights.20_rounds", _event(1.2, 1 / 32, 320), delta=1e-5),
        _composed("flights.12_campaigns", _event(1.2, 1 / 32, 3840), _event(10.0, 1.0, 365), delta=1e-5),
        _composed("published.2250_steps", _event(1.5, 0.04, 2250), delta=1e-5),
        _composed("published.10000_steps", _event(4.0, 0.01, 10_000), delta=1e-5),
        _composed("rare.1000000_steps", _event(1.0, 1e-4, 1_000_000), delta=1e-5),
        _composed("small_delta.320_steps", _event(1.2, 1 / 32, 320), delta=1e-8),
    ]


def measure() -> list[Row]:
    """Agreement of both accountants case by case, then what an admission takes."""
    return [row for case in cases() for row in _agreement(case)] + [row for size in LEDGERS for row in _admission(size)]


def main() -> None:
    """Print the table."""
    for row in measure():
        target = f"  target {row['target']}: {'met' if row['meets'] else 'not met'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<58} {row['value']:>12.6f} {row['unit']:<8}{target}\n")


def _agreement(case: Case) -> list[Row]:
    tight = pld.epsilon(case.history, delta=case.delta) - case.exact
    ledger = accounting.epsilon(case.history, delta=case.delta) - case.exact
    name, unit = f"device.epsilon.{case.name}", "epsilon"
    return [
        {"name": f"{name}.exact", "value": case.exact, "unit": unit},
        {"name": f"{name}.pld_above_exact", "value": tight, "unit": unit, "target": f"0 to {TOLERANCE:g}",
         "meets": 0 <= tight <= TOLERANCE},
        {"name": f"{name}.ledger_above_exact", "value": ledger, "unit": unit, "target": "0 or more", "meets": ledger >= 0},
    ]  # fmt: skip


def _admission(size: int) -> list[Row]:
    """The first and a later charge of one round, on a ledger that holds `size` rounds, against two budgets."""
    ledger = Ledger(_ledger_of(size))
    budget = PrivacyBudget(epsilon=1e6, delta=1e-5)
    limits = Limit(what="all", budget=budget), Limit(what="its share", budget=budget, task="benchmark")
    times: list[float] = []
    for number in range(REPEATS + 1):
        cost, started = _round(size, 0), time.process_time()
        ledger.charge(f"new-{number}", task="benchmark", purpose="round", cost=cost, limits=limits)
        times.append((time.process_time() - started) * 1000)
    later, name = statistics.median(times[1:]), f"device.admission.after_{size}_rounds"
    return [
        {"name": f"{name}.first", "value": times[0], "unit": "ms"},
        {"name": name, "value": later, "unit": "ms", "target": f"<= {ADMISSION_MS:g}", "meets": later <= ADMISSION_MS},
    ]


def _ledger_of(rounds: int) -> AgentStore:
    """A ledger of so many rounds."""
    store = AgentStore(":memory:")
    with store.transaction():
        for number in range(rounds):
            store.add_charge(f"old-{number}", "benchmark", "round", _round(rounds, number % MECHANISMS))
    return store


def _round(size: int, mechanism: int) -> Cost:
    """One round; ledgers have different mechanisms, because an agent that starts has seen none of its own."""
    return Cost(record=(_event(1.2 + 0.01 * mechanism + 1e-6 * size, 1 / 32, 16),))


def _event(noise: float, rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=steps)


def _gaussian(name: str, *counts: tuple[float, int], delta: float) -> Case:
    strength = sum(steps / noise**2 for noise, steps in counts) ** 0.5
    history = tuple(_event(noise, 1.0, steps) for noise, steps in counts)
    return Case(name=name, history=history, delta=delta, exact=exact.gaussian(strength, delta=delta))


def _composed(name: str, *history: SampledGaussian, delta: float) -> Case:
    known = exact.composed(history, delta=delta, below=accounting.epsilon(history, delta=delta))
    return Case(name=name, history=history, delta=delta, exact=known)


if __name__ == "__main__":
    main()
