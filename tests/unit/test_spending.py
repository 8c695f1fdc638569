"""What our plans cost each device: an upper bound, equal to the accountant's own answer."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from server.records import Device, Run, SurveyRequest
from server.spending import Spending, all_of, campaign_event, charges, course, merged, spending, survey_events
from server.surveys import plan_survey
from shared import accounting, wire
from shared.privacy import SampledGaussian
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Task, Window, read_task

DELTA = 1e-5


@pytest.fixture
def flights() -> Task:
    return read_task(Path(__file__).parents[2] / "tasks" / "flights.toml")


def device(name: str) -> Device:
    return Device(name=name, public_key=b"", state="approved", enrolled_at=100.0)


def asked(task: Task, *, cohort: tuple[str, ...], refusals: dict[str, str], failures: dict[str, str]) -> RoundResult:
    training = task.training
    plan = RoundPlan(
        run_id=1, number=1, task=task.name, revision=1, base_version=1, window=Window(),
        sample_rate=training.sample_rate, steps=training.steps, normalizer=1.0, learning_rate=1.0, max_grad_norm=1.0,
        noise_multiplier=training.noise_multiplier, max_update_norm=1.0,
    )  # fmt: skip
    returned = tuple(name for name in cohort if name not in refusals and name not in failures)
    return RoundResult(
        plan=plan, cohort=cohort, returned=returned, refusals=refusals, failures=failures,
        started_at=0.0, finished_at=1.0, outcome="committed",
    )  # fmt: skip


def survey(
    task: Task, *, features: bool, started_at: float | None = 150.0, finished_at: float | None = 200.0, **cells: bool
) -> Run:
    request = SurveyRequest(
        task=task.name, release=1, window=Window(), role="current", features=features, quorum=1, deadline_seconds=1.0,
        **cells,
    )  # fmt: skip
    return Run(
        id=2, task=task.name, kind="survey", state="failed", request=wire.to_json(request).decode(), created_at=0.0,
        started_at=started_at, finished_at=finished_at,
    )  # fmt: skip


def by_name(spent: tuple[Spending, ...]) -> dict[str, Spending]:
    return {each.device: each for each in spent}


def test_a_refusal_costs_nothing_and_a_lost_reply_costs_as_much_as_one_that_came(flights: Task) -> None:
    result = asked(flights, cohort=("a", "b", "c"), refusals={"b": "budget"}, failures={"c": "no answer in time"})
    spent = by_name(spending(flights, [device(name) for name in "abcd"], [result], []))
    assert spent["a"].epsilon == accounting.epsilon([result.plan.event], delta=DELTA)
    assert spent["c"].epsilon == spent["a"].epsilon
    assert spent["b"].epsilon == spent["d"].epsilon == 0.0


def test_merging_rounds_changes_no_epsilon(flights: Task) -> None:
    events = [SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16)] * 20
    assert merged(events) == {campaign_event(flights.training)}
    one_by_one = accounting.epsilon(events, delta=DELTA)
    assert accounting.epsilon(merged(events), delta=DELTA) == pytest.approx(one_by_one, rel=1e-12)


def test_a_survey_counts_for_every_device_that_was_enrolled_even_if_it_failed(flights: Task) -> None:
    late = replace(device("late"), enrolled_at=300.0)
    found = {c.device: c for c in charges(flights, [device("a"), late], [], [survey(flights, features=True)])}
    assert (found["a"].surveys, found["late"].surveys) == (1, 0)
    assert found["a"].events == {
        SampledGaussian(noise_multiplier=10.0, sample_rate=1.0, steps=1),
        SampledGaussian(noise_multiplier=14.0, sample_rate=1.0, steps=1),
    }


def test_a_survey_of_the_score_alone_costs_one_event_and_one_that_never_began_none(flights: Task) -> None:
    assert len(survey_events(survey(flights, features=False), flights)) == 1
    waiting = survey(flights, features=True, started_at=None, finished_at=None)
    assert charges(flights, [device("a")], [], [waiting])[0].surveys == 0


def test_counting_the_contract_and_the_outcomes_costs_one_event_each(flights: Task) -> None:
    task = replace(flights, drift=replace(flights.drift, outcome_noise_multiplier=9.0))
    found = survey_events(survey(task, features=True, contract=True, outcomes=True), task)
    assert [event.noise_multiplier for event in found] == [10.0, 14.0, 20.0, 9.0]
    assert found == list(all_of(task))
    assert len(all_of(flights)) == 3
    alone = survey_events(survey(task, features=False, contract=True), task)
    assert [event.noise_multiplier for event in alone] == [10.0, 20.0]


def test_what_a_plan_charges_is_what_the_spending_says(flights: Task) -> None:
    task = replace(flights, drift=replace(flights.drift, outcome_noise_multiplier=9.0))
    for features, contract, outcomes in product((False, True), repeat=3):
        run = survey(task, features=features, contract=contract, outcomes=outcomes)
        plan = plan_survey(run.id, task, wire.from_json(SurveyRequest, run.request.encode()))
        assert list(plan.events) == survey_events(run, task)


def test_a_survey_that_was_queued_by_an_older_covey_asked_for_no_rules(flights: Task) -> None:
    run = survey(flights, features=True)
    document = json.loads(run.request)
    del document["contract"], document["outcomes"]
    assert len(survey_events(replace(run, request=json.dumps(document)), flights)) == 2
    assert len(survey_events(replace(run, request="{}"), flights)) == 3


def test_the_room_left_is_as_many_campaigns_as_fit_under_the_ceiling(flights: Task) -> None:
    [spent] = spending(flights, [device("a")], [], [])
    campaign = campaign_event(flights.training)
    fits, ceiling = spent.campaigns_left, flights.privacy.epsilon
    assert accounting.epsilon([campaign] * fits, delta=DELTA) <= ceiling
    assert accounting.epsilon([campaign] * (fits + 1), delta=DELTA) > ceiling


def test_only_approved_devices_are_priced(flights: Task) -> None:
    assert spending(flights, [replace(device("a"), state="pending")], [], []) == ()


def test_a_course_ends_where_the_spending_stands_and_where_one_more_campaign_leads(flights: Task) -> None:
    rounds = [asked(flights, cohort=("kiosk", "till"), refusals={}, failures={}) for _ in range(5)]
    rounds.append(asked(flights, cohort=("kiosk",), refusals={"kiosk": "budget"}, failures={}))
    runs = [survey(flights, features=True)]
    [spent] = spending(flights, [device("kiosk")], rounds, runs)
    found = course("kiosk", flights, rounds, runs, most=500)
    assert (len(found.spent), len(found.further)) == (6, flights.training.rounds)
    assert found.spent[-1] == pytest.approx(spent.epsilon)
    assert found.further[-1] == pytest.approx(spent.after)
    assert list(found.spent) == sorted(found.spent)


def test_a_course_is_thinned_out_but_keeps_its_ends(flights: Task) -> None:
    rounds = [asked(flights, cohort=("kiosk",), refusals={}, failures={}) for _ in range(40)]
    full = course("kiosk", flights, rounds, [], most=500)
    thin = course("kiosk", flights, rounds, [], most=20)
    assert len(thin.spent) + len(thin.further) <= 22
    assert (thin.spent[-1], thin.further[-1]) == (full.spent[-1], full.further[-1])
