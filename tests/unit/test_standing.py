"""A release that did badly here gives way, for good and without a word to anybody; and what was tried too often waits."""

import time
from pathlib import Path

import pytest
from releasing import DirectoryFetcher, Works, build_works

from client import attempts, installed, standing
from client.inference import Predictor
from client.installed import accepted, current_release, fall_back, serving
from client.updates import Updates
from server.promotion import withdraw
from shared.errors import ReleaseError


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """A device that accepted releases 1 and 2."""
    works = build_works(tmp_path)
    for seed in (1, 2):
        works.promote(seed)
        assert works.check() == seed
    return works


def answering(works: Works) -> int:
    found = serving(works.place)
    return found.release.number if found else 0


def test_a_bad_release_gives_way_to_the_one_before(works: Works) -> None:
    assert fall_back(works.place, 2, "errors") == 1
    assert answering(works) == Predictor(works.place).release == 1
    (mark,) = standing.marks(works.place)
    assert (mark.release, mark.reason) == (2, "errors")


def test_with_both_bad_the_accepted_one_goes_on(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    assert fall_back(works.place, 2, "errors") == 1
    assert fall_back(works.place, 1, "latency") == 0
    assert answering(works) == 2
    assert "no other can take its place" in caplog.text


def test_rule_14_what_is_told_and_fetched_is_as_if_nothing_had_happened(works: Works, tmp_path: Path) -> None:
    """Two devices, one of which fell back: the same is told, and the same files are asked for."""
    (tmp_path / "other").mkdir()
    other = build_works(tmp_path / "other")
    for seed in (1, 2):
        other.promote(seed)
        other.check()
    assert fall_back(works.place, 2, "errors") == 1
    seen = [what_is_seen(device, seed=3) for device in (works, other)]
    assert seen[0] == seen[1]
    assert answering(works) == answering(other) == 3


def what_is_seen(device: Works, *, seed: int) -> tuple[object, ...]:
    """All that a coordinator can see of a device that looks for a third release."""
    told = current_release(device.place)
    device.promote(seed)
    fetcher = DirectoryFetcher(device.repository)
    report = Updates(device.home, fetcher=fetcher).check()
    return told, report, fetcher.asked, current_release(device.place)


def test_a_model_that_was_bad_is_accepted_again_but_does_not_answer(works: Works) -> None:
    """The operator signs release 1's weights again as release 3; on this device they did badly."""
    fall_back(works.place, 1, "errors")
    withdraw(works.federation, works.store, works.task, 2)
    assert works.check() == 3
    assert current_release(works.place) == 3
    assert answering(works) == 2


def test_a_newer_release_answers_after_a_fall_back(works: Works) -> None:
    fall_back(works.place, 2, "errors")
    works.promote(3)
    assert works.check() == 3
    assert answering(works) == 3


def test_two_good_releases_are_kept_beside_bad_ones(works: Works) -> None:
    fall_back(works.place, 2, "errors")
    works.promote(3)
    works.check()
    fall_back(works.place, 3, "errors")
    assert answering(works) == 1
    works.promote(4)
    works.check()
    assert {1, 4} <= {int(d.name) for d in works.place.releases.iterdir() if d.name.isdigit()}


def test_a_mark_holds_after_a_restart_until_the_owner_takes_it_away(works: Works) -> None:
    fall_back(works.place, 2, "errors")
    found = accepted(works.place)
    assert found is not None
    assert standing.forgive(works.place, found.release.number)
    assert not standing.forgive(works.place, found.release.number)
    assert answering(works) == 2
    assert standing.marks(works.place) == []


def test_a_mark_that_no_disk_takes_holds_in_memory(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(standing, "write_whole", full)
    assert fall_back(works.place, 2, "errors") == 1
    assert answering(works) == 1


def test_a_damaged_mark_still_counts(works: Works) -> None:
    fall_back(works.place, 2, "errors")
    (file,) = (works.place.releases / standing.FOLDER).iterdir()
    file.write_bytes(b"")
    assert answering(works) == 1
    assert standing.marks(works.place) == []


def test_a_release_that_is_not_here_cannot_be_put_aside(works: Works) -> None:
    with pytest.raises(ReleaseError, match="not a whole release"):
        fall_back(works.place, 7, "errors")


def test_each_refusal_waits_twice_as_long(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    waits: list[float] = []
    for _ in range(3):
        attempts.begin(works.place, 3)
        attempts.refuse(works.place, 3, "too slow here")
        waits.append(round((attempts.read(works.place).releases["3"].until - now) / attempts.FIRST_WAIT))
        assert attempts.waiting(works.place, 3) == "too slow here"
    assert waits == [1, 2, 4]
    monkeypatch.setattr(time, "time", lambda: now + 5 * attempts.FIRST_WAIT)
    assert attempts.waiting(works.place, 3) == ""


def test_one_interrupted_try_is_repeated_at_once_and_the_next_waits(works: Works) -> None:
    attempts.begin(works.place, 3)
    assert attempts.unfinished(works.place) == 3
    assert attempts.waiting(works.place, 3) == ""
    attempts.begin(works.place, 3)
    assert attempts.waiting(works.place, 3) == "the last try was cut short"


def test_a_clock_that_jumped_makes_nothing_wait_for_ever(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts.refuse(works.place, 3, "too slow here")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert attempts.waiting(works.place, 3) == ""


def test_damaged_notes_know_nothing(works: Works) -> None:
    (works.place.releases / "attempts.json").write_bytes(b"{")
    assert attempts.read(works.place) == attempts.Attempts()
    works.promote(3)
    assert works.check() == 3


def test_a_storm_of_releases_is_slowed_down(works: Works) -> None:
    for seed in range(3, attempts.SWAPS_AN_HOUR + 1):
        works.publish(seed)
        assert works.check() == seed
    works.publish(attempts.SWAPS_AN_HOUR + 1)
    with pytest.raises(ReleaseError, match="6 releases were swapped in within the hour"):
        works.check()
    assert installed.current_release(works.place) == attempts.SWAPS_AN_HOUR
