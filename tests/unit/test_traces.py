"""Devices that behave like devices: the traces are what docs/devices.md says of them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.inputs import Examples
from shared.errors import InputError, WireError
from shared.tasks import Window
from simulations.fleet.conditions import PRESETS, Behaviour, Conditions, Drift, read_behaviour
from simulations.fleet.population import Packed, Rows, moment, pack
from simulations.fleet.traces import draws, mix, normal, salt, uniforms
from simulations.fleet.traces_rows import HOUR as LABEL_HOUR
from simulations.fleet.traces_rows import Altered, drifted, forged, labelled

HOUR, DAY = 3600.0, 86_400.0
MANY = 20_000


def shares(behaviour: Behaviour, *, days: int = 3, seed: int = 1) -> np.ndarray:
    """The share of devices online by hour of the virtual day."""
    conditions = Conditions(behaviour, MANY, seed=seed)
    hours = [conditions.online(hour * HOUR + 1).mean() for hour in range(24 * days)]
    return np.array(hours).reshape(days, 24).mean(axis=0)


def test_the_same_seed_gives_the_same_devices_days_and_fates() -> None:
    first, again, other = (Conditions(PRESETS["phones"], 500, seed=seed) for seed in (7, 7, 8))
    for at in (0.0, 12_345.6, 9 * DAY):
        assert np.array_equal(first.online(at), again.online(at))
        assert not np.array_equal(first.online(at), other.online(at))
    fates = [[each.fate(device, 3, 50.0, 100.0) for device in range(200)] for each in (first, again, other)]
    assert fates[0] == fates[1] != fates[2]


def test_a_moment_does_not_depend_on_which_was_looked_up_before() -> None:
    conditions = Conditions(PRESETS["desktops"], 300, seed=2)
    later = conditions.online(5 * DAY)
    conditions.online(1.0)
    assert np.array_equal(conditions.online(5 * DAY), later)
    fate = conditions.fate(17, 2, 0.0, 10.0)
    conditions.fate(18, 2, 0.0, 10.0)
    assert conditions.fate(17, 2, 0.0, 10.0) == fate


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = Conditions(PRESETS["phones"], 1000, seed=3)
    whole = conditions.online(40_000.0)
    monkeypatch.setattr("simulations.fleet.conditions.BLOCK", 64)
    assert np.array_equal(conditions.online(40_000.0), whole)


def test_ideal_devices_are_always_there_and_take_what_their_examples_take() -> None:
    conditions = Conditions(PRESETS["ideal"], 50, seed=1)
    assert all(conditions.online(at).all() for at in (0.0, 1e5, 1e7))
    for device in range(50):
        fate = conditions.fate(device, 1, 0.0, 500.0)
        assert (fate.kind, fate.seconds, fate.paid) == ("returns", 0.5, True)


def test_phones_swing_fourfold_over_a_day_and_are_there_at_night() -> None:
    hours = shares(PRESETS["phones"])
    assert 3.5 < hours.max() / hours.min() < 4.5  # Bonawitz et al. (2019), section 9
    assert 6 <= hours.argmax() <= 11  # one to four at night in American zones
    assert 0.25 < hours.mean() < 0.33


def test_desktops_are_there_by_day() -> None:
    hours = shares(PRESETS["desktops"])
    assert 14 <= hours.argmax() <= 19
    assert 1.3 < hours.max() / hours.min() < 2.2


def test_without_charging_by_day_only_the_night_is_left() -> None:
    behaviour = Behaviour(charge_hour=22.0, charge_hour_spread=0.0, charge_hours=8.0, charge_by_day=0.0)
    conditions = Conditions(behaviour, 100, seed=1)
    there = [conditions.online(hour * HOUR + 1).mean() for hour in range(24)]
    assert there == [1.0] * 6 + [0.0] * 16 + [1.0] * 2


def test_a_zone_moves_the_night() -> None:
    behaviour = Behaviour(zones=(-6.0,), charge_hour=22.0, charge_hour_spread=0.0, charge_hours=8.0, charge_by_day=0.0)
    conditions = Conditions(behaviour, 10, seed=1)
    there = [hour for hour in range(24) if conditions.online(hour * HOUR + 1).all()]
    assert there == [4, 5, 6, 7, 8, 9, 10, 11]


def test_some_nights_the_charger_is_forgotten() -> None:
    behaviour = Behaviour(
        charge_hour=22.0, charge_hour_spread=0.0, charge_hours=8.0, charge_daily=0.7, charge_by_day=0.0
    )
    conditions = Conditions(behaviour, MANY, seed=1)
    nights = np.stack([conditions.online(day * DAY + 23 * HOUR) for day in range(4)])
    assert nights.mean(axis=1) == pytest.approx(0.7, abs=0.02)
    assert (nights.sum(axis=0) == 0).mean() == pytest.approx(0.3**4, abs=0.005)
    before, after = conditions.online(23 * HOUR), conditions.online(25 * HOUR)
    assert np.array_equal(before, after)  # one night is one night, on either side of midnight


def test_idleness_lasts_for_a_stretch() -> None:
    conditions = Conditions(Behaviour(idle_by_day=0.5, idle_at_night=0.5, stretch_minutes=30.0), MANY, seed=4)
    states = np.stack([conditions.online(60.0 * minute) for minute in range(31)])
    changes = (states[1:] != states[:-1]).sum(axis=0)
    assert changes.max() == 1
    assert changes.mean() == pytest.approx(0.5, abs=0.02)


def test_some_devices_never_take_part() -> None:
    conditions = Conditions(Behaviour(never=0.2), MANY, seed=5)
    first = conditions.online(0.0)
    assert 1 - first.mean() == pytest.approx(0.2, abs=0.012)
    assert np.array_equal(first, conditions.online(20 * DAY))


def test_log_normal_slowness_has_its_median_and_spread() -> None:
    slowness = Conditions(Behaviour(slowness_spread=1.0), 100_000, seed=1).slowness
    assert np.quantile(slowness, [0.1587, 0.5, 0.8413, 0.9772]) == pytest.approx(np.exp([-1, 0, 1, 2]), rel=0.04)


@pytest.mark.parametrize("tail", [1.2, 2.0])
def test_pareto_slowness_falls_off_by_its_exponent(tail: float) -> None:
    slowness = Conditions(Behaviour(slowness="pareto", slowness_tail=tail), 100_000, seed=1).slowness
    assert slowness.min() >= 1
    for factor in (2.0, 5.0, 10.0):
        share = factor**-tail
        assert (slowness > factor).mean() == pytest.approx(share, abs=5 * math.sqrt(share / 100_000))


def test_time_goes_with_work_and_slowness() -> None:
    conditions = Conditions(Behaviour(slowness_spread=1.0, examples_per_second=10.0, link_seconds=2.0), 100, seed=1)
    for device in range(100):
        fate = conditions.fate(device, 1, 0.0, 50.0)
        assert fate.seconds == pytest.approx(5 * conditions.slowness[device] + 2)


def test_jitter_is_a_requests_own() -> None:
    conditions = Conditions(Behaviour(jitter=0.5, examples_per_second=1.0), 1, seed=1)
    logs = np.log([conditions.fate(0, number, 0.0, 1.0).seconds for number in range(5000)])
    assert logs.mean() == pytest.approx(0, abs=0.03)
    assert logs.std() == pytest.approx(0.5, rel=0.05)


def test_requests_end_as_their_shares_say() -> None:
    behaviour = Behaviour(unreachable=0.1, fails=0.2, late=0.3, late_hours=2.0, link_seconds=4.0)
    conditions = Conditions(behaviour, MANY, seed=6)
    fates = [conditions.fate(device, 1, 0.0, 1000.0) for device in range(MANY)]
    by_kind = {
        (kind, paid): [fate.seconds for fate in fates if (fate.kind, fate.paid) == (kind, paid)]
        for kind in ("returns", "drops", "late") for paid in (True, False)
    }  # fmt: skip
    expected = {("drops", False): 0.1, ("drops", True): 0.2, ("late", True): 0.3, ("returns", True): 0.4}
    for key, seconds in by_kind.items():
        assert len(seconds) / MANY == pytest.approx(expected.get(key, 0), abs=0.015)
    assert max(by_kind["drops", False]) <= 2.0  # half of the link: before it began
    assert min(by_kind["drops", True]) >= 2.0
    assert max(by_kind["drops", True]) <= 5.0
    assert set(by_kind["returns", True]) == {5.0}
    assert np.mean(by_kind["late", True]) - 5 == pytest.approx(2 * HOUR, rel=0.06)


def test_who_works_longer_is_interrupted_more_often() -> None:
    conditions = Conditions(Behaviour(interruptions_per_hour=1.0, examples_per_second=1.0), MANY, seed=7)
    for hours in (0.1, 1.0):
        dropped = np.mean([conditions.fate(device, 1, 0.0, hours * HOUR).kind == "drops" for device in range(MANY)])
        assert dropped == pytest.approx(1 - math.exp(-hours), abs=0.015)


def test_phones_drop_out_as_often_as_was_published() -> None:
    conditions = Conditions(PRESETS["phones"], MANY, seed=8)
    fates = [conditions.fate(device, 1, 0.0, 100.0) for device in range(MANY)]
    assert 0.06 < np.mean([fate.kind == "drops" for fate in fates]) < 0.10  # Bonawitz et al. (2019), section 9
    assert all(fate.paid for fate in fates if fate.kind != "drops")


def test_a_round_and_a_device_have_their_own_fate() -> None:
    conditions = Conditions(PRESETS["phones"], 10, seed=9)
    seconds = {conditions.fate(device, number, 0.0, 10.0).seconds for device in range(10) for number in range(10)}
    assert len(seconds) == 100


def test_a_device_takes_some_thirty_bytes_and_no_double() -> None:
    conditions = Conditions(PRESETS["phones"], 1000, seed=1)
    arrays = [value for value in vars(conditions).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 32 * 1000
    assert {array.dtype.itemsize for array in arrays} <= {1, 4}


def test_the_quick_hash_is_uniform_and_changes_half_of_the_bits() -> None:
    words = mix(np.arange(2**16, dtype=np.uint32) ^ salt(1, "test"))
    assert len(np.unique(words)) == 2**16
    counts = np.histogram(uniforms(words), bins=64, range=(0, 1))[0]
    assert ((counts - 1024) ** 2 / 1024).sum() < 150  # chi-square with 63 degrees of freedom
    changed = np.bitwise_count(words ^ mix(np.arange(2**16, dtype=np.uint32) ^ salt(1, "test") ^ np.uint32(1)))
    assert changed.mean() == pytest.approx(16, abs=0.2)


def test_a_requests_draws_are_uniform_and_never_0_or_1() -> None:
    numbers = np.array([draws(1, device, 2) for device in range(5000)])
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert numbers.mean(axis=0) == pytest.approx(0.5, abs=0.02)
    assert [normal(0.5), normal(0.8413447)] == pytest.approx([0, 1], abs=1e-6)


def test_a_preset_goes_by_its_name_and_others_stand_in_a_file(tmp_path: Path) -> None:
    assert read_behaviour("phones") is PRESETS["phones"]
    (tmp_path / "b.toml").write_text(
        'zones = [1.0]\nunmetered = 0.5\n[[drifts]]\nkind = "invert"\nstart = "2013-02-01"\nshare = 0.25\n'
    )
    found = read_behaviour(str(tmp_path / "b.toml"))
    assert found == Behaviour(
        zones=(1.0,), unmetered=0.5, drifts=(Drift(kind="invert", start="2013-02-01", share=0.25),)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unmetred = 0.5", "unmetred"),
        ("late = 2.0", "late"),
        ("zones = []", "zones"),
        ("fails = 0.6\nlate = 0.6", "share out"),
    ],
)
def test_a_file_that_describes_no_device_is_refused_with_the_field(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "b.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_behaviour(str(tmp_path / "b.toml"))


def test_a_word_that_is_neither_preset_nor_file_is_refused() -> None:
    with pytest.raises(InputError, match="neither one of"):
        read_behaviour("toasters")
    assert not issubclass(InputError, WireError)


@pytest.mark.parametrize("wrong", [{"stretch_minutes": 0.0}, {"jitter": -1.0}, {"never": 1.1}])
def test_impossible_behaviour_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Behaviour(**wrong)


def test_labels_come_after_a_delay_and_some_never() -> None:
    conditions = Conditions(Behaviour(label_delay_hours=10.0, labels_never=0.2), 3, seed=1)
    times = np.zeros(MANY, np.int64)
    known = [labelled(conditions, 1, times, now=hours * LABEL_HOUR).mean() for hours in (0, 5, 10, 40)]
    assert known == pytest.approx([0.8 * (1 - math.exp(-hours / 10)) for hours in (0, 5, 10, 40)], abs=0.015)
    assert labelled(conditions, 1, times).mean() == pytest.approx(0.8, abs=0.015)


def test_a_label_that_has_come_stays_and_more_rows_change_none() -> None:
    conditions = Conditions(Behaviour(label_delay_hours=1.0), 3, seed=1)
    times = np.arange(100, dtype=np.int64) * LABEL_HOUR
    early, later = (labelled(conditions, 2, times, now=hours * LABEL_HOUR) for hours in (50, 60))
    assert not (early & ~later).any()
    assert np.array_equal(labelled(conditions, 2, times[:60], now=50 * LABEL_HOUR), early[:60])
    assert np.array_equal(labelled(conditions, 2, times[40:], now=50 * LABEL_HOUR, first=40), early[40:])


def some_rows(rows: int = 40) -> tuple[Examples, np.ndarray]:
    random = np.random.default_rng(0)
    inputs = random.uniform(-1, 1, (rows, 3)).astype(np.float32)
    times = moment("2013-01-01") + np.arange(rows, dtype=np.int64) * 24 * LABEL_HOUR
    return Examples(inputs=inputs, labels=random.integers(0, 2, rows)), times


def test_drift_begins_at_its_date_and_leaves_the_rows_themselves_alone() -> None:
    examples, times = some_rows()
    kept = examples.inputs.copy()
    drifts = (
        Drift(kind="shift", start="2013-01-11", amount=0.5, inputs=(1,)),
        Drift(kind="invert", start="2013-01-21"),
    )
    after = drifted(Conditions(Behaviour(drifts=drifts), 1, seed=1), 0, examples, times, classes=2)
    assert np.array_equal(after.inputs[:10], kept[:10])
    assert np.array_equal(after.inputs[:, [0, 2]], kept[:, [0, 2]])
    assert np.allclose(after.inputs[10:, 1], np.minimum(kept[10:, 1] + 0.5, 1))
    assert np.array_equal(after.labels[:20], examples.labels[:20])
    assert np.array_equal(after.labels[20:], 1 - examples.labels[20:])
    assert np.array_equal(examples.inputs, kept)


def test_a_share_of_the_devices_drifts() -> None:
    examples, times = some_rows(3)
    conditions = Conditions(Behaviour(drifts=(Drift(kind="invert", start="2013-01-01", share=0.3),)), 2000, seed=1)
    changed = [
        not np.array_equal(drifted(conditions, device, examples, times, classes=2).labels, examples.labels)
        for device in range(2000)
    ]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.05)


def test_liars_are_a_share_and_send_what_the_attack_says() -> None:
    behaviour = Behaviour(attackers=0.1, attack="scale", attack_scale=4.0)
    assert Conditions(behaviour, MANY, seed=1).liars.mean() == pytest.approx(0.1, abs=0.01)
    update = np.array([1.0, -2.0], np.float32)
    assert forged(behaviour, update).tolist() == [4.0, -8.0]
    assert forged(replace(behaviour, attack="sign-flip"), update).tolist() == [-1.0, 2.0]
    assert np.isnan(forged(replace(behaviour, attack="nan"), update)).all()


def packed(folder: Path) -> Packed:
    examples, times = some_rows()
    offsets = np.array([0, 25, 40])
    pack(
        folder,
        Rows(names=("a", "b"), offsets=offsets, inputs=examples.inputs, labels=examples.labels, times=times, groups={}),
    )
    return Packed(folder)


def test_a_population_is_seen_as_its_conditions_leave_it(tmp_path: Path) -> None:
    rows = packed(tmp_path / "rows")
    ideal = Altered(rows, Conditions(Behaviour(), 2, seed=1), classes=2)
    window = Window(start="2013-01-05", end="2013-01-20")
    assert (len(ideal), ideal.name(1)) == (2, "b")
    assert np.array_equal(ideal.examples(0, window).inputs, rows.examples(0, window).inputs)
    behaviour = Behaviour(label_delay_hours=240.0, drifts=(Drift(kind="invert", start="2013-01-01"),))
    altered = Altered(rows, Conditions(behaviour, 2, seed=1), classes=2)
    found, whole = altered.examples(0, window), altered.examples(0, replace(window, end=""))
    assert 0 < len(found.labels) < 15
    assert len(whole.labels) == 21
    known = labelled(Conditions(behaviour, 2, seed=1), 0, rows.times[4:19], now=moment(window.end), first=4)
    assert np.array_equal(found.labels, 1 - rows.labels[4:19][known])
