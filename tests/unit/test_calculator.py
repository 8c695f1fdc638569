"""The plan calculator: what it finds fits, nothing wider does, and what cannot fit is named."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server import answers, calculator
from server.calculator import FIELDS, Goal, Price, Quantity
from server.costs import campaign_cost
from server.records import Device
from server.spending import campaign_event, campaigns_left
from shared import accounting
from shared.enrolment import Bucket
from shared.errors import InputError
from shared.modes import Central, Mode
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.tasks import Task, read_task
from shared.training import Training

FLIGHTS = read_task(Path(__file__).parents[2] / "tasks" / "flights.toml")
CEILING = PrivacyBudget(epsilon=FLIGHTS.privacy.epsilon, delta=FLIGHTS.privacy.delta)
BOUNDS = calculator.bounds_of(FLIGHTS, "local")


def price(training: Training) -> Cost:
    return campaign_cost(FLIGHTS, "local", training)


def priced(task: Task, mode: Mode) -> Price:
    return lambda training: campaign_cost(task, mode, training)


def goal(epsilon: float, *, delta: float = CEILING.delta, ceiling: PrivacyBudget = CEILING) -> Goal:
    return Goal(wanted=PrivacyBudget(epsilon=epsilon, delta=delta), ceiling=ceiling)


def solved(epsilon: float, *quantities: Quantity, **changes: float) -> calculator.Solution:
    training = replace(FLIGHTS.training, **changes)
    return calculator.solve(training, quantities, BOUNDS, goal(epsilon), price)


def wider(training: Training, quantity: Quantity) -> Training:
    """The next value that protects less: a whole step, or a thousandth."""
    value = getattr(training, FIELDS[quantity])
    more = {"noise": value * 0.999, "sample_rate": value * 1.001}.get(quantity, value + 1)
    return replace(training, **{FIELDS[quantity]: more})


@settings(max_examples=60, deadline=None)
@given(
    epsilon=st.floats(0.2, 7.9), delta=st.sampled_from([1e-5, 1e-6, 1e-8]), quantity=st.sampled_from(get_args(Quantity)),
    noise=st.floats(1.2, 4.0), rounds=st.integers(1, 400), steps=st.integers(1, 16), rate=st.floats(0.001, 0.03125),
)  # fmt: skip
def test_what_is_found_fits_and_nothing_wider_does(
    epsilon: float, delta: float, quantity: Quantity, noise: float, rounds: int, steps: int, rate: float
) -> None:
    training = replace(FLIGHTS.training, noise_multiplier=noise, rounds=rounds, steps=steps, sample_rate=rate)
    wanted = goal(epsilon, delta=delta)
    try:
        found = calculator.solve(training, [quantity], BOUNDS, wanted, price)
    except InputError:
        assume(False)
    event = campaign_event(found.training)
    assert found.epsilon == accounting.epsilon([event], delta=delta) <= epsilon
    assert FLIGHTS.privacy.weakened_by(found.training) is None
    assert replace(found.training, **{FIELDS[quantity]: getattr(training, FIELDS[quantity])}) == training
    if float(getattr(found.training, FIELDS[quantity])) != BOUNDS.widest(quantity):
        assert wanted.passed_by(price(wider(found.training, quantity)))
    else:
        assert found.held


def test_the_noise_is_solved_for_by_itself() -> None:
    found = solved(2.0, *calculator.free([], "local"))
    assert found.solved == ("noise",)
    assert found.training == replace(FLIGHTS.training, noise_multiplier=found.training.noise_multiplier)
    assert found.training.noise_multiplier == pytest.approx(1.486, abs=2e-3)


def test_the_signed_floor_holds_where_less_noise_would_do() -> None:
    found = solved(4.0, "noise")
    assert found.training.noise_multiplier == FLIGHTS.privacy.min_noise_multiplier
    assert found.held == "the signed min_noise_multiplier"
    assert found.epsilon < 4.0


def test_the_signed_ceiling_holds_where_more_was_wanted() -> None:
    found = calculator.solve(FLIGHTS.training, ["rounds"], BOUNDS, goal(50.0), price)
    assert accounting.epsilon(price(found.training).record, delta=CEILING.delta) <= CEILING.epsilon
    assert found.held == "the signed ceiling, epsilon 8,"
    # A campaign is judged at the signed delta too, whatever delta was asked about.
    lax = calculator.solve(FLIGHTS.training, ["rounds"], BOUNDS, goal(7.9, delta=1e-2), price)
    assert accounting.epsilon(price(lax.training).record, delta=CEILING.delta) <= CEILING.epsilon


def test_what_is_left_is_solved_for_in_turn() -> None:
    assert calculator.free(["noise"], "local") == ("rounds", "steps", "sample_rate")
    assert calculator.free(["noise", "rounds", "sample_rate"], "local") == ("steps",)
    assert calculator.free(["rounds"], "local") == ("noise",)
    assert calculator.free(["noise"], "central") == ("rounds",)
    assert calculator.free(["rounds"], "local", solve="steps") == ("steps",)
    enough = solved(2.0, "rounds", "steps", "sample_rate")
    assert enough.solved == ("rounds",)
    tight = solved(1.0, "rounds", "steps", "sample_rate")
    assert tight.solved == ("rounds", "steps")
    assert (tight.training.rounds, tight.training.sample_rate) == (1, FLIGHTS.training.sample_rate)


def test_nothing_fits_is_said_with_the_names_of_what_is_fixed() -> None:
    with pytest.raises(
        InputError, match=r"noise 1\.2, rounds 20, steps 16, sample_rate 0\.03125 cost epsilon 2\.86\d* at"
    ):
        solved(2.0)
    with pytest.raises(InputError, match=r"with noise 1\.2, steps 16, sample_rate 0\.03125 fixed, even rounds 1 cost"):
        solved(0.5, "rounds")
    with pytest.raises(
        InputError, match=r"even noise 1e\+06 cost epsilon 0\.0035\d* at delta 1e-05, above the 0\.001 wanted"
    ):
        solved(0.001, "noise")
    strict = PrivacyBudget(epsilon=1.0, delta=CEILING.delta)
    with pytest.raises(InputError, match="above the signed 1"):
        calculator.solve(FLIGHTS.training, [], BOUNDS, goal(5.0, ceiling=strict), price)


def test_what_is_given_stays_within_the_signed_limits() -> None:
    for quantity, value, says in (
        ("noise", 1.1, "at least 1.2: the signed min_noise_multiplier"), ("steps", 17, "at most 16: the signed max_steps"),
        ("sample_rate", 0.04, "at most 0.03125: the signed max_sample_rate"), ("rounds", 10_001, "at most 10000: the most rounds"),
        ("noise", 2e6, "at most 1e\\+06"),
    ):  # fmt: skip
        training = replace(FLIGHTS.training, **{FIELDS[quantity]: value})
        with pytest.raises(InputError, match=f"{quantity} must be {says}"):
            calculator.check(training, BOUNDS, [quantity])


def test_what_is_given_cannot_be_solved_for_nor_what_changes_nothing() -> None:
    with pytest.raises(InputError, match="noise is given, so it cannot be solved for"):
        calculator.free(["noise"], "local", solve="noise")
    with pytest.raises(InputError, match="steps does not change what a distributed campaign costs"):
        calculator.free([], "distributed", solve="steps")


def test_campaigns_are_counted_as_the_spending_counts_them() -> None:
    event = campaign_event(FLIGHTS.training)
    left = campaigns_left(frozenset(), event, ceiling=CEILING.epsilon, delta=CEILING.delta)
    assert calculator.campaigns([event], CEILING) == left
    rare = replace(FLIGHTS.training, noise_multiplier=50.0)
    assert calculator.campaigns([campaign_event(rare)], CEILING) == calculator.MOST_CAMPAIGNS
    loud = SampledGaussian(noise_multiplier=0.2, sample_rate=1.0, steps=1)
    assert calculator.campaigns([loud], CEILING) == 0


def test_the_most_rounds_of_a_task_are_the_last_that_fit() -> None:
    most = calculator.most_rounds(FLIGHTS, price)
    costs = [
        accounting.epsilon(price(replace(FLIGHTS.training, rounds=rounds)).record, delta=CEILING.delta)
        for rounds in (most, most + 1)
    ]
    assert costs[0] <= CEILING.epsilon < costs[1]
    strict = replace(FLIGHTS, privacy=replace(FLIGHTS.privacy, epsilon=0.01))
    assert calculator.most_rounds(strict, price) == 0


def test_the_trade_off_stays_within_the_limits_and_holds_the_plan() -> None:
    found = solved(4.0, "rounds").training
    variants = calculator.around(found, BOUNDS)
    assert found in variants
    assert len(set(variants)) == len(variants)
    assert all(FLIGHTS.privacy.weakened_by(variant) is None for variant in variants)
    for quantity in get_args(Quantity):
        line = calculator.along(found, quantity, BOUNDS, 12)
        values = [getattr(each, FIELDS[quantity]) for each in line]
        assert values == sorted(set(values))
        assert values[0] <= getattr(found, FIELDS[quantity]) <= values[-1]
        assert all(FLIGHTS.privacy.weakened_by(each) is None for each in line)


@settings(max_examples=200, deadline=None)
@given(value=st.floats(1e-6, 1e6), up=st.booleans())
def test_four_digits_err_to_the_side_that_was_asked_for(value: float, up: bool) -> None:
    short = calculator.rounded(value, up=up)
    assert short >= value if up else short <= value
    assert short == pytest.approx(value, rel=1.1e-3)
    assert float(f"{short:.4g}") == short


def test_sums_and_the_coordinators_noise_are_solved_for_too() -> None:
    assert FLIGHTS.distributed
    price_of = priced(FLIGHTS, "distributed")
    bounds = calculator.bounds_of(FLIGHTS, "distributed")
    found = calculator.solve(FLIGHTS.distributed.training, ["rounds"], bounds, goal(4.0), price_of)
    row = SampledGaussian(
        noise_multiplier=found.training.noise_multiplier, sample_rate=1.0, steps=found.training.rounds
    )  # fmt: skip
    assert price_of(found.training) == Cost(record=(row,), trust="sums")
    with pytest.raises(InputError, match="sample_rate must be at least 1 here"):
        calculator.check(replace(found.training, sample_rate=0.5), bounds, ["sample_rate"])


def test_a_whole_device_is_planned_for_where_the_coordinator_protects_it() -> None:
    training = replace(FLIGHTS.training, noise_multiplier=1.0)
    terms = Central(training=training, min_noise_multiplier=0.5, unit="device")
    task = replace(FLIGHTS, central=terms, privacy=replace(FLIGHTS.privacy, epsilon=1e4))
    ceiling = PrivacyBudget(epsilon=1e4, delta=CEILING.delta)
    whole = Goal(wanted=PrivacyBudget(epsilon=3.0, delta=1e-6), ceiling=ceiling, level="device")
    found = calculator.solve(training, ["noise"], calculator.bounds_of(task, "central"), whole, priced(task, "central"))
    cost = campaign_cost(task, "central", found.training)
    assert accounting.epsilon(cost.device, delta=1e-6) <= 3.0 < accounting.epsilon(cost.record, delta=1e-6)
    assert cost.device == (
        SampledGaussian(noise_multiplier=found.training.noise_multiplier, sample_rate=1.0, steps=training.rounds),
    )


def test_correlated_noise_is_paid_once_for_a_whole_part() -> None:
    training = replace(FLIGHTS.training, noise_multiplier=4.0, rounds=32)
    terms = Central(
        training=training, min_noise_multiplier=0.5, noise="correlated", participations=4, separation=8
    )  # fmt: skip
    [event] = campaign_cost(replace(FLIGHTS, central=terms), "central", training).device
    assert event.steps == 1
    assert event.noise_multiplier < 4.0


def test_a_mode_that_the_task_does_not_offer_is_named() -> None:
    with pytest.raises(InputError, match=r"has no \[central\] table"):
        calculator.bounds_of(replace(FLIGHTS, central=None), "central")


def device(name: str, bucket: Bucket | None = None, *, state: str = "approved") -> Device:
    affords = {"flights": bucket} if bucket else {}
    return Device(name=name, public_key=b"", state=state, enrolled_at=0.0, affords=affords)  # type: ignore[arg-type]


def test_only_approved_devices_that_tell_are_counted_by_the_least_that_they_afford() -> None:
    fleet = [
        device("a", "0"), device("b", "1"), device("c", "2-4"), device("d", "5+"), device("e"),
        device("f", "5+", state="revoked"),
    ]  # fmt: skip
    assert [answers.answers(fleet, "flights", campaigns=count) for count in (1, 2, 3, 5)] == [
        (3, 4), (2, 4), (1, 4), (1, 4)
    ]  # fmt: skip
    assert answers.answers(fleet, "other", campaigns=1) == (0, 0)


@pytest.mark.parametrize(("rounds", "campaigns"), [(1, 1), (19, 1), (20, 1), (21, 2), (40, 2), (100, 5), (101, 6)])
def test_a_longer_campaign_counts_as_several(rounds: int, campaigns: int) -> None:
    own = campaign_event(FLIGHTS.training)
    assert answers.campaigns_in(campaign_event(replace(FLIGHTS.training, rounds=rounds)), own) == campaigns


def test_a_share_is_told_as_people_say_it() -> None:
    said = {(3, 4): "about 3 in 4", (0, 4): "none", (4, 4): "all", (2, 3): "about 2 in 3", (5, 10): "about 1 in 2",
            (74, 100): "about 3 in 4", (199, 200): "nearly all", (1, 200): "hardly any"}  # fmt: skip
    assert {share: answers.in_words(*share) for share in said} == said
