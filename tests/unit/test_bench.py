"""The simulation's benchmark: how its table is put together and judged, what it says of peers that are not there."""

import ast
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from shared.architecture import size
from shared.errors import InputError
from shared.noise import CipherStream
from shared.tasks import Task
from simulations import bench
from simulations.benchmarks import flights_accuracy, machine, simulation
from simulations.benchmarks.fleet_engine import cnn_task, mlp_plan, mlp_task
from simulations.benchmarks.peers import arena, lineup
from simulations.benchmarks.peers.arena import Scores
from simulations.benchmarks.peers.lineup import GROUPS, RACES, Contender, Group, Race
from simulations.benchmarks.peers.turns import Turn
from simulations.benchmarks.peers.workload import BATCH, BOUND, RATE, ROWS, STEPS, batches, drawn, flop, handed, weights
from simulations.fleet.engine import Engine

ABOUT = machine.Machine(
    date="2026-11-28", processor="Some CPU", cores=2, memory=24.0, load=0.5, python="3.11", versions={"torch": "2", "ray": ""}
)  # fmt: skip
RACE = Race(name="peer", title="a peer", ours="ours", theirs="peer", target=10, moonshot=20)


def turn(updates: float, cpu: float, wall: float | None = None) -> Turn:
    return Turn(updates=updates, cpu=cpu, wall=wall or cpu)


def scores(*ratios: float) -> Scores:
    return Scores(turns={"ours": tuple(turn(r, 1) for r in ratios), "peer": tuple(turn(2, 2) for _ in ratios)})


@pytest.mark.parametrize(("ratios", "value", "meets"), [((9, 30, 10), 10, True), ((9, 9.9, 30), 9.9, False)])
def test_a_ratio_is_the_median_of_its_turns_and_is_judged(
    ratios: tuple[float, ...], value: float, *, meets: bool
) -> None:
    (row,) = simulation.races([RACE], scores(*ratios))
    assert (row["name"], row["value"], row["meets"], row["target"]) == (
        "simulation.against.peer",
        value,
        meets,
        ">= 10",
    )


def test_a_turn_that_slowed_both_down_changes_no_ratio() -> None:
    calm, busy = turn(100, 1), turn(100, 3)
    found = Scores(turns={"ours": (calm, busy, calm), "peer": (turn(10, 1), turn(10, 3), turn(10, 1))})
    assert simulation.races([RACE], found)[0]["value"] == pytest.approx(10)


def test_a_race_on_all_cores_goes_by_the_clock_on_the_wall() -> None:
    found = Scores(turns={"ours": (turn(100, 2, 1),), "peer": (turn(10, 4, 2),)})
    race = replace(RACE, clock="wall")
    assert simulation.races([race], found)[0]["value"] == pytest.approx(20)
    units = {row["name"]: (row["value"], row["unit"]) for row in simulation.rates([_group()], [race], found)}
    assert units == {"simulation.rate.ours": (100, "updates/s"), "simulation.rate.peer": (5, "updates/s")}


def test_a_race_without_its_peer_has_no_figure_no_verdict_and_says_why() -> None:
    found = Scores(turns={"ours": (turn(1, 1),)}, absent={"peer": "peer is not installed: pip install it"})
    (row,) = simulation.races([RACE], found)
    assert row["value"] is None
    assert row["meets"] is None
    assert row["why"] == "peer: peer is not installed: pip install it"
    assert [each["name"] for each in simulation.rates([_group()], [RACE], found)] == ["simulation.rate.ours"]


def test_who_lacks_a_module_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "seat", _never)
    missing = Contender(
        name="peer", title="a peer", act="x.y", needs=("json", "no_such_module"), install="pip install it"
    )
    found = arena.meet(Group(name="g", turns=1, contenders=(missing,)), ["peer"], say=_quiet)
    assert found == Scores(absent={"peer": "no_such_module is not installed: pip install it"})


def test_only_the_named_contenders_are_started_and_they_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(arena, "seat", lambda act: _Seat(act, order))
    found = arena.meet(_group(turns=2), ["ours", "peer"], say=_quiet)
    assert order == ["x.ours", "x.peer", "x.ours", "x.peer", "end x.peer", "end x.ours"]
    assert {name: len(turns) for name, turns in found.turns.items()} == {"ours": 2, "peer": 2}
    order.clear()
    assert list(arena.meet(_group(), ["peer"], say=_quiet).turns) == ["peer"]
    assert "x.ours" not in order


def test_who_fails_in_a_later_turn_is_absent_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(arena, "seat", lambda act: _Seat(act, order, fails=act == "x.peer"))
    found = arena.meet(_group(turns=3), ["ours", "peer"], say=_quiet)
    assert found.absent == {"peer": "it ended early"}
    assert {name: len(turns) for name, turns in found.turns.items()} == {"ours": 3}


def test_a_process_of_its_own_does_a_turn_for_each_line_it_is_sent() -> None:
    with arena.seat("roofline.contender") as act:
        first, second = act(), act()
    assert first.updates == second.updates > 0


@pytest.mark.parametrize(("act", "reason"), [("turns.nobody", "nobody"), ("no_such.contender", "no_such")])
def test_a_process_that_cannot_get_ready_says_why(act: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"ended early.*{reason}"), arena.seat(act):
        pass


def test_every_contender_exists_and_every_race_has_its_two() -> None:
    folder = Path(lineup.__file__).parent
    names = [each.name for group in GROUPS for each in group.contenders]
    assert len(set(names)) == len(names)
    for each in (each for group in GROUPS for each in group.contenders):
        module, _, act = each.act.partition(".")
        tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
        assert act in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert bool(each.needs) == bool(each.install)
    groups = {each.name: group.name for group in GROUPS for each in group.contenders}
    assert all(groups[race.ours] == groups[race.theirs] for race in RACES)


def test_the_workload_is_the_one_that_is_told() -> None:
    assert size(mlp_task()) == 12_354
    assert flop(mlp_task()) == pytest.approx(5.22e6, rel=1e-3)
    assert 20_000 < size(cnn_task()) < 32_000
    for plan, rows in ((mlp_plan(), BATCH), (mlp_plan(drawn=True), ROWS)):
        assert (plan.steps, plan.sample_rate * rows, plan.max_update_norm) == (STEPS, pytest.approx(BATCH), BOUND)
        assert plan.learning_rate / plan.normalizer == pytest.approx(RATE / BATCH)
    assert all(
        (len(handed(task, 3).labels), len(drawn(task, 3).labels)) == (16, 80) for task in (mlp_task(), cnn_task())
    )
    assert np.array_equal(drawn(mlp_task(), 3).inputs, drawn(mlp_task(), 3).inputs)
    assert not np.array_equal(drawn(mlp_task(), 3).inputs, drawn(mlp_task(), 4).inputs)


@pytest.mark.parametrize("task", [mlp_task(), cnn_task()], ids=["mlp", "cnn"])
def test_a_bare_loop_and_the_engine_compute_the_same(task: Task) -> None:
    from simulations.benchmarks.peers.torch_loop import sums

    rows = [handed(task, device) for device in range(3)]
    streams = [CipherStream(bytes(32))] * 3
    ours = Engine(task).train(mlp_plan(clip=math.inf), weights(task), rows, streams, noise="none")
    theirs = sums(task, [batches(task, device) for device in range(3)])
    np.testing.assert_allclose(ours.sum(axis=0), theirs, atol=1e-6)


def test_a_fleet_is_judged_at_a_million_devices_and_not_from_fewer() -> None:
    seen = {"seconds": 1.0, "megabytes": 500.0}
    assert all("meets" not in row for row in simulation.fleet_rows(20_000, "none", seen))
    seconds, memory = simulation.fleet_rows(1_000_000, "exact", seen)
    assert (seconds["meets"], seconds["target"]) == (True, "<= 240")
    assert (memory["meets"], memory["target"]) == (False, "<= 400")


def test_the_share_of_the_lift_is_judged_by_its_mean_and_shows_its_worst() -> None:
    _, mean, worst = flights_accuracy.rows("local", [0.68, 0.70], 0.70)
    assert (mean["value"], mean["meets"]) == (pytest.approx(0.95), True)
    assert worst["value"] == pytest.approx(0.9)
    assert not flights_accuracy.rows("local", [0.67, 0.68], 0.70)[1]["meets"]


def test_settings_were_chosen_on_months_that_are_not_scored() -> None:
    scored = [flights_accuracy.WINTER, flights_accuracy.MARCH]
    for chosen in (window for pair in flights_accuracy.UNSCORED for window in pair):
        assert all(chosen.start >= other.end or chosen.end <= other.start for other in scored)
    for normalizer, momentum in flights_accuracy.SETTINGS.values():
        assert normalizer in flights_accuracy.NORMALIZERS
        assert momentum in flights_accuracy.MOMENTA


def test_an_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="ferrari"):
        simulation.measure(["ferrari"])


def test_a_part_starts_its_own_contenders_only(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def meet(_: Group, names: list[str], *, say: object) -> Scores:
        started.extend(names)
        return Scores(turns=dict.fromkeys(names, (turn(1, 1),)))

    monkeypatch.setattr(simulation, "meet", meet)
    rows = simulation.measure(["torch"])
    assert started == ["engine", "engine.drawn", "torch"]
    assert [row["name"] for row in rows if "against" in row["name"]] == [
        "simulation.against.torch",
        "simulation.against.torch.drawn",
    ]


def test_a_part_that_cannot_run_says_why_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "_flights", _lacks_data)
    monkeypatch.setattr(simulation, "_round", lambda *_: {"seconds": 1.0, "megabytes": 2.0})
    *found, flights = simulation.measure(["fleet", "flights"])
    assert [row["value"] for row in found] == [1.0, 2.0] * 3
    assert (flights["name"], flights["value"], flights["why"]) == ("simulation.flights", None, "install the flights")


ROWS_SHOWN = [
    {"name": "simulation.against.a", "title": "A", "value": 12.3, "unit": "x", "target": ">= 10", "meets": True, "moonshot": 17},
    {"name": "simulation.against.b", "title": "B", "value": 9.0, "unit": "x", "target": ">= 10", "meets": False},
    {"name": "simulation.against.c", "title": "C", "value": None, "unit": "x", "target": ">= 2", "meets": None, "why": "c: get it"},
    {"name": "simulation.rate.d", "value": 7123.4, "unit": "updates/s"},
]  # fmt: skip


def test_the_command_prints_the_table_names_who_is_missing_and_writes_the_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "measure", _measured)
    report = tmp_path / "reports" / "rows.json"
    done = CliRunner().invoke(_cli(), ["--report", str(report)])
    assert done.exit_code == 0, done.output
    assert "meets >= 10; moonshot 17 not reached" in done.stdout
    assert "MISSES >= 10" in done.stdout
    assert "7,123" in done.stdout
    assert "Not run:\n  C: c: get it" in done.stdout
    assert json.loads(report.read_text()) == ROWS_SHOWN
    printed = CliRunner().invoke(_cli(), ["--json", "--report", str(report)])
    assert json.loads(printed.stdout) == ROWS_SHOWN


def test_a_dated_copy_stands_between_its_marks_and_can_be_made_again() -> None:
    page = f"# Title\n\nBefore.\n\n{bench.BEGIN}\nold\n{bench.END}\n\nAfter.\n"
    made = bench.command(["torch"], million=True, write=Path("docs/x.md"))
    assert made == "covey-sim bench --only torch --million --write docs/x.md"
    once = bench.dated(page, ABOUT, ROWS_SHOWN, made)
    assert once.startswith("# Title\n\nBefore.\n")
    assert once.endswith("After.\n")
    assert "old" not in once
    assert "Some CPU, 2 cores, 24 GB, load 0.50 at the start; Python 3.11, torch 2; without ray." in once
    assert "| C | not run | x | c: get it |" in once
    assert bench.dated(once, ABOUT, ROWS_SHOWN, made) == once


def test_a_page_without_a_place_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "measure", _never)
    page = tmp_path / "page.md"
    page.write_text("# Mine\n")
    done = CliRunner().invoke(_cli(), ["--write", str(page)])
    assert isinstance(done.exception, InputError)
    assert bench.BEGIN in str(done.exception)
    assert page.read_text() == "# Mine\n"


def test_the_machine_is_told_without_its_name() -> None:
    import platform

    said = machine.sentence(machine.machine())
    assert "cores" in said
    assert "numpy" in said
    assert platform.node() not in said


class _Seat:
    """A contender that works at once, and says in `order` when."""

    def __init__(self, act: str, order: list[str], *, fails: bool = False) -> None:
        self._act, self._order, self._fails, self._turns = act, order, fails, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._order.append(f"end {self._act}")

    def __call__(self) -> Turn:
        self._order.append(self._act)
        self._turns += 1
        if self._fails and self._turns == 2:
            raise InputError("it ended early")
        return turn(1, 1)


def _group(turns: int = 1) -> Group:
    both = (Contender(name=name, title=name, act=f"x.{name}") for name in ("ours", "peer"))
    return Group(name="g", turns=turns, contenders=tuple(both))


def _cli() -> Typer:
    cli = Typer()
    cli.command()(bench.bench)
    return cli


def _lacks_data(_: object) -> list[dict[str, Any]]:
    raise InputError("install the flights")


def _measured(*_: object, **__: object) -> list[dict[str, Any]]:
    return ROWS_SHOWN


def _quiet(_: str) -> None:
    return None


def _never(*_: object, **__: object) -> None:
    raise AssertionError("this was not to be called")
