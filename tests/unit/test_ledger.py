"""The ledger: charge, seal, send; each once, in this order, within the budget."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from client.ledger import Ledger
from client.policy import Limit
from client.store import AgentStore
from shared import accounting
from shared.errors import BudgetExhausted, NotEligible
from shared.privacy import Cost, PrivacyBudget, SampledGaussian

DELTA = 1e-5
ROUND = SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16)
COUNT = SampledGaussian(noise_multiplier=10.0, sample_rate=1.0, steps=1)
GENEROUS = PrivacyBudget(epsilon=8.0, delta=DELTA)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(AgentStore(":memory:")) as store:
        yield Ledger(store)


def charge(ledger: Ledger, request: str, *events: SampledGaussian, budget: PrivacyBudget = GENEROUS) -> bytes | None:
    limits = [Limit(what="the budget", budget=budget)]
    return ledger.charge(
        request, task="flights", purpose="training", cost=Cost(record=events or (ROUND,)), limits=limits
    )


def spent(ledger: Ledger) -> float:
    return ledger.spent(DELTA).epsilon


def test_a_new_request_is_charged_before_anything_is_computed(ledger: Ledger) -> None:
    assert charge(ledger, "a") is None
    assert spent(ledger) == accounting.epsilon([ROUND], delta=DELTA)
    assert ledger.unsent() == []


def test_a_request_charged_before_is_burnt(ledger: Ledger) -> None:
    charge(ledger, "a")
    before = spent(ledger)
    with pytest.raises(NotEligible, match="charged before"):
        charge(ledger, "a")
    assert spent(ledger) == before


def test_a_sealed_request_gets_the_identical_bytes_again_for_nothing(ledger: Ledger) -> None:
    charge(ledger, "a")
    ledger.seal("a", b"reply")
    before = spent(ledger)
    assert charge(ledger, "a") == b"reply"
    assert spent(ledger) == before


def test_a_sent_request_is_never_answered_again(ledger: Ledger) -> None:
    charge(ledger, "a")
    ledger.seal("a", b"reply")
    ledger.mark_sent("a")
    assert ledger.unsent() == []
    with pytest.raises(NotEligible):
        charge(ledger, "a")
    with pytest.raises(NotEligible):
        ledger.seal("a", b"another reply")


def test_a_reply_is_sealed_once(ledger: Ledger) -> None:
    charge(ledger, "a")
    ledger.seal("a", b"reply")
    with pytest.raises(NotEligible):
        ledger.seal("a", b"another reply")
    assert ledger.unsent() == [("a", b"reply")]


def test_nothing_is_sealed_without_a_charge(ledger: Ledger) -> None:
    with pytest.raises(NotEligible):
        ledger.seal("a", b"reply")
    assert ledger.unsent() == []


def test_a_charge_is_not_sent_before_it_is_sealed(ledger: Ledger) -> None:
    charge(ledger, "a")
    ledger.mark_sent("a")
    ledger.seal("a", b"reply")
    assert ledger.unsent() == [("a", b"reply")]


def test_unsent_replies_come_oldest_first(ledger: Ledger) -> None:
    for request in ("b", "a", "c"):
        charge(ledger, request, COUNT)
        ledger.seal(request, request.encode())
    ledger.mark_sent("a")
    assert ledger.unsent() == [("b", b"b"), ("c", b"c")]


def test_a_request_beyond_the_budget_leaves_no_trace(ledger: Ledger) -> None:
    budget = PrivacyBudget(epsilon=accounting.epsilon([ROUND], delta=DELTA), delta=DELTA)
    charge(ledger, "a", budget=budget)
    with pytest.raises(BudgetExhausted):
        charge(ledger, "b", budget=budget)
    assert ledger.spent(DELTA).releases == 1
    with pytest.raises(NotEligible):
        ledger.seal("b", b"reply")


def test_a_sealed_reply_is_still_given_when_the_budget_has_run_out(ledger: Ledger) -> None:
    budget = PrivacyBudget(epsilon=accounting.epsilon([ROUND], delta=DELTA), delta=DELTA)
    charge(ledger, "a", budget=budget)
    ledger.seal("a", b"reply")
    assert charge(ledger, "a", budget=PrivacyBudget(epsilon=1e-9, delta=DELTA)) == b"reply"


def test_the_events_of_one_request_are_admitted_together_or_not_at_all(ledger: Ledger) -> None:
    budget = PrivacyBudget(epsilon=accounting.epsilon([COUNT], delta=DELTA), delta=DELTA)
    with pytest.raises(BudgetExhausted):
        charge(ledger, "a", COUNT, ROUND, budget=budget)
    assert spent(ledger) == 0.0
    assert charge(ledger, "b", COUNT, budget=budget) is None


def test_each_event_of_a_request_counts_against_the_next(ledger: Ledger) -> None:
    budget = PrivacyBudget(epsilon=accounting.epsilon([COUNT], delta=DELTA), delta=DELTA)
    with pytest.raises(BudgetExhausted):
        charge(ledger, "a", COUNT, COUNT, budget=budget)
    assert charge(ledger, "b", COUNT, budget=budget) is None


def test_all_purposes_add_up_to_one_epsilon(ledger: Ledger) -> None:
    for number in range(5):
        charge(ledger, f"round {number}")
        charge(ledger, f"survey {number}", COUNT, COUNT)
    together = [SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=80)] + [COUNT] * 10
    assert spent(ledger) == pytest.approx(accounting.epsilon(together, delta=DELTA), rel=1e-12)
    assert ledger.spent(DELTA).releases == 10


def test_each_limit_counts_its_own_task_and_its_own_days(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share is one task's, a period forgets after its days, and the whole budget forgets nothing."""
    once = PrivacyBudget(epsilon=accounting.epsilon([ROUND], delta=DELTA) * 1.001, delta=DELTA)
    thrice = PrivacyBudget(epsilon=accounting.epsilon([ROUND] * 3, delta=DELTA) * 1.001, delta=DELTA)
    today = [1_000_000.0]
    monkeypatch.setattr("client.ledger.time.time", lambda: today[0])
    monkeypatch.setattr("client.store.time.time", lambda: today[0])

    def ask(request: str, task: str) -> bool:
        limits = [
            Limit(what="all", budget=thrice), Limit(what="share", budget=once, task="shared"),
            Limit(what="period", budget=once, days=7.0),
        ]  # fmt: skip
        try:
            ledger.charge(request, task=task, purpose="training", cost=Cost(record=(ROUND,)), limits=[
                limit for limit in limits if limit.task in (None, task)
            ])  # fmt: skip
        except BudgetExhausted as reason:
            said.append(str(reason))
            return False
        return True

    said: list[str] = []
    assert ask("a", "shared")
    assert not ask("b", "other")  # the period is spent, whichever task spent it
    today[0] += 8 * 86_400
    assert not ask("c", "shared")  # its share is spent for ever
    assert ask("d", "other")
    today[0] += 8 * 86_400
    assert ask("e", "other")
    today[0] += 8 * 86_400
    assert not ask("f", "other")  # the whole budget never comes back
    assert [re.findall("but (.*) grants", text) for text in said] == [["period"], ["share"], ["all"]]
    today[0] -= 100 * 86_400
    assert not ask("g", "third")  # a clock that was set back finds the charges of its future


def test_spending_survives_closing_the_store(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "agent.db")
    ledger = Ledger(store)
    charge(ledger, "a")
    ledger.seal("a", b"reply")
    store.close()
    with closing(AgentStore(tmp_path / "agent.db")) as reopened:
        again = Ledger(reopened)
        assert again.unsent() == [("a", b"reply")]
        assert spent(again) == accounting.epsilon([ROUND], delta=DELTA)


@pytest.fixture
def store() -> Iterator[AgentStore]:
    with closing(AgentStore(":memory:")) as opened:
        yield opened


def test_consent_is_given_to_the_words_of_a_task_and_withdrawn(store: AgentStore) -> None:
    store.agree("flights", "as it was")
    assert store.agreed("flights", "as it was")
    assert not store.agreed("flights", "in other words")
    store.withdraw("flights")
    assert not store.agreed("flights", "as it was")


def test_refusals_are_remembered_in_order(store: AgentStore) -> None:
    store.add_refusal("flights", "budget", "8.2 of 8")
    store.add_refusal("flights", "plan", "too weak")
    assert [row["category"] for row in store.refusals()] == ["budget", "plan"]
