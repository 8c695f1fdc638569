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
    """A history of events at a delta."""

    name: str
    history: tuple[SampledGaussian, ...]
    delta: float = 1e-5

    @property
    def exact(self) -> float:
        """Its exact epsilon: in closed form for Gaussians and for a single step, else by the contour."""
        if all(event.sample_rate == 1.0 for event in self.history):
            strength = sum(event.steps / event.noise_multiplier**2 for event in self.history) ** 0.5
            return exact.gaussian(strength, delta=self.delta)
        one = self.history[0]
        if len(self.history) == one.steps == 1:
            return exact.one_step(one.noise_multiplier, one.sample_rate, delta=self.delta)
        return exact.composed(
            self.history, delta=self.delta, below=accounting.epsilon(self.history, delta=self.delta)
        )  # fmt: skip


def _event(noise: float, rate: float, steps: int) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=steps)


CASES = (
    Case(name="gaussian.400_steps", history=(_event(20.0, 1.0, 400),)),
    Case(name="gaussian.1_count", history=(_event(10.0, 1.0, 1),), delta=1e-6),
    Case(
        name="gaussian.a_year_of_counts",
        history=(_event(10.0, 1.0, 365), _event(14.0, 1.0, 365), _event(20.0, 1.0, 52)),
    ),
    Case(name="one_step.noise_1.2.rate_0.03", history=(_event(1.2, 1 / 32, 1),)),
    Case(name="one_step.noise_0.8.rate_0.01", history=(_event(0.8, 0.01, 1),)),
    Case(name="one_step.noise_4.rate_0.25", history=(_event(4.0, 0.25, 1),)),
    Case(name="one_step.noise_0.6.rate_0.5", history=(_event(0.6, 0.5, 1),)),
    Case(name="flights.20_rounds", history=(_event(1.2, 1 / 32, 320),)),
    Case(name="flights.20_rounds.small_delta", history=(_event(1.2, 1 / 32, 320),), delta=1e-8),
    Case(
        name="flights.12_campaigns_and_a_year_of_counts",
        history=(_event(1.2, 1 / 32, 3840), _event(10.0, 1.0, 365)),
    ),
    Case(name="published.2250_steps", history=(_event(1.5, 0.04, 2250),)),
    Case(name="published.10000_steps", history=(_event(4.0, 0.01, 10_000),)),
    Case(name="rare.1000000_steps", history=(_event(1.0, 1e-4, 1_000_000),)),
)
"""Gaussians and single steps, whose epsilon has a closed form, and campaigns up to a million steps."""


def measure() -> list[Row]:
    """Agreement of both accountants case by case, then what an admission takes."""
    return [row for case in CASES for row in _agreement(case)] + [row for size in LEDGERS for row in _admission(size)]


def main() -> None:
    """Print the table."""
    for row in measure():
        target = f"  target {row['target']}: {'met' if row['meets'] else 'not met'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<58} {row['value']:>12.6f} {row['unit']:<8}{target}\n")


def _agreement(case: Case) -> list[Row]:
    known = case.exact
    tight = pld.epsilon(case.history, delta=case.delta) - known
    ledger = accounting.epsilon(case.history, delta=case.delta) - known
    name, unit = f"device.epsilon.{case.name}", "epsilon"
    return [
        {"name": f"{name}.exact", "value": known, "unit": unit},
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


if __name__ == "__main__":
    main()
