"""What is made of a release on this device answers as the original does, and is never trusted over it."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from machines import small_task
from releasing import DirectoryFetcher, Works, build_works, some_weights

from client import hardware, selftest, tuning
from client.attempts import FIRST_WAIT
from client.inference import Predictor
from client.installed import EXPLANATION, Installed, accepted, file_of, read_explanation, serving
from client.selftest import trial_feeds
from client.tuning import Candidate, is_tuned, tune
from client.updates import Updates
from server.export import export
from server.promotion import promote
from server.releases import publish_release, publish_task
from shared import runtime, wire
from shared.errors import ReleaseError
from shared.lifecycle import Gates
from shared.models import Reference
from shared.runtime import CPU, ask, open_model
from shared.tasks import Architecture

WIDE = Architecture(kind="mlp", hidden=(64, 32))


@pytest.fixture
def works(tmp_path: Path) -> Works:
    works = build_works(tmp_path, small_task(architecture=WIDE))
    works.publish(seed=1)
    assert works.check() == 1
    return works


def here(works: Works) -> Installed:
    found = serving(works.place)
    assert found is not None
    return found


def directory(works: Works) -> Path:
    return works.place.releases / "1"


def test_a_release_is_tuned_when_it_is_installed(works: Works) -> None:
    found = here(works)
    assert found.optimized
    assert found.model_file.name.startswith("served-")
    assert min(found.tried.fp32_us, found.tried.int8_us, found.tried.fp32_batch_us, found.tried.int8_batch_us) > 0
    assert 0 < found.tried.int8_loss < works.task.gates.max_int8_loss


def test_the_tuned_file_answers_as_the_original(works: Works) -> None:
    found, feeds = here(works), trial_feeds(works.task)
    before = ask(open_model(file_of(directory(works), "fp32").read_bytes()), feeds)
    after = ask(open_model(found.model, optimized=True), feeds)
    np.testing.assert_allclose(after, before, atol=works.task.gates.max_int8_loss)


def break_file(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def test_a_damaged_tuned_file_never_answers_and_is_made_anew(works: Works) -> None:
    break_file(here(works).model_file)
    assert here(works).model == file_of(directory(works), "fp32").read_bytes()
    assert Predictor(works.place).release == 1
    assert works.check() is None
    assert here(works).optimized


def test_a_tuned_file_in_another_place_counts_no_more(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("runtime_version", "processor"):
        with monkeypatch.context() as patch:
            patch.setattr(hardware, name, lambda: "another")
            assert not here(works).optimized
            assert not is_tuned(directory(works))
            works.check()
            assert here(works).optimized
        assert not here(works).optimized
        works.check()
        assert is_tuned(directory(works))


def test_one_tuned_file_is_kept(works: Works) -> None:
    for _ in range(3):
        tune(directory(works))
    assert len(list(directory(works).glob("served-*.onnx"))) == 1
    assert not list(directory(works).glob(".*"))


def test_a_damaged_original_is_not_saved_by_its_tuned_file(works: Works) -> None:
    break_file(file_of(directory(works), "fp32"))
    assert serving(works.place) is None
    assert works.check() == 1


def test_a_provider_that_fails_is_left_out_and_named(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    tried = tune(directory(works), available=("XnnpackExecutionProvider", CPU))
    assert tried.provider == CPU
    assert "fp32 on XnnpackExecutionProvider is left out" in caplog.text


def test_no_provider_is_tried_that_sends_records_elsewhere() -> None:
    assert runtime.providers()[-1] == CPU
    assert not [name for name in runtime.providers() if "Azure" in name]


@pytest.mark.parametrize(("fp32_us", "int8_us", "expected"), [(10.0, 5.0, "int8"), (5.0, 10.0, "fp32")])
def test_whichever_is_faster_here_answers(
    fp32_us: float, int8_us: float, expected: str, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"fp32": fp32_us, "int8": int8_us}
    real = tuning._tried

    def timed(*arguments: object) -> list[Candidate]:
        found = list(real(*arguments))  # type: ignore[arg-type]
        return [
            Candidate(precision=one.precision, provider=one.provider, model=one.model, loss=one.loss,
                      one_us=times[one.precision], batch_us=one.batch_us) for one in found
        ]  # fmt: skip

    monkeypatch.setattr(tuning, "_tried", timed)
    assert tune(directory(works)).precision == here(works).tried.precision == expected
    assert Predictor(works.place).predict({"load": 0.5}).release == 1


def test_int8_that_loses_too_much_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    works = build_works(tmp_path, small_task(architecture=WIDE, gates=Gates(max_int8_loss=1e-6)))
    works.publish(seed=1)
    works.check()
    assert (here(works).tried.precision, here(works).tried.int8_us) == ("fp32", 0.0)
    assert "int8 on CPUExecutionProvider is left out: scores differ" in caplog.text


def test_a_release_of_before_installs_and_its_own_int8_is_tried(works: Works) -> None:
    works.publish_as_before(seed=2)
    assert works.check() == 2
    assert here(works).tried.int8_us > 0
    assert file_of(works.place.releases / "2", "int8").exists()


def test_a_release_whose_answers_differ_here_is_refused(works: Works) -> None:
    signed = works.publish(seed=2)
    assert signed.reference is not None
    wrong = Reference(seed=signed.reference.seed, scores=tuple(score + 2000 for score in signed.reference.scores))
    assert_refused(works, wrong, "answered 0.00")


def test_a_reference_of_another_shape_is_refused(works: Works) -> None:
    assert_refused(works, Reference(seed=1, scores=(1, 2, 3)), "names 3 reference scores")


def assert_refused(works: Works, reference: Reference, why: str) -> None:
    fp32 = export(works.task, some_weights(works.task, seed=2), version=3)
    files = {"fp32.onnx": fp32, "task.json": wire.to_json(works.task)}
    publish_release(works.federation, replace(works.draft(3), reference=reference), files)
    with pytest.raises(ReleaseError, match=why):
        works.check()
    assert here(works).release.number == 1


@pytest.mark.parametrize(
    ("gates", "why"), [(Gates(max_latency_us=0.001), "takes .* us here"), (Gates(max_memory_mb=1), "MiB of memory")]
)
def test_the_limits_hold_on_this_device(
    gates: Gates, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = iter((100.0, 102.0))
    monkeypatch.setattr(selftest, "_peak_mb", lambda: next(peaks))
    works = build_works(tmp_path, small_task(gates=gates))
    works.publish(seed=1)
    with pytest.raises(ReleaseError, match=why):
        works.check()
    assert serving(works.place) is None


def test_explanations_never_hold_up_a_release(
    works: Works, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "client.attributiongraph", None)
    caplog.set_level(logging.WARNING)
    works.publish(seed=2)
    assert works.check() == 2
    assert "no explanations for this release" in caplog.text


def test_a_damaged_explanation_is_not_used_and_made_anew(works: Works) -> None:
    before = read_explanation(here(works))
    assert before
    break_file(directory(works) / EXPLANATION)
    assert read_explanation(here(works)) is None
    works.check()
    assert read_explanation(here(works)) == before


def add_task(works: Works, name: str, *, enabled: bool = True) -> Works:
    other = Works(
        federation=works.federation, store=works.store, task=small_task(name=name, architecture=WIDE), home=works.home
    )
    publish_task(works.federation, other.task)
    works.store.add_task(other.task)
    with works.home.settings_file.open("a", encoding="utf-8") as file:
        file.write(f'\n[tasks.{name}]\ndata = ""\nenabled = {str(enabled).lower()}\n')
    return other


def test_every_task_is_kept_current_with_one_refresh(works: Works) -> None:
    other = add_task(works, "others")
    works.publish(seed=2)
    promote(other.federation, other.store, other.task, other.add_version(3))
    fetcher = DirectoryFetcher(works.repository)
    report = Updates(works.home, fetcher=fetcher).check()
    assert [(one.task, one.release, one.installed) for one in report.tasks] == [
        ("machines", 2, True),
        ("others", 3, True),
    ]
    assert fetcher.asked.count("metadata/timestamp.json") == 1
    assert works.home.task("others").signed_task() == other.task
    for name, release in (("machines", 2), ("others", 3)):
        assert Predictor(works.home, name).release == release


def test_a_task_that_fails_does_not_hold_up_another(works: Works) -> None:
    other = add_task(works, "others")
    files = {"fp32.onnx": b"not a model", "task.json": wire.to_json(works.task)}
    publish_release(works.federation, works.draft(9), files)
    other.publish(seed=3)
    report = Updates(works.home, fetcher=DirectoryFetcher(works.repository)).check()
    assert [(one.release, one.refused, one.installed) for one in report.tasks] == [(1, 2, False), (3, 0, True)]


def test_a_task_that_is_not_signed_any_more_does_not_hold_up_another(works: Works) -> None:
    text = works.home.settings_file.read_text(encoding="utf-8")
    works.home.settings_file.write_text(text + '\n[tasks.nobody]\ndata = ""\n', encoding="utf-8")
    works.publish(seed=2)
    report = Updates(works.home, fetcher=DirectoryFetcher(works.repository)).check()
    assert [(one.task, one.release) for one in report.tasks] == [("machines", 2), ("nobody", 0)]
    assert "not signed tasks/nobody" in report.tasks[1].reason


def test_a_task_that_its_owner_switched_off_is_not_fetched(works: Works) -> None:
    add_task(works, "others", enabled=False).publish(seed=3)
    report = Updates(works.home, fetcher=DirectoryFetcher(works.repository)).check()
    assert [one.task for one in report.tasks] == ["machines"]


def test_a_refused_release_is_not_fetched_again_at_the_next_look(works: Works) -> None:
    files = {"fp32.onnx": b"not a model", "task.json": wire.to_json(works.task)}
    publish_release(works.federation, works.draft(9), files)
    with pytest.raises(ReleaseError, match="not an ONNX file"):
        works.check()
    fetcher = DirectoryFetcher(works.repository)
    (found,) = Updates(works.home, fetcher=fetcher).check().tasks
    assert (found.release, found.refused) == (1, 2)
    assert not [path for path in fetcher.asked if path.startswith("targets/")]
    assert FIRST_WAIT >= 60


def test_what_has_not_changed_does_not_travel(works: Works) -> None:
    works.publish_weights(some_weights(works.task, seed=1) + np.float32(1e-3), version=2)
    fetcher = DirectoryFetcher(works.repository)
    (found,) = Updates(works.home, fetcher=fetcher).check().tasks
    assert [path.rpartition("/")[2].partition(".")[2] for path in fetcher.asked if "targets/" in path] == ["delta.bin"]
    signed = accepted(works.place)
    assert signed is not None
    assert found.fetched == signed.release.artifacts["delta"].bytes
    assert found.fetched + found.saved == sum(signed.release.artifacts[name].bytes for name in ("fp32", "task"))
