"""`covey-sim drift`: months as time, with the surveys, the ledger and the trainer that ship."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from machines import small_task
from numpy.typing import NDArray
from typer.testing import CliRunner

from client.drift import count
from client.light import train
from server.export import export
from server.losses import Loss
from server.plans import plan_round
from shared import accounting
from shared.architecture import initial_weights
from shared.errors import InputError
from shared.feeds import to_feeds
from shared.privacy import SampledGaussian
from shared.runtime import ask, open_model
from shared.tasks import Window
from simulations.fleet.population import Packed, Rows, pack
from simulations.fleet.streams import device_stream
from simulations.replay import command, watch
from simulations.replay.answers import exact_loss
from simulations.replay.command import drift, study
from simulations.replay.detecting import has_risen, judged
from simulations.replay.findings import Findings, rows, table
from simulations.replay.lives import live
from simulations.replay.months import Calendar, later, seconds, whole
from simulations.replay.policies import POLICIES, Lived, Outcome, Owners, Policy
from simulations.replay.watch import Rates, Seen
from simulations.replay.world import Served, World

DEVICES, EACH, DAYS = 3, 3650, 365
START, MOVES = np.datetime64("2013-01-01"), 151
"""From day 151, the first of June, on, the columns that decide are others."""
TASK = small_task()
CALENDAR = Calendar(first=date(2013, 3, 1), last=date(2013, 8, 1), learn_months=2, delay_days=10)


def made(*, flipped_from: int = DAYS) -> Rows:
    """A year of rows, ten a day and device; labels are flipped from a day on, and all moves in June."""
    random = np.random.default_rng(7)
    days = np.tile(np.repeat(np.arange(DAYS), EACH // DAYS), DEVICES)
    inputs = random.normal(0.0, 0.3, (len(days), TASK.inputs)).astype(np.float32)
    inputs[days >= MOVES, 0] += 1.0
    labels = (inputs[:, 0] + random.normal(0, 0.2, len(days)) > 0).astype(np.int64)
    return Rows(
        names=tuple("abc"), offsets=np.arange(DEVICES + 1) * EACH, inputs=inputs,
        labels=np.where(days >= flipped_from, 1 - labels, labels),
        times=(START + days.astype("timedelta64[D]")).astype("datetime64[us]").astype(np.int64), groups={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("rows")
    pack(folder, made())
    return Packed(folder)


@pytest.fixture
def world(population: Packed) -> World:
    return World(TASK, population, CALENDAR)


def events_of(outcome_campaigns: int, surveys: int) -> list[SampledGaussian]:
    training, drift_terms = TASK.training, TASK.drift
    campaign = SampledGaussian(
        noise_multiplier=training.noise_multiplier, sample_rate=training.sample_rate,
        steps=training.steps * training.rounds,
    )  # fmt: skip
    survey = SampledGaussian(noise_multiplier=drift_terms.score_noise_multiplier, sample_rate=1.0, steps=1)
    return [campaign] * outcome_campaigns + [survey] * surveys


def test_a_campaign_learns_from_the_months_whose_outcomes_are_known() -> None:
    assert CALENDAR.known(date(2013, 3, 1)) == Window(start="2012-12-22", end="2013-02-19")
    prompt = replace(CALENDAR, delay_days=0, learn_months=3)
    assert prompt.known(date(2013, 2, 1)) == Window(start="2012-11-01", end="2013-02-01")
    assert [month.month for month in CALENDAR.months] == [3, 4, 5, 6, 7, 8]
    assert whole(date(2013, 12, 1)) == Window(start="2013-12-01", end="2014-01-01")
    assert later(date(2013, 1, 1), -13) == date(2011, 12, 1)
    assert seconds(date(1970, 1, 2)) == 86_400.0


@pytest.mark.parametrize(
    "changes",
    [{"first": date(2013, 9, 1)}, {"first": date(2013, 3, 2)}, {"learn_months": 0}, {"delay_days": -1}],
)
def test_a_time_in_which_nothing_happens_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(CALENDAR, **changes)


def test_late_labels_teach_nothing(world: World, tmp_path: Path) -> None:
    """What is flipped after the last known day changes no weight; one day earlier it does."""
    known = int((np.datetime64("2013-02-19") - START).astype(int))
    weights = world.learn(None, date(2013, 3, 1))
    for first, same in ((known, True), (known - 1, False)):
        pack(tmp_path / str(first), made(flipped_from=first))
        other = World(TASK, Packed(tmp_path / str(first)), CALENDAR).learn(None, date(2013, 3, 1))
        assert np.array_equal(weights, other) is same


def test_a_replay_trains_as_devices_do(population: Packed) -> None:
    task = replace(TASK, training=replace(TASK.training, rounds=1))
    world, at = World(task, population, CALENDAR, seed=5), date(2013, 5, 1)
    window = CALENDAR.known(at)
    plan = plan_round(1, 1, task, 1, world.request(window))
    updates = [
        train(plan, task, initial_weights(task), population.examples(device, window), device_stream(5, 1001, device))
        for device in range(DEVICES)
    ]
    expected = initial_weights(task) + np.mean(updates, axis=0)
    assert np.abs(world.learn(None, at) - expected).max() < 1e-5
    assert np.abs(expected - initial_weights(task)).max() > 0.01


def test_campaigns_draw_noise_of_their_own(world: World) -> None:
    first, second = (world.learn(None, date(2013, 3, 1)) for _ in range(2))
    assert not np.array_equal(first, second)


def test_scores_are_those_of_the_model_that_would_be_released(tmp_path: Path) -> None:
    from machines import machine_rows

    from client.dataset import read_columns, read_examples

    machine_rows(50, seed=3).write_parquet(tmp_path / "rows.parquet")
    examples = read_examples(tmp_path / "rows.parquet", TASK, Window())
    columns, _ = read_columns(tmp_path / "rows.parquet", TASK, Window())
    pack(
        tmp_path / "packed",
        Rows(
            names=("a",), offsets=np.array([0, 50]), inputs=examples.inputs, labels=examples.labels,
            times=np.zeros(50, np.int64), groups={},
        ),
    )  # fmt: skip
    weights = np.random.default_rng(0).normal(0, 1, len(initial_weights(TASK))).astype(np.float32)
    served = World(TASK, Packed(tmp_path / "packed"), CALENDAR).serve(weights, Window())
    released = ask(open_model(export(TASK, weights, version=1)), to_feeds(TASK, columns))
    assert np.abs(served.scores[0] - released).max() < 1e-5


def test_a_replay_takes_dated_rows_of_two_classes_and_plain_means(population: Packed) -> None:
    from shared.aggregation import Aggregation

    with pytest.raises(InputError, match="dated rows of two classes"):
        World(small_task(timestamp=None), population, CALENDAR)
    voted = replace(TASK.training, aggregation=Aggregation(kind="median", assumed_byzantine=1))
    with pytest.raises(InputError, match="mean of whole updates"):
        World(small_task(training=voted), population, CALENDAR)


def test_a_window_without_rows_is_named(world: World) -> None:
    with pytest.raises(InputError, match="2015-01-01 to 2015-02-01"):
        world.serve(initial_weights(TASK), whole(date(2015, 1, 1)))


def served(values: NDArray[np.float64]) -> Served:
    scores = np.stack([1 - values, values], axis=1).astype(np.float32)
    return Served(scores=np.array_split(scores, DEVICES), auc=0.7)


def test_psi_without_noise_is_the_sum_over_bins() -> None:
    plan = watch.survey_plan(TASK, Window(), "current")
    p, q = np.array([12, 8] * 5) * 1000, np.array([8, 12] * 5) * 1000
    old, new = (served(np.repeat(np.arange(0.05, 1.0, 0.1), each)) for each in (p, q))
    assert watch.exact_psi(TASK, plan, old, new) == pytest.approx(0.4 * np.log(1.5), abs=1e-3)
    assert watch.exact_psi(TASK, plan, old, old) == pytest.approx(0.0, abs=1e-3)


def test_a_survey_is_of_every_devices_noisy_counts() -> None:
    plan = watch.survey_plan(TASK, Window(), "current")
    assert plan.events == tuple(events_of(0, 1))
    values = np.random.default_rng(1).random(3000)
    [merged] = watch.counted(TASK, plan, served(values).scores)
    exact = count(plan, TASK, columns={}, scores=values)[0]
    assert merged.noise == pytest.approx(5.0 * np.sqrt(DEVICES))
    assert np.abs(np.array(merged.counts) - exact).max() < 10 * merged.noise
    assert tuple(map(float, exact)) != merged.counts  # fails once in 10^10 runs


def test_alarms_are_counted_over_fresh_noise() -> None:
    plan = watch.survey_plan(TASK, Window(), "current")
    random = np.random.default_rng(2)
    old, same, other = (served(random.beta(a, 4, 20_000)) for a in (2, 2, 6))
    assert watch.repeated(TASK, plan, old, same, draws=5) == Rates(surveys=5, alarms=0)
    assert watch.repeated(TASK, plan, old, other, draws=5) == Rates(surveys=5, alarms=5)


@pytest.fixture(scope="module")
def lived(population: Packed) -> dict[Policy, Outcome]:
    world = World(TASK, population, CALENDAR)
    first = world.learn(None, CALENDAR.first)
    return {which: live(world, which, first, owners=Owners(epsilon=50.0)) for which in ("never", "monthly", "on alarm")}


def test_who_never_learns_again_pays_for_one_campaign_and_the_surveys(lived: dict[Policy, Outcome]) -> None:
    never = lived["never"]
    assert never.campaigns == 0
    assert all(each.seen for each in never.months)
    assert never.epsilon == pytest.approx(accounting.epsilon(events_of(1, 1 + 6), delta=1e-5))
    assert never.training == pytest.approx(accounting.epsilon(events_of(1, 0), delta=1e-5))
    assert never.surveys == pytest.approx(accounting.epsilon(events_of(0, 7), delta=1e-5))


def test_drift_is_seen_in_the_month_in_which_it_came(lived: dict[Policy, Outcome]) -> None:
    seen = {each.month.month: each.seen for each in lived["never"].months if each.seen}
    assert [month for month, each in seen.items() if each.alarm] == [6, 7, 8]
    assert all((each.exact > TASK.drift.alarm_psi) == each.alarm for each in seen.values())
    # Where bins empty, noise hides how empty they are: a large shift is seen, and seen as smaller than it is.
    assert all(abs(seen[month].shift.psi - seen[month].exact) < 0.1 for month in (3, 4, 5))
    assert all(seen[month].shift.psi > 0.3 * seen[month].exact for month in (6, 7, 8))


def test_who_learns_each_month_pays_for_campaigns_alone(lived: dict[Policy, Outcome]) -> None:
    monthly = lived["monthly"]
    assert [each.learned for each in monthly.months] == [True] * 5 + [False]
    assert all(each.seen is None for each in monthly.months)
    assert monthly.epsilon == pytest.approx(accounting.epsilon(events_of(6, 0), delta=1e-5))
    assert monthly.surveys == 0.0


def test_who_learns_on_alarm_learns_after_alarms_and_counts_a_new_reference(lived: dict[Policy, Outcome]) -> None:
    alarmed = lived["on alarm"]
    told = [each.seen.alarm for each in alarmed.months if each.seen]
    assert [each.learned for each in alarmed.months] == [*told[:-1], False]
    assert told[:4] == [False, False, False, True]
    paid = events_of(1 + alarmed.campaigns, 1 + alarmed.campaigns + 6)
    assert alarmed.epsilon == pytest.approx(accounting.epsilon(paid, delta=1e-5))


def test_until_the_first_alarm_it_is_the_same_life(lived: dict[Policy, Outcome]) -> None:
    never, alarmed = lived["never"].months, lived["on alarm"].months
    assert [each.auc for each in never[:4]] == [each.auc for each in alarmed[:4]]
    assert never[0].auc > 0.8


def test_a_budget_forbids_campaigns_and_what_serves_stays(population: Packed) -> None:
    world = World(TASK, population, CALENDAR)
    first = world.learn(None, CALENDAR.first)
    budget = accounting.epsilon(events_of(3, 0), delta=1e-5) + 1e-9
    outcome = live(world, "monthly", first, owners=Owners(epsilon=budget))
    assert [each.learned for each in outcome.months] == [True, True, False, False, False, False]
    assert [each.refused for each in outcome.months] == [False, False, True, True, True, False]
    assert outcome.epsilon <= budget


def test_a_budget_forbids_surveys_too(population: Packed) -> None:
    world = World(TASK, population, CALENDAR)
    first = world.learn(None, CALENDAR.first)
    budget = accounting.epsilon(events_of(1, 2), delta=1e-5) + 1e-9
    outcome = live(world, "on alarm", first, owners=Owners(epsilon=budget))
    assert [each.seen is not None for each in outcome.months] == [True] + [False] * 5
    blind = live(world, "never", first, owners=Owners(epsilon=accounting.epsilon(events_of(1, 0), delta=1e-5) + 1e-9))
    assert all(each.seen is None for each in blind.months)
    with pytest.raises(InputError, match="does not cover the first campaign"):
        live(world, "never", first, owners=Owners(epsilon=0.1))


def test_the_tasks_own_ceiling_holds_whatever_owners_grant(population: Packed) -> None:
    task = small_task(privacy=replace(TASK.privacy, epsilon=accounting.epsilon(events_of(2, 0), delta=1e-5) + 1e-9))
    world = World(task, population, CALENDAR)
    assert live(world, "monthly", world.learn(None, CALENDAR.first), owners=Owners(epsilon=1e6)).campaigns == 1


def test_who_watches_the_loss_learns_after_it_rose_and_alarms_once(tmp_path: Path) -> None:
    """Outcomes turn over on the first of May; the score itself moves in June alone."""
    task = small_task(privacy=replace(TASK.privacy, epsilon=1e5))
    pack(tmp_path, made(flipped_from=120))
    world = World(task, Packed(tmp_path), replace(CALENDAR, last=date(2013, 5, 1)))
    told = live(world, "on loss", world.learn(None, CALENDAR.first), owners=Owners(epsilon=1e5, outcome_noise=0.5))
    assert [each.learned for each in told.months] == [False, False, True]
    assert (told.alarms, told.false, told.campaigns) == (1, 0, 1)
    assert sum(each.blind for each in told.months) == 0
    assert told.row == told.epsilon


def test_a_row_pays_less_than_the_whole_ledger_where_rows_retire(tmp_path: Path) -> None:
    task = small_task(privacy=replace(TASK.privacy, epsilon=1e5))
    pack(tmp_path, made())
    world = World(task, Packed(tmp_path), replace(CALENDAR, last=date(2013, 5, 1)))
    owners = Owners(epsilon=1e5, row_lifetime_days=30.0)
    told = live(world, "on loss", world.learn(None, CALENDAR.first), owners=owners)
    assert told.row < told.epsilon
    assert told.alarms == 0


def test_budgets_blind_who_watches_every_day(population: Packed) -> None:
    world = World(TASK, population, replace(CALENDAR, last=date(2013, 4, 1)))
    epsilon = accounting.epsilon(events_of(1, 0), delta=1e-5) + 0.1
    told = live(world, "on loss", world.learn(None, CALENDAR.first), owners=Owners(epsilon=epsilon))
    assert 0 < sum(each.blind for each in told.months) < 61
    assert told.epsilon <= epsilon


def outcome(which: Policy, aucs: list[float], *, epsilon: float, learned: tuple[int, ...] = ()) -> Outcome:
    months = tuple(
        Lived(month=later(date(2013, 3, 1), index), auc=auc, seen=None, learned=index in learned)
        for index, auc in enumerate(aucs)
    )
    return Outcome(
        policy=which, months=months, epsilon=epsilon, training=epsilon, surveys=0.0, row=epsilon, campaigns=len(learned)
    )


def findings(*outcomes: Outcome, rates: dict[date, Rates] | None = None) -> Findings:
    return Findings(
        outcomes=outcomes, rates=rates or {}, unmoved=Rates(surveys=4, alarms=0), caught=(), threshold=0.1, delta=1e-5
    )


def test_the_cheapest_of_those_that_are_as_good_is_advised() -> None:
    never = outcome("never", [0.70, 0.70], epsilon=3.0)
    assert findings(never, outcome("monthly", [0.70, 0.709], epsilon=7.0)).advised is never
    monthly = outcome("monthly", [0.70, 0.72], epsilon=7.0)
    assert findings(never, monthly).advised is monthly
    alarmed = outcome("on alarm", [0.70, 0.715], epsilon=5.0)
    assert findings(never, monthly, alarmed).advised is alarmed


def test_gains_count_from_the_month_in_which_a_later_version_serves() -> None:
    never = outcome("never", [0.7, 0.7, 0.7, 0.7], epsilon=3.0)
    monthly = outcome("monthly", [0.7, 0.7, 0.72, 0.65], epsilon=7.0, learned=(1,))
    found = findings(never, monthly)
    gains = found.gains(monthly)
    assert list(gains) == [date(2013, 5, 1), date(2013, 6, 1)]
    assert list(gains.values()) == pytest.approx([0.02, -0.05])
    told = {row["name"]: row["value"] for row in rows(found)}
    assert told["drift.monthly.months that gained"] == told["drift.monthly.months that lost"] == 1
    assert told["drift.monthly.first month that gained"] == "2013-05"
    assert told["drift.never.first month that gained"] == "none"
    assert found.gains(never) == {}
    text = "\n".join(table(found))
    assert "Learning again monthly gained 0.01 or more in May; it lost that much in June." in text


def test_false_alarms_are_those_of_months_that_did_not_move() -> None:
    from shared.drift import Shift

    shift = Shift(name="score", psi=0.2, noise=0.01, devices=3)
    never = outcome("never", [0.7, 0.7], epsilon=3.0)
    months = tuple(
        replace(each, seen=Seen(shift=shift, alarm=True, exact=exact))
        for each, exact in zip(never.months, (0.05, 0.3), strict=True)
    )
    rates = {date(2013, 3, 1): Rates(surveys=10, alarms=2), date(2013, 4, 1): Rates(surveys=10, alarms=9)}
    found = findings(replace(never, months=months), rates=rates)
    assert found.false_alarms() == Rates(surveys=10, alarms=2)
    assert found.false_alarms(moved=True) == Rates(surveys=10, alarms=9)
    told = {row["name"]: row for row in rows(found)}
    false = told["drift.false alarms in months whose score did not move"]
    assert (false["value"], false["target"], false["meets"]) == (0.2, 0.01, False)
    assert told["drift.first seen"]["value"] == "2013-03"


def test_a_study_is_told_to_programs_and_to_people(world: World) -> None:
    found = study(world, owners=Owners(epsilon=9.0), draws=2)
    told = list(rows(found))
    names = [row["name"] for row in told]
    assert len(set(names)) == len(names)
    assert json.loads(json.dumps(told)) == told
    values = {row["name"]: row["value"] for row in told}
    assert values["drift.first seen"] == "2013-06"
    assert values["drift.false alarms between odd and even days"] == 0.0
    assert values["drift.recommendation"] in POLICIES
    text = "\n".join(table(found))
    assert "2013-06" in text
    assert "ALARM" in text
    assert "Recommended: " in text
    assert ("-" in text.split("AUC by month")[1]) == any(each.refused for o in found.outcomes for each in o.months)


def a_series(values: list[float]) -> list[Loss]:
    return [
        Loss(window=Window(start=day), value=value, deviation=0.01) for day, value in zip(DAYS_OF, values, strict=True)
    ]


DAYS_OF = [str(np.datetime64("2026-01-01") + day) for day in range(60)]
CALM_DAYS = [0.6, 0.62] * 20


def test_detectors_are_judged_by_when_they_alarm_and_where() -> None:
    risen = [day >= 45 for day in range(60)]
    found = a_series([*CALM_DAYS, *[0.6] * 5, *[0.9] * 15])
    early = a_series([*CALM_DAYS[:30], *[0.9] * 6, *[0.3] * 24])
    told = judged("cusum", "x", [found, early], DAYS_OF, risen)
    # Three deviations a day, less a half: 2.5, 5, 7.5, and 10 is above 8.
    assert (told.found, told.late, told.false, told.series) == (1, 3, 1, 2)
    quiet = judged("cusum", "x", [a_series([0.6, 0.62] * 30)], DAYS_OF, risen)
    assert (quiet.found, quiet.late, quiet.false) == (0, None, 0)


def test_a_rise_is_one_of_the_last_days_above_the_calm_ones() -> None:
    values = [*CALM_DAYS, *[0.61] * 6, *[0.69] * 14]
    assert has_risen(a_series(values))
    assert not has_risen(a_series(values)[:46])
    assert not has_risen(a_series(values)[:28])


def test_a_days_outcomes_are_counted_device_by_device(world: World) -> None:
    answers = world.answers(initial_weights(TASK))
    cells = answers.cells(date(2013, 6, 3), bins=10)
    assert cells.shape == (DEVICES, 2, 10)
    assert cells.sum(axis=(1, 2)).tolist() == [10, 10, 10]
    exact = exact_loss(small_task(drift=replace(TASK.drift, outcome_noise_multiplier=1.0)), cells, date(2013, 6, 3))
    assert exact is not None
    assert exact.value == pytest.approx(np.log(2), abs=0.15)


def invoked(*words: str) -> Any:
    app = typer.Typer()
    app.command()(drift)
    return CliRunner().invoke(app, list(words))


def test_a_task_without_months_is_named(tmp_path: Path) -> None:
    refused = invoked("--task", str(tmp_path / "none.toml"))
    assert isinstance(refused.exception, InputError)
    with pytest.raises(InputError, match="no months of 'machines' ship"):
        command._stations(TASK, 3, tmp_path)
    assert command._task("flights").name == "flights"
    assert command._task("tasks/flights.toml").name == "flights"


@pytest.mark.proof
def test_the_flights_are_replayed_from_the_command_line(tmp_path: Path) -> None:
    done = invoked("--quick", "--report", str(tmp_path / "reports" / "drift.json"))
    assert done.exception is None
    assert "Recommended: " in done.stdout
    told = {row["name"]: row for row in json.loads((tmp_path / "reports" / "drift.json").read_bytes())}
    assert told["drift.2013-03.auc of the first version"]["value"] > 0.6
    assert told["drift.monthly.campaigns"]["value"] == 2
    as_json = invoked("--quick", "--json", "--report", str(tmp_path / "drift.json"))
    assert {row["name"] for row in json.loads(as_json.stdout)} == set(told)
