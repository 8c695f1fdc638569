"""The ledger's levels: one row, one device, one row before a malicious coordinator; and campaigns paid for whole."""

import math
from collections.abc import Iterator
from contextlib import closing

import pytest

from client import totals
from client.campaigns import Part, forget
from client.ledger import Ledger
from client.policy import Limit
from client.store import AgentStore
from shared import accounting
from shared.errors import BudgetExhausted, NotEligible, PlanTooWeak
from shared.privacy import Cost, PrivacyBudget, SampledGaussian

DELTA = 1e-5
ROUND = SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16)
SUM = SampledGaussian(noise_multiplier=6.0, sample_rate=1.0, steps=1)
OWN = SampledGaussian(noise_multiplier=2.0, sample_rate=1.0, steps=1)
WHOLE = SampledGaussian(noise_multiplier=3.0, sample_rate=1.0, steps=1)
LOCAL = Cost(record=(ROUND,))
SUMMED = Cost(record=(SUM,), device=(WHOLE,), alone=(OWN,), trust="sums")
CENTRAL = Cost(record=(SUM,), device=(WHOLE,), trust="coordinator")
GENEROUS = Limit(what="the budget", budget=PrivacyBudget(epsilon=50.0, delta=DELTA))


@pytest.fixture
def store() -> Iterator[AgentStore]:
    with closing(AgentStore(":memory:")) as opened:
        yield opened


def charge(store: AgentStore, request: str, cost: Cost, *limits: Limit, part: Part | None = None) -> bytes | None:
    return Ledger(store).charge(
        request, task="flights", purpose="training", cost=cost, limits=limits or (GENEROUS,), part=part
    )


def spent(store: AgentStore, level: str) -> float:
    return Ledger(store).spent(DELTA, level=level).epsilon  # type: ignore[arg-type]


def test_a_sum_is_charged_at_each_level(store: AgentStore) -> None:
    charge(store, "a", SUMMED)
    for level, event in (("record", SUM), ("device", WHOLE), ("alone", OWN)):
        assert spent(store, level) == accounting.epsilon([event], delta=DELTA)


def test_rule_7_a_release_for_single_rows_leaves_no_device_protected(store: AgentStore) -> None:
    charge(store, "a", SUMMED)
    assert spent(store, "device") < math.inf
    charge(store, "b", LOCAL)
    assert spent(store, "device") == math.inf
    assert spent(store, "record") == accounting.epsilon([SUM, ROUND], delta=DELTA)


def test_what_trusts_nobody_costs_the_same_before_a_malicious_coordinator(store: AgentStore) -> None:
    charge(store, "a", LOCAL)
    assert spent(store, "alone") == spent(store, "record")
    charge(store, "b", SUMMED)
    assert spent(store, "alone") == accounting.epsilon([ROUND, OWN], delta=DELTA)


def test_a_coordinator_that_adds_the_noise_is_not_protected_against(store: AgentStore) -> None:
    charge(store, "a", CENTRAL)
    assert spent(store, "alone") == math.inf
    assert spent(store, "device") < math.inf


def test_an_owner_may_bound_whole_devices(store: AgentStore) -> None:
    whole = Limit(what="this device as a whole", budget=PrivacyBudget(epsilon=3.0, delta=DELTA), level="device")
    with pytest.raises(PlanTooWeak, match="protects none"):
        charge(store, "a", LOCAL, GENEROUS, whole)
    charge(store, "b", SUMMED, GENEROUS, whole)
    refused = 0
    for number in range(10):
        try:
            charge(store, f"c{number}", SUMMED, GENEROUS, whole)
        except BudgetExhausted as error:
            refused += "this device as a whole" in str(error)
    assert refused > 0
    assert spent(store, "device") <= 3.0


def test_a_budget_for_whole_devices_comes_too_late_after_a_release_for_rows(store: AgentStore) -> None:
    charge(store, "a", LOCAL)
    whole = Limit(what="this device as a whole", budget=PrivacyBudget(epsilon=30.0, delta=DELTA), level="device")
    with pytest.raises(PlanTooWeak, match="protects none"):
        charge(store, "b", SUMMED, GENEROUS, whole)


def test_a_cost_that_trusts_nobody_has_one_level() -> None:
    with pytest.raises(ValueError, match="trusts nobody"):
        Cost(record=(ROUND,), device=(WHOLE,))


def part(number: int, *, campaign: str = "c", rounds: int = 3, separation: int = 1) -> Part:
    return Part(campaign=campaign, number=number, rounds=rounds, separation=separation)


def test_a_reserved_campaign_is_paid_with_its_first_round_and_no_other(store: AgentStore) -> None:
    whole = LOCAL.times(3)
    charge(store, "a", whole, part=part(1))
    after = spent(store, "record")
    assert after == accounting.epsilon([ROUND] * 3, delta=DELTA)
    for number, request in ((2, "b"), (5, "c")):
        assert charge(store, request, whole, part=part(number)) is None
    assert spent(store, "record") == after
    with pytest.raises(NotEligible, match="all 3 rounds"):
        charge(store, "d", whole, part=part(6))
    assert Ledger(store).spent(DELTA).releases == 3


def test_a_campaign_that_the_budget_does_not_cover_whole_is_not_begun(store: AgentStore) -> None:
    tight = Limit(what="the budget", budget=PrivacyBudget(epsilon=2.0, delta=DELTA))
    with pytest.raises(BudgetExhausted):
        charge(store, "a", LOCAL.times(320), tight, part=part(1, rounds=320))
    assert spent(store, "record") == 0.0
    assert charge(store, "b", LOCAL, tight) is None


def test_other_terms_are_another_campaign(store: AgentStore) -> None:
    charge(store, "a", LOCAL.times(3), part=part(1))
    charge(store, "b", LOCAL.times(3), part=part(2, campaign="d"))
    assert spent(store, "record") == accounting.epsilon([ROUND] * 6, delta=DELTA)


def test_a_device_rests_between_its_rounds_of_correlated_noise(store: AgentStore) -> None:
    charge(store, "a", LOCAL.times(3), part=part(2, separation=4))
    with pytest.raises(NotEligible, match="rests for 4 rounds"):
        charge(store, "b", LOCAL.times(3), part=part(5, separation=4))
    assert charge(store, "c", LOCAL.times(3), part=part(6, separation=4)) is None


def test_reservations_that_are_forgotten_are_paid_for_anew(store: AgentStore) -> None:
    charge(store, "a", LOCAL.times(3), part=part(1))
    forget(store)
    charge(store, "b", LOCAL.times(3), part=part(2))
    assert spent(store, "record") == accounting.epsilon([ROUND] * 6, delta=DELTA)


def test_a_round_of_a_reserved_sum_costs_no_whole_device_anything_more(store: AgentStore) -> None:
    whole = Limit(what="this device as a whole", budget=PrivacyBudget(epsilon=8.0, delta=DELTA), level="device")
    charge(store, "a", SUMMED.times(3), GENEROUS, whole, part=part(1))
    before = spent(store, "device")
    charge(store, "b", SUMMED.times(3), GENEROUS, whole, part=part(2))
    assert spent(store, "device") == before


def test_totals_keep_levels_and_trust(store: AgentStore) -> None:
    charge(store, "a", SUMMED)
    charge(store, "b", LOCAL)
    charge(store, "c", CENTRAL)
    kept = totals.unpack(totals.pack(totals.read(store), size=4096))[1]
    assert kept == totals.read(store)
    with closing(AgentStore(":memory:")) as other:
        other.add_settled("recovered", "flights", "", [total.cost for total in kept], at=0.0, sequence=1)
        for level in ("record", "device", "alone"):
            assert spent(other, level) == spent(store, level)
