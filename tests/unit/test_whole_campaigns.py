"""A campaign that is charged whole may be admitted by its exact epsilon, and never stands beside anything else then."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from client import desk, whole
from client.campaigns import Part
from client.ledger import Ledger
from client.lifetimes import DAY, Lifetime
from client.policy import Limit
from client.store import AgentStore
from shared import accounting, pld
from shared.errors import BudgetExhausted
from shared.privacy import Cost, PrivacyBudget, SampledGaussian

DELTA, ROUNDS = 1e-5, 20
ROUND = SampledGaussian(noise_multiplier=1.6, sample_rate=1 / 16, steps=16)
TINY = SampledGaussian(noise_multiplier=1e6, sample_rate=1.0, steps=1)
WHOLE = Cost(record=(ROUND,)).times(ROUNDS)
BUDGET = PrivacyBudget(epsilon=3.6, delta=DELTA)
"""Between what the campaign costs exactly, 3.48, and by the accountant, 3.83."""


@pytest.fixture
def store() -> Iterator[AgentStore]:
    with closing(AgentStore(":memory:")) as opened:
        yield opened


class Book:
    """A ledger that knows exact epsilons, or does not, under one limit."""

    def __init__(self, store: AgentStore, *, knows: bool = True, limit: Limit | None = None) -> None:
        self.now, self.limits = [1_000_000.0], [limit or Limit(what="the budget", budget=BUDGET)]
        self.ledger = Ledger(store, clock=lambda: self.now[0], exact=whole.epsilon if knows else None)

    def charge(self, request: str, cost: Cost, *, number: int | None = None, campaign: str = "c") -> bool:
        part = None if number is None else Part(campaign=campaign, number=number, rounds=ROUNDS, separation=1)
        try:
            self.ledger.charge(request, task="m", purpose="", cost=cost, limits=self.limits, part=part)
        except BudgetExhausted:
            return False
        return True


def test_exact_epsilon_lies_below_the_budget_and_the_accountants_above() -> None:
    assert 3.48 < pld.epsilon(WHOLE.record, delta=DELTA) == whole.epsilon(WHOLE.record, DELTA) < BUDGET.epsilon
    assert BUDGET.epsilon < accounting.epsilon(WHOLE.record, delta=DELTA)


def test_a_campaign_is_admitted_by_its_exact_epsilon_and_nothing_after_it(store: AgentStore) -> None:
    book = Book(store)
    assert book.charge("a", WHOLE, number=1)
    assert book.charge("b", WHOLE, number=2), "its rounds are paid"
    assert not book.charge("c", Cost(record=(TINY,))), "the accountant decides over everything, and this is too much"
    assert not book.charge("d", Cost(record=(TINY,)).times(ROUNDS), number=1, campaign="d")


def test_without_dp_accounting_the_accountant_decides(store: AgentStore) -> None:
    assert not Book(store, knows=False).charge("a", WHOLE, number=1)


def test_whatever_counts_already_leaves_it_to_the_accountant(store: AgentStore) -> None:
    book = Book(store)
    assert book.charge("a", Cost(record=(TINY,)))
    assert not book.charge("b", WHOLE, number=1)


def test_rounds_that_pay_for_themselves_are_never_admitted_so(store: AgentStore) -> None:
    """Later plans depend on earlier outputs (privacy rule 8)."""
    assert not Book(store).charge("a", WHOLE)


@pytest.mark.parametrize("trust", ["sums", "coordinator"])
def test_noise_that_is_not_this_devices_alone_is_left_to_the_accountant(store: AgentStore, trust: str) -> None:
    """Noise in shares equals a Gaussian in Renyi divergence only (docs/decisions/0013)."""
    assert not Book(store).charge("a", replace(WHOLE, device=(TINY,), trust=trust), number=1)  # type: ignore[arg-type]


def test_a_campaign_beyond_the_budget_is_refused_either_way(store: AgentStore) -> None:
    tight = Limit(what="the budget", budget=PrivacyBudget(epsilon=3.4, delta=DELTA))
    assert not Book(store, limit=tight).charge("a", WHOLE, number=1)


def test_each_limit_decides_for_itself(store: AgentStore) -> None:
    book = Book(store)
    book.limits.append(Limit(what="a period", budget=PrivacyBudget(epsilon=3.0, delta=DELTA), days=7.0))
    assert not book.charge("a", WHOLE, number=1)
    book.limits[1] = Limit(what="a period", budget=PrivacyBudget(epsilon=3.7, delta=DELTA), days=7.0)
    assert book.charge("a", WHOLE, number=1)


def test_the_next_campaign_is_for_rows_that_paid_nothing_yet(store: AgentStore) -> None:
    lives = Lifetime(task="m", column="at", days=10.0)
    book = Book(store, limit=Limit(what="the budget", budget=BUDGET, lifetime=lives))
    assert book.charge("a", WHOLE, number=1)
    book.now[0] += 9 * DAY
    assert not book.charge("b", WHOLE, number=1, campaign="d")
    book.now[0] += DAY
    assert book.charge("c", WHOLE, number=1, campaign="d")


def test_nobody_computes_for_minutes_what_cannot_fit(store: AgentStore) -> None:
    """A coordinator chooses the campaign; the exact epsilon is asked for where it may change the answer alone."""
    asked: list[Sequence[SampledGaussian]] = []

    def exact(events: Sequence[SampledGaussian], _: float) -> float:
        asked.append(events)
        return 0.0

    ledger = Ledger(store, exact=exact)
    for request, cost in (("far", WHOLE.times(100)), ("near", Cost(record=(TINY,)))):
        part = Part(campaign=request, number=1, rounds=1, separation=1)
        try:
            ledger.charge(
                request, task="m", purpose="", cost=cost, limits=[Limit(what="all", budget=BUDGET)], part=part
            )
        except BudgetExhausted:
            assert request == "far"
    assert asked == []
    assert whole.epsilon([replace(ROUND, steps=whole.MOST_STEPS + 1)], DELTA) == float("inf")


@pytest.mark.parametrize("installed", [True, False])
def test_a_device_asks_for_exact_epsilons_where_they_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    from sequencing import Device

    home = Device(tmp_path).home
    monkeypatch.setattr(whole, "installed", lambda: installed)
    with closing(desk.Desk(home, "machines").store):
        assert (desk.Desk(home, "machines").ledger._exact is not None) == installed
