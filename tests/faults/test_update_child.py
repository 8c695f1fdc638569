"""A look at the releases runs in a child: whatever becomes of it, the agent goes on, and a bad release waits."""

import json
import sys
from pathlib import Path
from threading import Event, Timer

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from releasing import Works, build_works, some_weights

from client import attempts, updating
from client.inference import Predictor
from client.updating import UpdateReport, run_update
from server.export import export
from server.releases import publish_release
from shared import wire
from shared.errors import CoveyError, ReleaseError, Unreachable

LOOKING = Path(__file__).parents[1] / "looking.py"


@pytest.fixture
def works(tmp_path: Path) -> Works:
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    works.publish(seed=2)
    return works


def look(works: Works, *how: str, deadline: float = 60.0, stopping: Event | None = None) -> UpdateReport:
    command = [sys.executable, str(LOOKING), str(works.repository), str(works.home.path), *how]
    return run_update(works.home, stopping=stopping or Event(), deadline=deadline, command=command)


def test_a_look_in_a_child_installs_and_tunes(works: Works) -> None:
    (found,) = look(works).tasks
    assert (found.release, found.installed, found.refused, found.reason) == (2, True, 0, "")
    assert found.saved > 0
    assert Predictor(works.home).release == 2
    assert (works.place.releases / "2" / "tuned.json").exists()


def test_a_child_that_dies_is_a_refused_release_that_waits(works: Works) -> None:
    (found,) = look(works, "die:update.downloaded").tasks
    assert (found.release, found.refused) == (1, 2)
    assert "code -9" in found.reason
    asked = list(works.repository.rglob("*"))
    assert works.look().refused == 2
    assert works.look().fetched == 0
    assert asked == list(works.repository.rglob("*"))
    assert Predictor(works.home).release == 1


def test_a_newer_release_need_not_wait_for_one_that_crashed(works: Works) -> None:
    look(works, "die:update.downloaded")
    works.publish(seed=3)
    assert works.check() == 3


def test_a_child_that_hangs_is_ended(works: Works) -> None:
    attempts.begin(works.place, 2)
    command = [sys.executable, "-c", "import time; time.sleep(3600)"]
    (found,) = run_update(works.home, stopping=Event(), deadline=0.5, command=command).tasks
    assert (found.release, found.refused) == (1, 2)
    assert "did not end within 0.5 s" in found.reason


def test_a_child_that_dies_while_it_tunes_leaves_the_original_to_answer(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = look(works, "die:update.pointed").tasks
    assert (found.release, found.refused) == (2, 0)
    assert Predictor(works.home).release == 2
    works.check()
    assert not (works.place.releases / "2" / "tuned.json").exists()
    monkeypatch.setattr(attempts, "FIRST_WAIT", 0.0)
    attempts.refuse(works.place, 2, "again")
    works.check()
    assert (works.place.releases / "2" / "tuned.json").exists()


def test_a_stop_ends_the_child_and_blames_no_release(works: Works) -> None:
    stopping = Event()
    Timer(1.0, stopping.set).start()
    with pytest.raises(CoveyError, match="the agent stops"):
        look(works, "hang:update.refreshed", stopping=stopping)
    assert works.check() == 2


def test_what_the_child_raises_is_raised_here(works: Works) -> None:
    command = [sys.executable, str(LOOKING), str(works.home.path / "nowhere"), str(works.home.path)]
    with pytest.raises(Unreachable, match="cannot be fetched"):
        run_update(works.home, stopping=Event(), command=command)


@pytest.mark.parametrize("said", ["", "not JSON", '{"failure": {"error": "Exception", "text": "x"}}'])
def test_a_child_that_says_nothing_of_use_is_an_error_of_covey(said: str, works: Works) -> None:
    with pytest.raises(CoveyError):
        run_update(works.home, stopping=Event(), command=[sys.executable, "-c", f"print({said!r})"])


def test_the_real_child_starts_wherever_the_agent_was_started(
    works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds our code, and reports that this device's certificate is missing."""
    (tmp_path / "client.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CoveyError, match=r"ca\.crt is missing"):
        run_update(works.home, stopping=Event())


def test_a_graph_that_takes_absurdly_much_memory_is_refused_before_it_is_opened(works: Works) -> None:
    """64 outer products of a batch with itself: each is 1 GiB for the records that a self-test asks at once."""
    model = onnx.load_model_from_string(export(works.task, some_weights(works.task, seed=3), version=3))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1 << 20), np.float32), "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "first"))
    for index in reversed(range(64)):
        model.graph.node.insert(0, helper.make_node("Mul", ["one", "wide"], [f"big{index}"]))
    model.graph.node.insert(0, helper.make_node("Gather", ["numbers", "first"], ["one"], axis=1))
    files = {"fp32.onnx": model.SerializeToString(), "task.json": wire.to_json(works.task)}
    publish_release(works.federation, works.draft(3), files)
    (found,) = look(works).tasks
    assert (found.release, found.refused) == (1, 3)
    assert "grows to" in found.reason


def test_the_child_may_take_only_so_much_memory(works: Works) -> None:
    """What no check foresees ends in the child."""
    code = "from client.updates import _limit; _limit(); b = bytearray(4 << 30)"
    with pytest.raises(ReleaseError, match="cut short: it ended with code 1"):
        run_update(works.home, stopping=Event(), command=[sys.executable, "-c", code])


def test_a_directory_that_cannot_be_written_is_named(works: Works) -> None:
    """Root may write everywhere, so a file stands where the directory should be."""
    works.home.staging.rmdir()
    works.home.staging.write_text("in the way")
    with pytest.raises(CoveyError, match=r"staging cannot be used"):
        look(works)


def test_the_answer_is_one_line_of_json(works: Works) -> None:
    report = look(works)
    assert json.loads(wire.to_json(updating.Answer(report=report)))["report"]["tasks"][0]["task"] == "machines"
