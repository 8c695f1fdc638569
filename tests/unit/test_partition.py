"""Tables that become fleets: every row once, skew as asked, and the rows that a device itself would read."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import labelled_task
from machines import machine_rows, small_task

from client.dataset import read_examples
from shared.contract import Contract, NumberRule
from shared.errors import ContractError, InputError
from shared.tasks import Task, Window, read_task
from simulations.fleet.datasets import known
from simulations.fleet.loading import ABSENT, load, own
from simulations.fleet.partition import NOBODY, Partition, by_key, dirichlet, evenly, shards
from simulations.fleet.population import Packed, pack
from simulations.fleet.synthetic import Synthetic, synthetic

TASKS = Path(__file__).parents[2] / "tasks"
LABELS = np.repeat(np.arange(10), 60)
WINDOWS = (Window(), Window(end="2026-01-10"), Window(start="2026-01-10", end="2026-01-20"), Window(start="2026-02-01"))


def skew(partition: Partition, labels: np.ndarray, classes: int = 10) -> float:
    """How far a device's mix of labels is from the table's, as a total variation; the mean over devices."""
    found = [np.bincount(labels[partition.devices == d], minlength=classes) for d in range(len(partition.names))]
    mixes = [counts / counts.sum() for counts in found if counts.sum()]
    return float(
        np.mean([np.abs(mix - np.bincount(labels, minlength=classes) / len(labels)).sum() / 2 for mix in mixes])
    )


@given(
    rows=st.integers(20, 200), classes=st.integers(1, 12), devices=st.integers(1, 10),
    alpha=st.floats(1e-3, 1e3), seed=st.integers(0, 2**40),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_draw_deals_out_every_row_once_and_again_the_same(
    rows: int, classes: int, devices: int, alpha: float, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    draws = (
        lambda: evenly(rows, devices, seed),
        lambda: dirichlet(labels, devices, alpha, seed),
        lambda: shards(labels, devices, 2, seed),
    )
    for draw in draws:
        found = draw()
        assert len(found.names) == len(set(found.names)) == devices
        assert found.devices.shape == (rows,)
        counts = np.bincount(found.devices, minlength=devices)
        assert counts.sum() == rows
        assert len(counts) == devices
        assert counts.max() - counts.min() <= 2
        assert np.array_equal(draw().devices, found.devices)


def test_another_seed_deals_otherwise() -> None:
    for draw in (
        lambda s: evenly(600, 7, s),
        lambda s: dirichlet(LABELS, 7, 1.0, s),
        lambda s: shards(LABELS, 7, 2, s),
    ):
        assert (draw(1).devices != draw(2).devices).any()


@pytest.mark.parametrize("seed", range(10))
def test_dirichlet_is_skewed_as_its_alpha_says(seed: int) -> None:
    """Below 1 ten devices cannot differ more, as all rows go to one; an even split comes to 0.145 by chance alone."""
    found = [skew(dirichlet(LABELS, 10, alpha, seed), LABELS) for alpha in (0.01, 1.0, 10.0, 100.0, 10_000.0)]
    assert found[0] > 0.5
    assert found[1] > found[2] + 0.05
    assert found[2] > found[3] + 0.05
    assert abs(found[4] - skew(evenly(len(LABELS), 10, seed), LABELS)) < 0.06


@given(devices=st.integers(2, 20), each=st.integers(1, 4), seed=st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_shards_give_each_device_few_classes(devices: int, each: int, seed: int) -> None:
    """A shard is shorter than a class where there are at least as many shards as classes, so it holds two at most."""
    found = shards(LABELS, devices, each, seed)
    if devices * each >= 10:
        assert max(len(set(LABELS[found.devices == d])) for d in range(devices)) <= 2 * each
    if devices * each in (10, 20, 60):
        assert max(len(set(LABELS[found.devices == d])) for d in range(devices)) <= each


def test_a_key_makes_devices_of_its_words_the_largest_first() -> None:
    frame = pl.DataFrame({"tail": ["b", "a", None, "b", "c", "c"]})
    found = by_key(frame, "tail")
    assert found.names == ("b", "c", "a")
    assert found.devices.tolist() == [0, 2, NOBODY, 0, 1, 1]
    largest = by_key(frame, "tail", most=2)
    assert largest.names == ("b", "c")
    assert largest.devices.tolist() == [0, NOBODY, NOBODY, 0, 1, 1]


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda: by_key(pl.DataFrame({"a": ["x"]}), "b"), "no column 'b'"),
        (lambda: by_key(pl.DataFrame({"a": ["x"]}), "a", most=2), "tells 1 devices apart, and 2"),
        (lambda: by_key(pl.DataFrame({"a": [None]}, schema={"a": pl.String}), "a"), "tells 0 devices apart"),
        (lambda: evenly(3, 4, 0), "3 rows cannot be split into 4"),
        (lambda: evenly(3, 0, 0), "cannot be split into 0"),
        (lambda: dirichlet(LABELS, 3, 0.0, 0), "alpha .* must be positive"),
        (lambda: dirichlet(LABELS, 3, float("nan"), 0), "alpha .* must be positive"),
        (lambda: shards(LABELS, 3, 0, 0), "at least one shard"),
        (lambda: shards(LABELS, 300, 3, 0), "cannot be split into 900"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_says_why(ask: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        ask()  # type: ignore[operator]


def strict_task(**changes: object) -> Task:
    return small_task(contract=Contract(columns=(NumberRule(name="load", low=0.0, high=0.9),)), **changes)


def rough_rows(rows: int = 300) -> pl.DataFrame:
    """Rows in order of time, with what spoils some: no label, no date, a load outside the contract."""
    frame = machine_rows(rows, seed=3).sort("at", maintain_order=True).with_row_index("n")
    lost = lambda name, each: pl.when(pl.col("n") % each == 0).then(None).otherwise(pl.col(name)).alias(name)  # noqa: E731 - twice, here
    return frame.with_columns(lost("stops", 11), lost("at", 13), lost("site", 7)).drop("n")


def test_loaded_rows_are_what_each_device_would_read(tmp_path: Path) -> None:
    task, frame = strict_task(), rough_rows()
    partition = evenly(frame.height, 4, 0)
    pack(tmp_path / "packed", load(task, frame, device=partition, groups=("site",)))
    packed = Packed(tmp_path / "packed")
    for number in range(4):
        mine = frame.filter(pl.Series(partition.devices == number))
        dated = mine.filter(pl.col("at").is_not_null())
        dated.write_parquet(tmp_path / f"{number}.parquet")
        for window in WINDOWS:
            there, here = read_examples(tmp_path / f"{number}.parquet", task, window), packed.examples(number, window)
            assert np.array_equal(there.inputs, here.inputs)
            assert there.inputs.dtype == here.inputs.dtype
            assert np.array_equal(there.labels, here.labels)
    assert len(packed.examples(0, Window()).labels) < frame.height / 4


def test_groups_stay_with_their_rows() -> None:
    task, frame = strict_task(), rough_rows()
    rows = load(task, frame, device=evenly(frame.height, 3, 1), groups=("site",))
    (group,) = rows.groups.values()
    assert group.words == (ABSENT, "north", "south")
    first = [index for index, feature in enumerate(task.features) if feature.name == "site"]
    assert first
    north, south = rows.inputs[:, -2], rows.inputs[:, -1]
    assert np.array_equal(group.codes, np.where(north == 1, 1, np.where(south == 1, 2, 0)))


def test_a_column_an_array_and_a_partition_name_the_same_devices() -> None:
    task, frame = small_task(), machine_rows(60).with_columns(pl.Series("who", ["x", "y", "z"] * 20))
    by_column = load(task, frame, device="who")
    by_array = load(task, frame, device=np.tile([0, 1, 2], 20))
    assert by_column.names == ("x", "y", "z")
    assert by_array.names == ("device-0", "device-1", "device-2")
    assert np.array_equal(by_column.inputs, by_array.inputs)
    assert np.array_equal(by_column.offsets, [0, 20, 40, 60])


def test_devices_without_rows_stay_and_rows_of_nobody_go() -> None:
    task, frame = small_task(), machine_rows(6)
    found = load(task, frame, device=Partition(names=("a", "b", "c"), devices=np.array([2, NOBODY, 0, 2, 0, NOBODY])))
    assert found.offsets.tolist() == [0, 2, 2, 4]
    assert len(found.labels) == 4
    assert (np.diff(found.times[:2]) >= 0).all()


def test_labelling_rules_decide_as_on_a_device(tmp_path: Path) -> None:
    task = labelled_task()
    frame = machine_rows(100).sort("at", maintain_order=True)
    frame = frame.with_columns(pl.lit(None, pl.Float64).alias("stops"))
    frame.write_parquet(tmp_path / "rows.parquet")
    there = read_examples(tmp_path / "rows.parquet", task, Window())
    here = load(task, frame, device=np.zeros(100, np.int64))
    assert len(there.labels) > 0
    assert np.array_equal(there.labels, here.labels)
    assert np.array_equal(there.inputs, here.inputs)


def test_files_of_ones_own_are_devices(tmp_path: Path) -> None:
    task, files = small_task(), {name: tmp_path / f"{name}.csv" for name in ("ada", "ben")}
    for seed, path in enumerate(files.values()):
        machine_rows(50, seed=seed).sort("at", maintain_order=True).write_csv(path)
    pack(tmp_path / "packed", own(task, files, groups=("site",)))
    packed = Packed(tmp_path / "packed")
    assert [packed.name(number) for number in range(len(packed))] == ["ada", "ben"]
    for number, path in enumerate(files.values()):
        for window in WINDOWS:
            there, here = read_examples(path, task, window), packed.examples(number, window)
            assert np.array_equal(there.inputs, here.inputs)
            assert np.array_equal(there.labels, here.labels)
    assert packed.groups["site"].words == ("north", "south")
    assert np.array_equal(packed.groups["site"].codes == 0, packed.inputs[:, -2] == 1)


def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    task, frame = small_task(), machine_rows(10)
    with pytest.raises(InputError, match="10 rows, and 9"):
        load(task, frame, device=np.zeros(9, np.int64))
    with pytest.raises(InputError, match=r"no columns \['port'\]"):
        load(task, frame, device=np.zeros(10, np.int64), groups=("port",))
    with pytest.raises(ContractError, match="lacks the columns"):
        load(task, frame.drop("load"), device=np.zeros(10, np.int64))
    with pytest.raises(InputError, match="no data file"):
        own(task, {})
    frame.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="load"):
        own(task, {"ada": tmp_path / "rows.parquet"}, groups=("load",))


def test_only_tasks_that_ship_have_data_of_their_own() -> None:
    digits = known("digits")
    assert known("machines") is None
    assert digits
    task = small_task()
    with pytest.raises(InputError, match="dirichlet, shards, evenly, not 'station'"):
        digits.rows(task, way="station")
    with pytest.raises(InputError, match="must end in a number"):
        digits.rows(task, way="dirichlet:much")


def test_a_synthetic_device_is_the_same_whoever_asks_and_whenever() -> None:
    task, everything = small_task(), Window()
    first, again = Synthetic.of(task, 500, seed=3), synthetic(task, 500, seed=3)()
    assert len(first) == len(again) == 500
    for device in (499, 0, 17):
        one, other = first.examples(device, everything), again.examples(device, Window(start="2026-01-01"))
        assert np.array_equal(one.inputs, other.inputs)
        assert np.array_equal(one.labels, other.labels)
        assert one.inputs.dtype == np.float32
        assert one.labels.dtype == np.int64
        assert one.inputs.shape == (len(one.labels), task.inputs)
    other = Synthetic.of(task, 500, seed=4).examples(0, everything)
    assert not np.array_equal(first.examples(0, everything).inputs[:10], other.inputs[:10])


def test_a_synthetic_population_is_what_its_module_says() -> None:
    made, everything = Synthetic(30, 3, 2000, least=16, most=80), Window()
    rows = [made.examples(device, everything) for device in range(2000)]
    sizes = np.array([len(each.labels) for each in rows])
    assert np.array_equal(sizes, made.sizes())
    assert (sizes.min(), sizes.max()) == (16, 80)
    assert max(float(np.abs(each.inputs).max()) for each in rows) <= 1.0
    labels = np.concatenate([each.labels for each in rows])
    assert np.bincount(labels).min() > len(labels) / 10
    own_shares = np.array([np.bincount(each.labels, minlength=3) / len(each.labels) for each in rows])
    alike = [
        made_alike.examples(device, everything)
        for made_alike in (Synthetic(30, 3, 2000, skew=0.0),)
        for device in range(2000)
    ]
    alike_shares = np.array([np.bincount(each.labels, minlength=3) / len(each.labels) for each in alike])
    assert own_shares.std(axis=0).mean() > 1.3 * alike_shares.std(axis=0).mean()
    held = made.held_out(10)
    assert held.names[0] == made.name(2000)
    assert held.offsets[-1] == len(held.labels)
    assert np.array_equal(held.inputs[: held.offsets[1]], made.examples(2000, everything).inputs)


def test_no_two_of_many_synthetic_devices_hold_the_same_rows() -> None:
    made = Synthetic(8, 2, 20_000)
    assert len({made.examples(device, Window()).inputs[:4].tobytes() for device in range(20_000)}) == 20_000


def test_a_population_that_cannot_be_says_why() -> None:
    for sizes in ((0, 2, 1), (1, 1, 1), (1, 2, 0)):
        with pytest.raises(InputError, match="synthetic population"):
            Synthetic(*sizes)
    with pytest.raises(InputError, match="synthetic population"):
        Synthetic(1, 2, 1, least=5, most=4)


@pytest.mark.proof
def test_flights_are_4037_aircraft_or_35_stations(tmp_path: Path) -> None:
    """Each aircraft has as many rows as the published table says, and they are what its own file would give."""
    from simulations import flights

    task, dataset = read_task(TASKS / "flights.toml"), known("flights")
    assert dataset
    rows = dataset.rows(task)
    arrived = flights.flights().filter(pl.col("arr_delay").is_not_null())
    counts = dict(arrived["tailnum"].value_counts().iter_rows())
    assert dict(zip(rows.names, np.diff(rows.offsets).tolist(), strict=True)) == counts
    assert len(rows.names) == 4037
    assert {name: len(group.words) for name, group in rows.groups.items()} == {"carrier": 16, "origin": 3}
    pack(tmp_path / "packed", rows)
    packed, table = Packed(tmp_path / "packed"), dataset.table()
    for number in (0, 1000, 4036):
        path = tmp_path / f"{number}.parquet"
        table.filter(pl.col("tailnum") == packed.name(number)).write_parquet(path)
        for window in (Window(), dataset.learn, dataset.test):
            there, here = read_examples(path, task, window), packed.examples(number, window)
            assert np.array_equal(there.inputs, here.inputs)
            assert np.array_equal(there.labels, here.labels)
    stations = dataset.rows(task, way="station", devices=8)
    assert stations.names == tuple(by_key(table, "station", most=8).names)
    assert len(dataset.rows(task, way="station").names) == 35
