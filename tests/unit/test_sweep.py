"""A sweep: its grid, the plans that no other beats, and what is kept when it is interrupted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import plots, stands_alone

from shared.errors import InputError
from simulations.sweep.conduct import SweepRow, conduct
from simulations.sweep.grid import Done, Point, PointResult, Sweep, counts, grid, numbers
from simulations.sweep.page import command, page, recommended
from simulations.sweep.pareto import best, edge, front

SWEEP = Sweep(title="Late arrivals", task="ab", devices=40, seeds=(0, 1), mode="local", delta=1e-5)
POINTS = grid(clips=(0.5, 1.0), noises=(1.2,), cohorts=(10, 20), rounds=(2,))


def result(auc: float | None, epsilon: float, bytes_up: float = 100.0) -> PointResult:
    return PointResult(
        auc=auc, auc_low=auc, auc_high=auc, epsilon=epsilon, bytes_up=bytes_up, seconds=1.0, plan_sha256="cd" * 32
    )


def done(auc: float | None, epsilon: float, bytes_up: float = 100.0, *, noise: float = 1.0) -> Done:
    return Done(point=Point(clip=1.0, noise=noise, cohort=10, rounds=2), result=result(auc, epsilon, bytes_up))


@dataclass
class Fake:
    """Rehearses without rehearsing; `until` so many points are done."""

    until: int = 100
    asked: list[Point] = field(default_factory=list[Point])
    raises: bool = False

    def __call__(self, point: Point, folder: Path, say: Callable[[float], None]) -> PointResult | None:
        if len(self.asked) >= self.until:
            if self.raises:
                raise KeyboardInterrupt
            return None
        self.asked.append(point)
        folder.mkdir(exist_ok=True)
        say(0.5)
        return result(0.5 + point.clip / 10, float(point.cohort))


def test_a_grid_has_every_combination_once_and_the_cheapest_first() -> None:
    assert len(POINTS) == 4
    assert {(each.clip, each.cohort) for each in POINTS} == {(0.5, 10), (0.5, 20), (1.0, 10), (1.0, 20)}
    assert [each.cohort for each in POINTS] == [10, 10, 20, 20]
    assert len({each.name for each in POINTS}) == 4
    assert grid(clips=(1.0, 1.0), noises=(1.0,), cohorts=(5,), rounds=(2,)) == grid(
        clips=(1.0,), noises=(1.0,), cohorts=(5,), rounds=(2,)
    )


def test_an_axis_is_read_from_text() -> None:
    assert numbers("0.5,1", "--clip", default=2.0) == (0.5, 1.0)
    assert numbers("", "--clip", default=2.0) == (2.0,)
    assert counts("10,20", "--rounds", default=1) == (10, 20)
    assert counts("", "--rounds", default=1) == (1,)


@pytest.mark.parametrize("text", ["x", "1,", "0", "-1", "inf", "nan", "1;2"])
def test_an_axis_that_is_no_list_of_positive_numbers_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="--noise"):
        numbers(text, "--noise", default=1.0)


def test_a_fraction_of_a_round_is_refused() -> None:
    with pytest.raises(InputError, match="--rounds takes whole numbers"):
        counts("2.5", "--rounds", default=1)


costs = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=25)


@given(costs)
def test_no_point_of_the_front_is_beaten_and_every_other_is_by_one_of_the_front(
    found: list[tuple[int, int, int]],
) -> None:
    kept = front(found)

    def beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return all(a <= b for a, b in zip(one, other, strict=True)) and any(
            a < b for a, b in zip(one, other, strict=True)
        )

    inside = [each for each, on in zip(found, kept, strict=True) if on]
    assert inside
    for each, on in zip(found, kept, strict=True):
        assert on != any(beats(other, each) for other in inside)


def test_the_front_wants_auc_high_and_epsilon_and_bytes_low() -> None:
    found = [done(0.7, 1.0), done(0.7, 2.0), done(0.8, 2.0), done(0.65, 2.0, 10.0), done(None, 0.1, 1.0)]
    assert best(found) == [True, False, True, True, False]
    assert [each.result.auc for each in edge(found)] == [0.7, 0.8]


def test_the_recommended_plan_keeps_most_of_the_best_lift_at_the_least_epsilon() -> None:
    assert recommended([done(0.6, 0.5), done(0.695, 1.0), done(0.7, 4.0)]) == done(0.695, 1.0)
    assert recommended([done(0.5, 1.0), done(None, 1.0)]) is None
    assert recommended([]) is None


def test_a_sweep_goes_through_its_grid_and_keeps_what_it_found(tmp_path: Path) -> None:
    said = list[float]()
    found = conduct(SWEEP, POINTS, tmp_path, Fake(), say=said.append)
    assert [each.point for each in found] == list(POINTS)
    assert said == sorted(said)
    assert said[-1] == 4
    table = pl.read_parquet(tmp_path / "sweep.parquet")
    rows = [SweepRow(**row) for row in table.to_dicts()]
    assert [row.folder for row in rows] == [each.name for each in POINTS]
    # The fake is worth more with more clip and costs more with a larger cohort.
    assert [(row.clip, row.cohort) for row in rows if row.on_front] == [(1.0, 10)]
    assert (tmp_path / "sweep.html").exists()


@pytest.mark.parametrize("raises", [True, False])
def test_an_interrupted_sweep_is_readable_and_goes_on_where_it_stopped(tmp_path: Path, raises: bool) -> None:
    first, then = Fake(until=2, raises=raises), Fake()
    assert len(conduct(SWEEP, POINTS, tmp_path, first, say=lambda _: None)) == 2
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "not finished: 2 of 4 plans" in text
    assert len(pl.read_parquet(tmp_path / "sweep.parquet")) == 2
    found = conduct(SWEEP, POINTS, tmp_path, then, say=lambda _: None)
    assert len(found) == 4
    assert set(first.asked) | set(then.asked) == set(POINTS)
    assert not set(first.asked) & set(then.asked), "a finished point is rehearsed once"
    assert "not finished" not in (tmp_path / "sweep.html").read_text(encoding="utf-8")


def test_a_finished_sweep_rehearses_nothing(tmp_path: Path) -> None:
    conduct(SWEEP, POINTS, tmp_path, Fake(), say=lambda _: None)
    again = Fake()
    assert len(conduct(SWEEP, POINTS, tmp_path, again, say=lambda _: None)) == 4
    assert again.asked == []


def test_a_wider_grid_keeps_the_points_of_the_narrower(tmp_path: Path) -> None:
    conduct(SWEEP, POINTS, tmp_path, Fake(), say=lambda _: None)
    wider, fake = grid(clips=(0.5, 1.0, 2.0), noises=(1.2,), cohorts=(10, 20), rounds=(2,)), Fake()
    assert len(conduct(SWEEP, wider, tmp_path, fake, say=lambda _: None)) == 6
    assert {each.clip for each in fake.asked} == {2.0}


@pytest.mark.parametrize("body", [b"", b"{", b'{"point": {}}'])
def test_a_broken_result_is_rehearsed_again(tmp_path: Path, body: bytes) -> None:
    conduct(SWEEP, POINTS, tmp_path, Fake(), say=lambda _: None)
    (tmp_path / POINTS[1].name / "point.json").write_bytes(body)
    again = Fake()
    conduct(SWEEP, POINTS, tmp_path, again, say=lambda _: None)
    assert again.asked == [POINTS[1]]


def test_another_sweep_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    conduct(SWEEP, POINTS, tmp_path, Fake(), say=lambda _: None)
    other = Sweep(title="Late arrivals", task="ab", devices=41, seeds=(0, 1), mode="local", delta=1e-5)
    with pytest.raises(InputError, match="another sweep"):
        conduct(other, POINTS, tmp_path, Fake(), say=lambda _: None)


def test_the_page_stands_alone_and_names_what_starts_each_plan_of_the_front() -> None:
    found = [
        done(0.6, 0.5, noise=4.0),
        done(0.7, 1.0, noise=2.0),
        done(0.65, 2.0, noise=1.0),
        done(0.75, 9.0, noise=0.5),
    ]
    text = page(Path("sweeps/x y"), SWEEP, found, asked=4)
    assert stands_alone(text)
    assert (
        text.count("covey start --plan &#x27;sweeps/x y/clip-1") + text.count("covey start --plan 'sweeps/x y/clip-1")
        == 3
    )
    (plot,) = plots(text)
    numbered = [each.text for each in plot.iter("text") if each.attrib["class"] == "name"]
    assert sorted(numbered) == ["1", "2", "3"]
    styles = [each.attrib["class"] for each in plot.iter("circle") if len(each)]
    assert sorted(styles) == ["dot point a off"] + ["dot point a on"] * 3
    assert command(Path("a b"), found[0]) == "covey start --plan 'a b/clip-1_noise-4_cohort-10_rounds-2/plan.toml'"


@pytest.mark.parametrize("found", [[], [done(None, 1.0)], [done(0.4, 0.0, 0.0)], [done(0.7, 1.0)] * 3])
def test_whatever_was_found_has_a_page(found: list[Done]) -> None:
    text = page(Path("x"), SWEEP, found, asked=5)
    assert stands_alone(text)
    assert "not finished" in text
    assert len(plots(text)) == any(each.result.auc is not None for each in found)
