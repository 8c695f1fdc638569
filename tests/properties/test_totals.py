"""A copy of a ledger's totals has one size, may say more than was spent, and never less."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.totals import Total, coarser, merge, missing, pack, unpack
from shared import accounting
from shared.errors import WireError

SIZE = 4043
DELTA = 1e-5

some = st.builds(
    Total,
    task=st.sampled_from(["flights", "machines", "a-third-task"]),
    day=st.integers(20_000, 24_000),
    noise_multiplier=st.floats(0.3, 40.0),
    sample_rate=st.one_of(st.just(1.0), st.floats(1e-4, 0.9)),
    steps=st.integers(1, 500),
)
few = st.lists(some, max_size=12)


def epsilon(totals: list[Total], task: str | None = None) -> float:
    return accounting.epsilon([t.event for t in totals if task in (None, t.task)], delta=DELTA)


def many(count: int) -> list[Total]:
    """As many mechanisms as a coordinator may think of, no two alike."""
    return [
        Total(
            task=f"task-{n % 3}", day=20_000 + n, noise_multiplier=0.5 + n * 0.00137, sample_rate=1 / (2 + n * 0.0317),
            steps=1 + n % 7,
        )
        for n in range(count)
    ]  # fmt: skip


@given(few)
def test_few_totals_come_back_as_they_were(totals: list[Total]) -> None:
    assert unpack(pack(merge(totals), size=SIZE)) == (0, merge(totals))


@pytest.mark.parametrize("count", [0, 1, 50, 500, 5000])
def test_the_size_is_always_the_same(count: int) -> None:
    assert len(pack(many(count), size=SIZE)) == SIZE


@given(few, st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_what_is_merged_further_never_costs_less_nor_ends_earlier(totals: list[Total], level: int) -> None:
    merged = coarser(totals, level)
    for task in {total.task for total in totals}:
        assert epsilon(merged, task) >= epsilon(totals, task) * (1 - 1e-9)
        newest = max(total.day for total in totals if total.task == task)
        assert max(total.day for total in merged if total.task == task) >= newest
    assert sum(total.steps for total in merged) == sum(total.steps for total in totals)


@pytest.mark.parametrize("size", [200, 400, 900])
def test_a_copy_that_had_to_be_merged_costs_no_less(size: int) -> None:
    level, merged = unpack(pack(many(60), size=size))
    assert level > 0
    assert epsilon(merged) >= epsilon(many(60))


@given(few, few, st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_an_old_copy_and_what_it_lacks_cost_no_less_than_the_newer_one(
    old: list[Total], since: list[Total], level: int
) -> None:
    theirs = coarser(merge([*old, *since]), level)
    mended = merge([*old, *missing(theirs, merge(old), level=level)])
    for task in {total.task for total in (*old, *since)}:
        assert epsilon(mended, task) >= epsilon([*old, *since], task) * (1 - 1e-9)


@given(few)
def test_a_ledger_lacks_nothing_of_itself(totals: list[Total]) -> None:
    for level in (0, 1, 2, 3):
        assert missing(coarser(totals, level), merge(totals), level=level) == []


@given(st.binary(max_size=60), st.integers(0, 300))
def test_a_damaged_copy_is_refused(noise: bytes, length: int) -> None:
    for data in (noise, b"\0\0\0\x20" + noise, pack(many(20), size=SIZE)[:length]):
        with pytest.raises(WireError):
            unpack(data)
