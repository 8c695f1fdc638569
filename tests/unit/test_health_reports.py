"""How a release fares on made-up records: what a device finds, when it asks anew, what it tells and what the coordinator keeps."""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import onnx
import pytest
from machines import small_task
from onnx import helper, numpy_helper
from releasing import Works, build_works, some_weights
from staged import just_in, roll, stage

from client import attempts, checkup, coordinator, health, upkeep
from client.health import Finding
from client.installed import fall_back
from client.updating import TaskUpdate, UpdateReport, run_update
from server import enroll
from server.export import export
from server.releases import publish_release
from server.store import Store
from shared import wire
from shared.enrolment import MOST_HEALTH, InstalledReport
from shared.errors import ReleaseError, WireError
from shared.feeds import SCORES
from shared.health import Health, Verdict
from shared.hostile import MAX_BYTES
from shared.lifecycle import Gates, RolloutTerms
from shared.models import Release
from shared.rollout import WHOLE
from shared.runtime import quantiles_us

LOOKING = Path(__file__).parents[1] / "looking.py"
HOUR = 3600.0


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """A device that runs release 1."""
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    return works


def told(works: Works) -> list[tuple[int, Verdict]]:
    return [(each.release, each.verdict) for each in health.told(works.place)]


def found_at(works: Works) -> float:
    known = health.read(works.place)
    found = known.of(known.run)
    assert found is not None
    return found.at


def later(works: Works, hours: float) -> None:
    """Let what was found be so much older."""
    known = health.read(works.place)
    aged = tuple(Finding(health=each.health, at=each.at - hours * HOUR) for each in known.found)
    health._file(works.place).write_bytes(wire.to_json(replace(known, found=aged)))


# -- verdicts


def test_a_release_that_was_accepted_serves_and_says_how_fast(works: Works) -> None:
    (found,) = health.told(works.place)
    assert (found.task, found.release, found.verdict) == ("machines", 1, "serves")
    assert 0 < found.p95_us < 100_000


def too_slow(works: Works) -> Release:
    return stage(works, 2, fallback=1, task=small_task(gates=Gates(max_latency_us=1e-3)))


def too_large(works: Works) -> Release:
    """Numbers that nothing uses fill the file beyond what a device opens."""
    model = onnx.load_model_from_string(export(works.task, some_weights(works.task, seed=2), version=2))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(MAX_BYTES // 4, np.float32), "padding"))
    files = {"fp32.onnx": model.SerializeToString(), "task.json": wire.to_json(works.task)}
    return publish_release(works.federation, works.draft(9), files)


def other_answers(works: Works) -> Release:
    """The reference is another model's."""
    good = stage(works, 3, fallback=1)
    other = export(works.task, some_weights(works.task, seed=9), version=9)
    files = {"fp32.onnx": other, "task.json": wire.to_json(works.task)}
    return publish_release(works.federation, replace(good, artifacts={}), files)


def answers_that_are_no_numbers(works: Works) -> Release:
    model = onnx.load_model_from_string(export(works.task, some_weights(works.task, seed=2), version=2))
    last = next(node for node in model.graph.node if SCORES in node.output)
    last.output[list(last.output).index(SCORES)] = "before"
    model.graph.initializer.append(numpy_helper.from_array(np.full(1, np.nan, np.float32), "no number"))
    model.graph.node.append(helper.make_node("Mul", ["before", "no number"], [SCORES]))
    files = {"fp32.onnx": model.SerializeToString(), "task.json": wire.to_json(works.task)}
    return publish_release(works.federation, works.draft(9), files)


def no_graph(works: Works) -> Release:
    files = {"fp32.onnx": b"hostile", "task.json": wire.to_json(works.task)}
    return publish_release(works.federation, works.draft(9), files)


FAILING: dict[Callable[[Works], Release], Verdict] = {
    too_slow: "slow",
    too_large: "refused",
    other_answers: "wrong",
    answers_that_are_no_numbers: "wrong",
    no_graph: "refused",
}


@pytest.mark.parametrize("make", FAILING, ids=lambda make: make.__name__)
def test_a_release_that_was_refused_is_spoken_of_by_kind(make: Callable[[Works], Release], works: Works) -> None:
    release = make(works)
    if release.staged:
        roll(works, release, WHOLE)
    assert works.look().refused == release.number
    (found,) = health.told(works.place)
    assert (found.release, found.verdict) == (release.number, FAILING[make])
    assert found.p95_us >= 0 if found.verdict == "slow" else found.p95_us == 0


def test_one_that_was_too_slow_says_how_slow(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    roll(works, too_slow(works), WHOLE)
    monkeypatch.setattr("client.selftest.quantiles_us", lambda *_, **__: (2500.4, 2800.6))
    works.look()
    (found,) = health.told(works.place)
    assert (found.verdict, found.p95_us) == ("slow", 2801)


def test_the_median_decides_and_the_slowest_calls_are_told(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    later(works, 13)
    monkeypatch.setattr("client.selftest.quantiles_us", lambda *_, **__: (5.0, 9000.4))
    assert works.look().asked_anew
    assert health.told(works.place) == (Health(task="machines", release=1, verdict="serves", p95_us=9000),)


def test_a_quantile_is_what_so_many_calls_take_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime._times", lambda *_: [number * 1e-6 for number in range(50, 0, -1)])
    assert quantiles_us(None, {}, (0.5, 0.95, 1.0), calls=50) == pytest.approx((25, 48, 50))


def look_in_a_child(works: Works, how: str) -> UpdateReport:
    command = [sys.executable, str(LOOKING), str(works.repository), str(works.home.path), how]
    return run_update(works.home, stopping=Event(), command=command)


def test_a_try_that_took_the_child_down_is_a_crash(works: Works) -> None:
    works.publish(seed=2)
    look_in_a_child(works, "die:update.downloaded")
    assert told(works) == [(2, "crashed")]
    assert works.look().refused == 2
    assert told(works) == [(2, "crashed")], "while it waits, nothing else is known"


def test_a_question_that_took_the_child_down_is_a_crash_too_and_is_not_asked_in_a_loop(works: Works) -> None:
    later(works, 13)
    (found,) = look_in_a_child(works, "die:health.asking").tasks
    assert (found.release, found.refused) == (1, 0)
    assert told(works) == [(1, "crashed")]
    assert not works.look().asked_anew
    assert told(works) == [(1, "crashed")]
    later(works, 13)
    assert works.look().asked_anew
    assert told(works) == [(1, "serves")]


def test_the_agents_own_stop_in_the_middle_of_a_question_is_nobodys_crash(works: Works) -> None:
    health.begin(works.place, 1)
    health.not_its_fault(works.place)
    assert health.cut_short(works.place) == 0
    assert told(works) == [(1, "serves")]


def test_a_crash_of_one_that_the_device_was_not_told_to_run_is_not_told(works: Works) -> None:
    """It may be one that answers because of the owner's rows."""
    health.find(works.place, 7, "crashed")
    assert told(works) == [(1, "serves")]


# -- when


def test_a_release_is_asked_anew_after_half_a_period(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not works.look().asked_anew
    later(works, 11.9)
    assert not works.look().asked_anew
    later(works, 0.2)
    monkeypatch.setattr("client.selftest.quantiles_us", lambda *_, **__: (5000.0, 7000.0))
    assert works.look().asked_anew
    assert health.told(works.place) == (Health(task="machines", release=1, verdict="slow", p95_us=7000),)
    assert works.serving() == 1


def test_the_task_says_how_long_a_period_is(tmp_path: Path) -> None:
    works = build_works(tmp_path, small_task(rollout=RolloutTerms(period_hours=2.0)))
    works.publish(seed=1)
    assert works.look().asked_anew
    later(works, 1.1)
    assert works.look().asked_anew


def test_a_clock_that_went_back_asks_anew(works: Works) -> None:
    later(works, -50)
    assert works.look().asked_anew


def test_a_refused_one_is_told_again_while_it_waits(works: Works) -> None:
    roll(works, too_slow(works), WHOLE)
    assert works.look().asked_anew
    assert not works.look().asked_anew
    later(works, 13)
    before = found_at(works)
    assert works.look().asked_anew
    assert told(works) == [(2, "slow")]
    assert found_at(works) > before
    assert attempts.waiting(works.place, 2)


def test_a_device_that_went_back_speaks_of_what_it_went_back_to(works: Works) -> None:
    release = stage(works, 2, fallback=1)
    roll(works, release, WHOLE)
    assert works.check() == 2
    assert told(works) == [(2, "serves")]
    roll(works, release, state="halted")
    assert works.check() == 1
    assert told(works) == [(1, "serves")]


def test_what_cannot_be_written_down_does_not_hold_up_an_update(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    works.publish(seed=2)
    monkeypatch.setattr(checkup.health, "begin", full)
    assert works.check() == 2


# -- beside


def test_one_that_serves_beside_says_nothing_and_one_that_fails_does(works: Works) -> None:
    good = stage(works, 2, fallback=1)
    roll(works, good, shadow_bp=just_in(good))
    works.check()
    assert told(works) == [(1, "serves")]
    bad = stage(works, 3, fallback=1, task=small_task(gates=Gates(max_latency_us=1e-3)))
    roll(works, bad, shadow_bp=just_in(bad))
    works.look()
    assert told(works) == [(1, "serves"), (3, "slow")]


# -- what leaves


def report_of(works: Works) -> InstalledReport:
    return upkeep.report_of(works.home, UpdateReport(tasks=(TaskUpdate(task="machines", release=1),)))


def test_the_report_carries_it_and_stays_small(works: Works) -> None:
    report = report_of(works)
    assert report.health == health.told(works.place)
    assert wire.from_json(InstalledReport, wire.to_json(report)) == report
    assert len(wire.to_json(report)) < 200


def test_rule_14_rows_that_put_a_release_aside_change_nothing_that_is_told(works: Works) -> None:
    works.publish(seed=2)
    works.check()
    before = report_of(works)
    assert fall_back(works.place, 2, "errors") == 1
    assert report_of(works) == before
    later(works, 13)
    assert works.look().asked_anew
    assert told(works) == [(2, "serves")], "the accepted one is asked, though it does not answer here"


@pytest.mark.parametrize("how", ["die", "hang"])
def test_rule_14_tuning_what_rows_chose_takes_nothing_from_what_is_told(works: Works, how: str) -> None:
    """It takes the child down, on one device alone: what that one tells of the look, and when it asks, stays the same."""
    works.publish(seed=2)
    works.check()
    (works.place.releases / "1" / "tuned.json").unlink()
    later(works, 13)
    assert fall_back(works.place, 2, "errors") == 1
    deadline, began = 60.0 if how == "die" else 15.0, time.time()
    command = [sys.executable, str(LOOKING), str(works.repository), str(works.home.path), f"{how}:update.tuning"]
    (found,) = run_update(works.home, stopping=Event(), deadline=deadline, command=command).tasks
    assert (found.release, found.refused, found.reason, found.asked_anew) == (2, 0, "", True)
    assert found_at(works) >= began
    assert told(works) == [(2, "serves")]
    assert attempts.waiting(works.place, 1), "it is remembered here"
    assert not attempts.waiting(works.place, 2)
    assert not works.look().asked_anew


@pytest.mark.parametrize(("number", "anew"), [(2, True), (1, False)])
def test_rule_14_a_crash_is_told_of_what_this_device_was_told_to_run(works: Works, number: int, anew: bool) -> None:
    works.publish(seed=2)
    works.check()
    attempts.begin(works.place, number)
    command = [sys.executable, "-c", "raise SystemExit(9)"]
    (found,) = run_update(works.home, stopping=Event(), command=command).tasks
    assert (found.release, found.refused, found.asked_anew) == (2, 0, anew)
    assert told(works) == [(2, "crashed" if anew else "serves")]


def test_rule_14_an_owner_who_switched_health_off_has_nothing_asked(works: Works) -> None:
    works.home.settings_file.write_text("health = false\n" + works.home.settings_file.read_text())
    later(works, 13)
    works.publish(seed=2)
    found = works.look()
    assert (found.release, found.asked_anew) == (2, False)
    assert health.told(works.place) == ()
    assert report_of(works).health == ()


def test_what_was_found_anew_is_told_though_it_reads_the_same(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[InstalledReport] = []
    looks = [UpdateReport(tasks=(TaskUpdate(task="machines", release=1, asked_anew=anew),)) for anew in (1, 0, 1, 0)]
    online = [True, True, False, True]
    monkeypatch.setattr(coordinator, "report_installed", lambda _, report, **__: sent.append(report))
    monkeypatch.setattr(upkeep, "identity", lambda _: (None, None))
    monkeypatch.setattr(upkeep, "run_update", lambda *_, **__: looks.pop(0))
    kept = upkeep.Upkeep(works.home, stopping=Event())
    counts: list[int] = []
    for there in online:
        kept.look(online=there)
        counts.append(len(sent))
    kept.close()
    assert counts == [1, 1, 1, 2], "the third was found while nobody listened, and is told by the fourth look"
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    "said",
    [
        [Health(task="a", release=1, verdict="serves"), Health(task="a", release=1, verdict="slow")],
        [Health(task="a", release=number, verdict="serves") for number in range(1, MOST_HEALTH + 2)],
    ],
    ids=["one release twice", "too many"],
)
def test_a_report_that_says_too_much_is_refused(said: list[Health]) -> None:
    body = wire.to_json(InstalledReport(release=1)).replace(
        b"}", b',"health":[' + b",".join(map(wire.to_json, said)) + b"]}"
    )
    with pytest.raises(WireError, match="health must speak of each release once"):
        wire.from_json(InstalledReport, body)


@pytest.mark.parametrize("field", [{"verdict": "fine"}, {"release": 0}, {"p95_us": -1}, {"p95_us": 2**53}], ids=str)
def test_a_word_or_a_time_that_no_device_finds_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(WireError):
        wire.decode(Health, {"task": "a", "release": 1, "verdict": "serves"} | field)


def test_the_coordinator_keeps_what_is_said_of_releases_that_it_signed(works: Works, tmp_path: Path) -> None:
    with closing(Store(tmp_path / "covey.db")) as store:
        store.add_invitation("token", 2e10)
        store.enrol("token", "ada", b"key")
        store.add_task(works.task)
        store.add_initial_version("machines", 1, b"")
        store.add_release(replace(works.draft(1), number=1), ())
        said = (
            Health(task="machines", release=1, verdict="slow", p95_us=9),
            Health(task="x", release=8, verdict="wrong"),
        )
        began = time.time()
        enroll.record_installed(store, store.device("ada"), wire.to_json(InstalledReport(release=1, health=said)))
        (kept,) = store.health()
        assert (kept.device, kept.health) == ("ada", said[0])
        assert kept.at >= began
        again = InstalledReport(release=1, health=(replace(said[0], verdict="serves"),))
        enroll.record_installed(store, store.device("ada"), wire.to_json(again))
        (kept,) = store.health("machines", 1)
        assert kept.health.verdict == "serves"


def test_an_error_in_telemetrys_words() -> None:
    assert health.verdict_of(ReleaseError("anything else")) == "refused"
