"""Rounds and a buffer on the virtual clock: where they must agree they do, and what is wasted is counted."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from machines import small_task
from numpy.typing import NDArray

from client.inputs import Examples
from client.light import train
from server.plans import plan_round
from server.strategy import step
from shared import accounting
from shared.architecture import initial_weights
from shared.errors import InputError
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from simulations.fleet.conditions import PRESETS, Behaviour, Conditions
from simulations.fleet.streams import device_stream
from simulations.modes.numerics import request_of
from simulations.pace.__main__ import pace
from simulations.pace.buffered import Buffer, buffered
from simulations.pace.race import Pace, Reached, as_paid, reach
from simulations.pace.report import ANCHORS, ratio, rows, table
from simulations.pace.stages import STAGES, accuracy_of, prepare, world_of
from simulations.pace.synchronous import Rounds, synchronous
from simulations.pace.world import Moment, Weights, World

TASK = small_task()
STEADY = Behaviour(examples_per_second=1.0)
"""Always there, all alike: a second an example."""


@dataclass
class Noted:
    """The trainer that ships, one device after another, which keeps who was asked with which weights."""

    examples: list[Examples]
    calls: list[tuple[int, Weights]] = field(default_factory=list)

    def __call__(
        self, plan: RoundPlan, devices: Sequence[int], weights: Weights, streams: Sequence[CipherStream]
    ) -> Weights:
        self.calls += [(device, weights) for device in devices]
        pairs = zip(devices, streams, strict=True)
        return np.stack([train(plan, TASK, weights, self.examples[device], stream) for device, stream in pairs])


def federation(
    devices: int,
    behaviour: Behaviour = STEADY,
    *,
    work: Iterable[float] | None = None,
    seed: int = 1,
    momentum: float = 0.5,
) -> tuple[World, Noted]:
    """A small federation, and its trainer."""
    random = np.random.default_rng(0)
    examples = [
        Examples(
            inputs=random.uniform(-1, 1, (12, TASK.inputs)).astype(np.float32), labels=random.integers(0, 2, 12)
        )
        for _ in range(devices)
    ]  # fmt: skip
    training = replace(TASK.training, server_momentum=momentum, server_learning_rate=0.7)
    request = replace(request_of(TASK, "local", cohort=1), training=training)
    trainer = Noted(examples)
    world = World(
        plan=plan_round(1, 1, TASK, 1, request), training=training, start=initial_weights(TASK), train=trainer,
        work=np.full(devices, 12.0) if work is None else np.array(list(work), np.float64),
        conditions=Conditions(behaviour, devices, seed=seed), seed=seed,
    )  # fmt: skip
    return world, trainer


def path(moments: Iterable[Moment], count: int) -> list[Moment]:
    """The first moments, each as it was then."""
    return [replace(moment, paid=moment.paid.copy()) for moment in islice(moments, count)]


def updates_again(world: World, trainer: Noted) -> dict[tuple[int, int], tuple[Weights, Weights]]:
    """By device and turn: the weights it began with, and its update computed afresh."""
    turns: dict[int, int] = {}
    found: dict[tuple[int, int], tuple[Weights, Weights]] = {}
    for device, weights in list(trainer.calls):
        turns[device] = turns.get(device, 0) + 1
        stream = device_stream(world.seed, turns[device], device)
        found[device, turns[device]] = weights, train(world.plan, TASK, weights, trainer.examples[device], stream)
    return found


def test_a_buffer_of_one_without_staleness_is_sgd_one_device_after_another() -> None:
    world, trainer = federation(6)
    last = path(buffered(world, Buffer(concurrency=1, size=1)), 20)[-1]
    weights, momentum = world.start, np.zeros_like(world.start)
    for started, update in updates_again(world, trainer).values():
        assert np.array_equal(started, weights)
        weights, momentum = step(weights, update.astype(np.float64), momentum, world.training)
    assert np.array_equal(last.weights, weights)
    assert (last.steps, last.updates, last.trips, last.wasted) == (20, 20, 20, 0)


def test_a_buffer_as_large_as_the_cohort_is_a_round_if_all_are_alike() -> None:
    world, _ = federation(9)
    whole = path(synchronous(world, Rounds(goal=5, over_selection=1.0)), 6)
    parts = path(buffered(world, Buffer(concurrency=5, size=5)), 6)
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one.weights, other.weights)
        assert np.array_equal(one.paid, other.paid)
        assert (one.at, one.trips, one.updates, one.wasted) == (other.at, other.trips, other.updates, other.wasted)


@pytest.mark.parametrize("way", ["rounds", "buffer"])
def test_the_same_seed_gives_the_same_run_to_the_bit(way: str) -> None:
    def run(seed: int) -> list[Moment]:
        world, _ = federation(40, PRESETS["phones"], seed=seed)
        world = replace(world, begins=8 * 3600.0)
        if way == "rounds":
            return path(synchronous(world, Rounds(goal=5)), 5)
        return path(buffered(world, Buffer(concurrency=6, size=2)), 8)

    first, again, other = run(1), run(1), run(2)
    assert [moment.at for moment in first] == [moment.at for moment in again] != [moment.at for moment in other]
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[-1].weights, other[-1].weights)


@pytest.mark.parametrize("preset", ["phones", "desktops"])
def test_time_and_counts_only_grow(preset: str) -> None:
    world, _ = federation(60, PRESETS[preset])
    for moments in (
        path(synchronous(world, Rounds(goal=4)), 12), path(buffered(world, Buffer(concurrency=6, size=3)), 15),
    ):  # fmt: skip
        for before, after in pairwise(moments):
            assert after.at >= before.at
            assert after.trips >= before.trips
            assert after.updates >= before.updates
            assert after.wasted >= before.wasted
            assert (after.paid >= before.paid).all()


def test_those_asked_beyond_the_goal_pay_for_nothing() -> None:
    world, trainer = federation(20, work=range(1, 21))
    moments = path(synchronous(world, Rounds(goal=6, over_selection=1.5)), 3)
    assert [moment.trips for moment in moments] == [9, 18, 27]
    assert [moment.updates for moment in moments] == [6, 12, 18]
    assert [moment.wasted for moment in moments] == [3, 6, 9]
    assert [int(moment.paid.sum()) for moment in moments] == [9, 18, 27]
    asked = np.flatnonzero(moments[0].paid)
    assert sorted({device for device, _ in trainer.calls[:6]}) == sorted(asked[:6])  # less work is done sooner
    assert moments[0].at == asked[5] + 1


def test_every_charge_of_a_round_is_counted_or_wasted() -> None:
    world, _ = federation(80, replace(PRESETS["phones"], unreachable=0.1, fails=0.2, late=0.1))
    for moment in path(synchronous(world, Rounds(goal=8)), 10):
        assert int(moment.paid.sum()) == moment.updates + moment.wasted
        assert moment.trips >= int(moment.paid.sum())
    assert moment.trips > int(moment.paid.sum())  # some were gone before they paid
    assert moment.wasted > 0


def test_a_round_without_a_quorum_changes_nothing_and_costs_all_that_it_cost() -> None:
    world, _ = federation(20, replace(STEADY, fails=1.0))
    moments = path(synchronous(world, Rounds(goal=4)), 2)
    assert np.array_equal(moments[-1].weights, world.start)
    assert (moments[-1].steps, moments[-1].updates) == (0, 0)
    assert moments[-1].wasted == int(moments[-1].paid.sum()) == moments[-1].trips > 0


def test_a_deadline_closes_a_round_that_has_a_quorum() -> None:
    world, _ = federation(10, work=[1.0] * 5 + [1000.0] * 5)
    moment = path(synchronous(world, Rounds(goal=10, over_selection=1.0, deadline_seconds=60.0)), 1)[0]
    assert (moment.at, moment.updates, moment.wasted) == (60.0, 5, 5)


def test_a_stale_answer_weighs_less_and_is_from_the_weights_it_began_with() -> None:
    world, trainer = federation(2, work=[1.0, 10.5], momentum=0.0)
    moments = path(buffered(world, Buffer(concurrency=2, size=1)), 11)
    weights, history = world.start, [world.start]
    staleness: list[int] = []
    again = updates_again(world, trainer)
    for device, turn in [*((0, turn) for turn in range(1, 11)), (1, 1)]:
        started, update = again[device, turn]
        version = next(n for n, known in enumerate(history) if np.array_equal(known, started))
        staleness.append(len(history) - 1 - version)
        scaled = update.astype(np.float64) / np.sqrt(1 + staleness[-1])
        weights, _ = step(weights, scaled, np.zeros_like(weights), world.training)
        history.append(weights)
    assert staleness == [0] * 10 + [10]
    assert all(np.array_equal(moment.weights, known) for moment, known in zip(moments, history[1:], strict=True))


def test_what_is_too_stale_is_thrown_away_and_was_paid_for() -> None:
    world, trainer = federation(2, work=[1.0, 10.5])
    moment = path(buffered(world, Buffer(concurrency=2, size=1, max_staleness=5)), 12)[-1]
    weights, momentum, again = world.start, np.zeros_like(world.start), updates_again(world, trainer)
    for turn in range(1, 13):
        weights, momentum = step(weights, again[0, turn][1].astype(np.float64), momentum, world.training)
    assert np.array_equal(moment.weights, weights)
    assert (moment.wasted, moment.updates) == (1, 12)
    assert moment.paid.tolist() == [12, 2]


def test_a_buffer_divides_by_its_size_whatever_its_answers_weigh() -> None:
    assert Buffer(concurrency=1, size=1).weight(3) == 0.5
    assert Buffer(concurrency=1, size=1, discounted=False).weight(3) == 1.0
    world, trainer = federation(2, work=[1.0, 2.5], momentum=0.0)
    moments = path(buffered(world, Buffer(concurrency=2, size=2)), 2)
    again = updates_again(world, trainer)
    updates = [again[key][1].astype(np.float64) for key in ((0, 1), (0, 2), (1, 1), (0, 3))]
    expected = world.start
    for total in (updates[0] + updates[1], updates[2] / np.sqrt(2) + updates[3]):  # one step has overtaken the third
        expected, _ = step(expected, total / 2, np.zeros_like(world.start), world.training)
    assert np.allclose(moments[-1].weights, expected, atol=1e-7)


def test_a_buffer_keeps_so_many_at_work() -> None:
    world, _ = federation(30, replace(STEADY, slowness_spread=1.0))
    for moment in path(buffered(world, Buffer(concurrency=7, size=2)), 40):
        assert moment.trips - moment.updates == 6  # whoever made the step has not been replaced yet


def test_a_server_that_nobody_answers_says_so() -> None:
    world, _ = federation(5, Behaviour(never=1.0))
    with pytest.raises(InputError, match="too few devices"):
        next(synchronous(world, Rounds(goal=2)))
    with pytest.raises(InputError, match="too few devices"):
        next(buffered(world, Buffer(concurrency=2, size=1)))


def test_a_forged_update_is_refused_at_the_door_and_counted_as_waste() -> None:
    world, trainer = federation(8)

    def lies(plan: RoundPlan, devices: Sequence[int], weights: Weights, streams: Sequence[CipherStream]) -> Weights:
        honest = trainer(plan, devices, weights, streams)
        return honest * np.where(np.array(devices) == 0, np.float32(1e6), np.float32(1))[:, None]

    world = replace(world, train=lies)
    moment = path(synchronous(world, Rounds(goal=8, over_selection=1.0)), 1)[0]
    assert (moment.updates, moment.wasted) == (7, 1)


def moments_of(values: list[float]) -> list[Moment]:
    """A run whose weights are its score."""
    return [
        Moment(
            at=10.0 * n, steps=n, trips=12 * n, updates=10 * n, wasted=n, weights=np.array([value], np.float32),
            paid=np.array([n, 0, 1], np.int32),
        )
        for n, value in enumerate(values)
    ]  # fmt: skip


def score(weights: Weights) -> float:
    """What `moments_of` put there."""
    return float(weights[0])


def test_a_target_is_met_when_it_holds_for_three_looks() -> None:
    found = reach(moments_of([0.1, 0.9, 0.2, 0.9, 0.9, 0.9, 0.1]), score, 0.8, every=1, most_trips=1000)
    assert found is not None
    assert found.steps == 3
    assert reach(moments_of([0.1, 0.9, 0.9, 0.2]), score, 0.8, every=1, most_trips=1000) is None
    assert reach(moments_of([0.1] * 5 + [0.9] * 5), score, 0.8, every=1, most_trips=50) is None


def test_both_ways_are_looked_at_equally_often() -> None:
    looked: list[float] = []

    def measure(weights: Weights) -> float:
        looked.append(float(weights[0]))
        return 0.0

    reach(moments_of([float(n) for n in range(20)]), measure, 0.8, every=50, most_trips=1000)
    assert looked == [0.0, 5.0, 10.0, 15.0]


def test_what_devices_paid_is_what_their_ledgers_would_say() -> None:
    world, _ = federation(3)
    moment = moments_of([0.0, 0.0, 0.0, 0.0])[-1]
    found = as_paid(moment, world.plan.event, delta=1e-5)
    assert found.payers == 2
    assert found.epsilons is not None
    event = world.plan.event
    once, thrice = (
        accounting.epsilon([replace(event, steps=event.steps * times)], delta=1e-5) for times in (1, 3)
    )  # fmt: skip
    assert found.epsilons[2] == thrice > found.epsilons[0] > once
    assert as_paid(moment, replace(event, noise_multiplier=1e-6), delta=1e-5).epsilons is None


def run_of(seconds: float, updates: int, trips: int) -> Reached:
    return Reached(seconds=seconds, steps=1, trips=trips, updates=updates, wasted=0, payers=1)


def test_a_ratio_is_the_median_over_seeds_and_none_if_a_seed_failed() -> None:
    runs = {
        "rounds": [run_of(600, 100, 130), run_of(100, 100, 130), run_of(900, 100, 130)],
        "buffer": [run_of(100, 50, 60), run_of(100, 50, 60), run_of(100, 200, 230)],
    }
    by_name = {anchor.name: ratio("pace.x", anchor, runs) for anchor in ANCHORS}
    time = by_name["Papaya: time"]
    assert (time["value"], time["from"], time["to"], time["meets"]) == (6.0, 1.0, 9.0, True)
    assert (by_name["FedBuff: updates"]["value"], by_name["FedBuff: updates"]["meets"]) == (2.0, False)
    failed = ratio("pace.x", ANCHORS[1], {**runs, "buffer": [None, *runs["buffer"][1:]]})
    assert (failed["value"], failed["meets"]) == (None, False)


def test_a_stages_rows_make_a_table_that_a_person_reads() -> None:
    runs = {"rounds": [run_of(600, 100, 130)], "buffer": [run_of(100, 50, 60)]}
    found = list(rows("digits", runs, Pace()))
    assert all({"name", "value", "unit"} <= row.keys() for row in found)
    text = "\n".join(table("digits", found))
    assert "meets 5x" in text
    assert "MISSES 3.3x" in text
    failed = list(rows("digits", {"rounds": [None], "buffer": [None]}, Pace()))
    assert "-" in "\n".join(table("digits", failed))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Rounds(goal=0), lambda: Rounds(goal=1, over_selection=0.9), lambda: Buffer(concurrency=0, size=1),
        lambda: Buffer(concurrency=1, size=1, max_staleness=-1),
    ],
)  # fmt: skip
def test_impossible_paces_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="or more"):
        wrong()


def test_rounds_keep_as_many_at_work_as_the_buffer() -> None:
    for concurrency in (13, 130, 260, 1000, 1300):
        how = Pace(concurrency=concurrency)
        assert concurrency - 1.3 <= how.rounds.asked <= concurrency
        assert how.buffered.concurrency == concurrency


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few devices with pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulations.pace.stages.PICTURES", 400)
        patch.setattr("simulations.pace.stages.TEST_PICTURES", 100)
        folder = tmp_path_factory.mktemp("pace")
        assert prepare("digits", folder, devices=30) == 30
    return folder


def test_both_ways_train_alike_from_the_same_start(digits: Path) -> None:
    (rounds, measure), (buffer, _) = (
        world_of(STAGES["digits"], way, digits, behaviour=PRESETS["ideal"], seed=1) for way in ("rounds", "buffer")
    )
    assert rounds.plan == buffer.plan
    assert np.array_equal(rounds.start, buffer.start)
    assert 0 <= measure(rounds.start) <= 1
    assert rounds.devices == 30


def test_accuracy_is_the_share_of_rows_that_are_right(digits: Path) -> None:
    world, _ = world_of(STAGES["digits"], "rounds", digits, behaviour=PRESETS["ideal"], seed=1)
    from simulations.pace.stages import task_of

    task, random = task_of("digits"), np.random.default_rng(0)
    inputs: NDArray[np.float32] = random.uniform(-1, 1, (50, task.inputs)).astype(np.float32)
    labels = np.zeros(50, np.int64)
    share = accuracy_of(task, world.start, Examples(inputs=inputs, labels=labels))
    others = [accuracy_of(task, world.start, Examples(inputs=inputs, labels=labels + n)) for n in range(1, 10)]
    assert share + sum(others) == pytest.approx(1)


@pytest.mark.proof
def test_the_command_prints_and_keeps_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "pace.json"
    pace(task="flights", concurrency=130, seeds=1, workers=1, report=kept, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(kept.read_text())
    by_name = {row["name"]: row for row in found}
    assert {f"pace.flights.{anchor.name}" for anchor in ANCHORS} <= by_name.keys()
    for way in ("rounds", "buffer"):
        assert by_name[f"pace.flights.{way}.seeds that met the target"]["meets"]
        assert by_name[f"pace.flights.{way}.epsilon, most"]["value"] > 1
