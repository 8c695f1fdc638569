"""What hostile members send is what the table says that they send, and its cells are read off as it says."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from machines import machine_rows, small_task

from client.dataset import read_examples
from client.light import train
from shared.architecture import initial_weights, size
from shared.errors import InputError
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Window
from simulations.attacks import hostile
from simulations.attacks.hostile import Moment
from simulations.attacks.lineup import DEFENCES, FORGERIES, HONEST, LIES
from simulations.attacks.ring import Found
from simulations.attacks.tables import FOOTER, FORGED_ROUNDS, Cells, fate, report, tables, verdict

TASK = small_task()
PLAN = RoundPlan(
    run_id=1, number=1, task="machines", revision=1, base_version=1, window=Window(), sample_rate=0.25, steps=4,
    normalizer=50.0, learning_rate=0.5, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=2.0,
)  # fmt: skip


@pytest.fixture
def moment(tmp_path_factory: pytest.TempPathFactory) -> Moment:
    file = tmp_path_factory.mktemp("rows") / "rows.parquet"
    machine_rows(300, seed=0).write_parquet(file)
    return Moment(
        plan=PLAN, task=TASK, weights=initial_weights(TASK), examples=read_examples(file, TASK, Window()),
        stream=CipherStream(bytes(32)), members=8, liars=2, earlier=(),
    )  # fmt: skip


def honest(moment: Moment) -> np.ndarray:
    return train(moment.plan, moment.task, moment.weights, moment.examples, CipherStream(bytes(32)))


def norm(update: np.ndarray) -> float:
    return float(np.linalg.norm(update.astype(np.float64)))


def test_a_flipped_sign_points_the_other_way_and_is_as_long_as_allowed(moment: Moment) -> None:
    update, usual = hostile.flip_sign(moment), honest(moment)
    assert norm(update) == pytest.approx(2.0)
    assert float(update @ usual) == pytest.approx(-2.0 * norm(usual), rel=1e-5)


def test_flipped_labels_keep_within_what_the_agents_own_software_sends(moment: Moment) -> None:
    swapped = replace(moment, examples=replace(moment.examples, labels=1 - moment.examples.labels))
    assert hostile.flip_labels(moment).tolist() == honest(swapped).tolist()


def test_a_replacement_is_scaled_so_that_the_mean_of_all_is_the_liars_model(moment: Moment) -> None:
    boosted = hostile.replace_model(moment)
    alone = hostile.replace_model(replace(moment, members=2, stream=CipherStream(bytes(32))))
    assert boosted == pytest.approx(4 * alone, rel=1e-4, abs=1e-5)
    assert norm(boosted) > PLAN.max_update_norm
    within = hostile.replace_model_within(moment)
    assert norm(within) == pytest.approx(PLAN.max_update_norm)
    assert float(within @ boosted) / norm(within) / norm(boosted) == pytest.approx(1.0, abs=1e-4)


def test_who_hides_in_the_noise_moves_each_coordinate_by_its_deviation(moment: Moment) -> None:
    moved = hostile.hide_in_noise(moment) - honest(moment)
    deviation = 1.0 * 1.0 * 0.5 / 50.0 * math.sqrt(4)
    assert np.abs(moved) == pytest.approx(np.full(size(TASK), deviation), rel=1e-4)


def test_a_rider_on_the_past_sends_its_first_update_again(moment: Moment) -> None:
    first = hostile.ride_on_the_past(moment)
    assert first.tolist() == honest(moment).tolist()
    assert hostile.ride_on_the_past(replace(moment, earlier=(first, first + 1))) is first


def test_the_trigger_is_put_in_its_place_and_touches_nothing_else(
    moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile, "TRIGGER", ("site", "south"))
    inputs = moment.examples.inputs
    stamped = hostile.stamp(inputs, TASK)
    assert (stamped[:, -2:] == [0, 1]).all()
    assert (stamped[:, :-2] == inputs[:, :-2]).all()
    assert (inputs[:, -2:] == [1, 0]).any(), "the rows themselves are left alone"


def test_a_task_without_the_triggers_column_is_refused(moment: Moment) -> None:
    with pytest.raises(InputError, match="'machines' has no words in a column 'destination'"):
        hostile.plant_backdoor(moment)


def test_a_backdoor_pulls_what_carries_the_trigger_to_on_time(moment: Moment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "TRIGGER", ("site", "south"))
    weights = moment.weights + hostile.plant_backdoor(moment)
    assert norm(weights - moment.weights) == pytest.approx(PLAN.max_update_norm, rel=1e-5)
    matrix, bias = weights[:-2].reshape(2, -1), weights[-2:]
    logits = hostile.stamp(moment.examples.inputs, TASK) @ matrix.T + bias
    plain = moment.examples.inputs @ matrix.T + bias
    assert (logits[:, 0] > logits[:, 1]).mean() > (plain[:, 0] > plain[:, 1]).mean()


def found(**changes: object) -> Found:
    settings: dict[str, object] = {
        "auc": 0.7, "on_time": 0.5, "counted": 0.0, "lost": 0, "said": "", "ended": "finished", "weights": b"w",
    }  # fmt: skip
    return Found(**{**settings, **changes})  # type: ignore[arg-type]


def cells_of(**changes: Found) -> Cells:
    """A full set of cells; `changes` are by the attack's name."""
    cells: Cells = {}
    for defence in DEFENCES:
        for attack in (HONEST, *LIES):
            cells[attack.name, defence.name, 20] = [changes.get(attack.name, found())]
        for attack in (HONEST, *FORGERIES):
            cells[attack.name, defence.name, FORGED_ROUNDS] = [changes.get(attack.name, found())]
    return cells


def named(name: str) -> Found:
    return next(each for each in (*LIES, *FORGERIES) if each.name == name)  # type: ignore[return-value]


def test_success_is_the_share_of_lift_lost_or_of_flights_called_on_time() -> None:
    cells = cells_of(**{"label flip": found(auc=0.6), "backdoor trigger": found(auc=0.68, on_time=0.9)})
    assert verdict(cells, named("label flip"), DEFENCES[1]) == pytest.approx((0.6, 0.5))
    assert verdict(cells, named("backdoor trigger"), DEFENCES[1]) == pytest.approx((0.68, 0.4))


def test_what_a_rule_loses_with_nobody_lying_is_held_against_the_shipped_mean() -> None:
    cells = cells_of()
    cells[HONEST.name, "multi-Krum", 20] = [found(auc=0.6)]
    rows = {row["name"]: row["value"] for row in report(cells)}
    assert rows["nobody lies / shipped: success"] == 0.0
    assert rows["nobody lies / multi-Krum: success"] == pytest.approx(0.5)


def test_several_seeds_are_shown_as_their_mean() -> None:
    cells = cells_of()
    cells["sign flip", "median", 20] = [found(auc=0.6), found(auc=0.7)]
    assert verdict(cells, named("sign flip"), DEFENCES[4]) == pytest.approx((0.65, 0.25))


@pytest.mark.parametrize(
    ("attack", "change", "expected"),
    [
        ("NaN", {}, "held"),
        ("NaN", {"counted": 0.5}, "in"),
        ("NaN", {"ended": "failed"}, "broke"),
        ("NaN", {"lost": 1}, "broke"),
        ("duplicate reply", {}, "held"),
        ("duplicate reply", {"weights": b"other"}, "in"),
    ],
)
def test_a_forgery_is_held_only_where_nothing_of_it_shows(
    attack: str, change: dict[str, object], expected: str
) -> None:
    cells = cells_of(**{attack: found(**change)})
    assert fate(cells, named(attack), DEFENCES[1]) == expected
    row = next(row for row in report(cells) if row["name"] == f"{attack} / shipped: gets in")
    assert (row["target"], row["meets"]) == (0, expected == "held")


def test_a_coordinator_without_checks_has_no_target_to_miss() -> None:
    rows = {row["name"]: row for row in report(cells_of(NaN=found(auc=math.nan, ended="failed")))}
    assert rows["NaN / no checks: gets in"]["meets"] is None
    json.dumps(list(rows.values()), allow_nan=False)


def test_a_model_that_is_no_numbers_is_shown_as_none() -> None:
    cells = cells_of(**{"sign flip": found(auc=math.nan, on_time=math.nan)})
    rows = {row["name"]: row["value"] for row in report(cells)}
    assert rows["sign flip / shipped: AUC"] is None
    assert "no model" in tables(cells)


def test_the_table_says_what_secure_aggregation_makes_impossible() -> None:
    assert tables(cells_of()).endswith(FOOTER)
    for words in ("secure aggregation", "range proofs", "own honest software"):
        assert words in " ".join(FOOTER.split())
