"""A device in a rollout: in its share, outside, beside, back again; with a real repository and without a network."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import small_task
from releasing import DirectoryFetcher, Works, build_works
from staged import here, just_in, roll, stage
from tuf.api.exceptions import DownloadHTTPError

from client import attempts, installed
from client.inference import Predictor
from client.installed import accepted, fall_back, file_of, serving
from client.updates import Updates
from client.updating import TaskUpdate
from server.releases import publish_task
from shared.errors import ReleaseError, Unreachable
from shared.lifecycle import Gates
from shared.models import Release
from shared.rollout import WHOLE


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """A device that runs release 1."""
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    return works


@pytest.fixture
def canary(works: Works) -> Release:
    """Release 2 has reached this device."""
    release = stage(works, 2, fallback=1)
    roll(works, release, just_in(release))
    assert works.check() == 2
    return release


def look(works: Works) -> tuple[TaskUpdate, list[str]]:
    """What a look did, and the targets that it asked for."""
    fetcher = DirectoryFetcher(works.repository)
    (found,) = Updates(works.home, fetcher=fetcher).check().tasks
    return found, [path for path in fetcher.asked if path.startswith("targets/")]


def answering(works: Works) -> int:
    found = serving(works.place)
    return found.release.number if found else 0


# -- which release


def test_a_staged_release_reaches_nobody_before_the_role_says_so(works: Works) -> None:
    stage(works, 2, fallback=1)
    assert works.check() is None
    assert works.serving() == 1


def test_a_device_goes_where_its_draw_lies(works: Works) -> None:
    release = stage(works, 2, fallback=1)
    roll(works, release, just_in(release) - 1)
    assert works.check() is None
    roll(works, release, just_in(release))
    assert works.check() == 2
    roll(works, release, WHOLE, state="complete")
    assert works.check() is None
    assert works.serving() == 2


def test_a_device_that_joins_outside_the_share_takes_the_fallback(tmp_path: Path) -> None:
    works = build_works(tmp_path)
    works.publish(seed=1)
    works.publish(seed=2)
    release = stage(works, 3, fallback=1)
    roll(works, release, just_in(release) - 1)
    assert works.check() == 1


def test_where_there_is_no_fallback_a_device_outside_waits_and_one_that_is_in_stays(tmp_path: Path) -> None:
    works = build_works(tmp_path)
    release = stage(works, 1, fallback=0)
    assert works.check() is None
    assert works.serving() == 0
    roll(works, release, WHOLE)
    assert works.check() == 1
    roll(works, release, state="halted")
    assert works.check() is None
    assert works.serving() == 1


def test_a_release_that_was_not_staged_can_be_halted_too(works: Works) -> None:
    works.publish(seed=2)
    assert works.check() == 2
    second = accepted(works.place)
    assert second is not None
    roll(works, second.release, state="halted")
    assert works.check() is None, "it names no fallback, so who has it keeps it"
    for path in works.place.releases.iterdir():
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert works.check() is None, "and nobody else gets it"
    assert works.serving() == 0


def test_one_task_halts_without_another(works: Works, canary: Release) -> None:
    publish_task(works.federation, small_task(name="others"))
    roll(works, canary, state="halted")
    assert works.check() == 1


# -- back


def test_a_halt_brings_the_release_before_back_without_a_file_of_it(works: Works, canary: Release) -> None:
    before = file_of(works.place.releases / "1", "fp32").read_bytes()
    halted = roll(works, canary, state="halted")
    found, asked = look(works)
    assert (found.release, found.installed, found.fetched, found.refused) == (1, True, 0, 0)
    assert [path.split("/")[1] for path in asked] == ["rollout"]
    assert here(works) == {"1"}
    assert Predictor(works.home).release == 1
    assert file_of(works.place.releases / "1", "fp32").read_bytes() == before
    assert (works.place.releases / "1" / "tuned.json").exists()
    assert halted.share_bp == 0


def test_a_fallback_that_is_damaged_here_is_fetched_and_tried(works: Works, canary: Release) -> None:
    file_of(works.place.releases / "1", "fp32").write_bytes(b"damaged")
    roll(works, canary, state="halted")
    found, asked = look(works)
    assert (found.release, found.installed) == (1, True)
    assert found.fetched > 0
    assert {path.split("/")[1] for path in asked} == {"rollout", "releases"}
    assert Predictor(works.home).release == 1


def test_the_fallback_is_the_one_that_is_signed_not_the_one_before(works: Works) -> None:
    works.publish(seed=2)
    assert works.check() == 2
    release = stage(works, 3, fallback=1)
    roll(works, release, WHOLE)
    assert works.check() == 3
    roll(works, release, state="halted")
    assert works.check() == 1
    assert here(works) == {"1"}


def test_a_newer_release_leads_back_devices_that_ran_a_halted_one(works: Works, canary: Release) -> None:
    third = stage(works, 3, fallback=1)
    assert works.check() == 1, "whatever became of release 2, release 3 names release 1"
    roll(works, third, WHOLE)
    assert works.check() == 3
    assert canary.number == 2


def test_a_device_that_went_back_goes_on_with_the_next(works: Works, canary: Release) -> None:
    roll(works, canary, state="halted")
    assert works.check() == 1
    third = stage(works, 3, fallback=1)
    roll(works, third, WHOLE)
    assert works.check() == 3
    assert here(works) == {"1", "3"}
    roll(works, third, state="halted")
    found, asked = look(works)
    assert (found.release, found.fetched, len(asked)) == (1, 0, 1)


def test_a_fallback_that_does_not_serve_here_leaves_what_answers(works: Works, canary: Release) -> None:
    file_of(works.place.releases / "1", "fp32").write_bytes(b"damaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.updates.try_release", refuse)
        roll(works, canary, state="halted")
        found = works.look()
    assert (found.release, found.installed, found.refused) == (2, False, 0)
    assert "not today" in found.reason
    assert Predictor(works.home).release == 2


def refuse(*_: object) -> None:
    raise ReleaseError("not today")


def test_a_device_that_is_offline_keeps_what_it_has(works: Works, canary: Release) -> None:
    class Silent(DirectoryFetcher):
        def _fetch(self, url: str) -> Iterator[bytes]:
            raise DownloadHTTPError(f"{url}: nobody answers", 503)

    roll(works, canary, state="halted")
    with pytest.raises(Unreachable):
        Updates(works.home, fetcher=Silent(works.repository)).check()
    assert works.serving() == 2


def test_an_old_release_that_did_badly_never_lets_the_halted_one_answer(works: Works, canary: Release) -> None:
    roll(works, canary, state="halted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installed, "_discard_old", lambda _: None)  # a crash right after the pointer moved
        assert works.check() == 1
    assert here(works) == {"1", "2"}
    assert fall_back(works.place, 1, "errors") == 0
    assert answering(works) == 1


# -- rule 14: what is fetched tells nothing of the rows


def test_rule_14_going_back_asks_for_the_same_files_whatever_rows_did_here(tmp_path: Path) -> None:
    """One device put two releases aside because of its rows, and so holds older ones; the other holds none."""
    devices = [build_works(folder) for folder in (tmp_path / "one", tmp_path / "other") if folder.mkdir() is None]
    asked = [everything_asked(device, bad=bad) for device, bad in zip(devices, ((2, 3), ()), strict=True)]
    assert asked[0] == asked[1]
    assert any("releases/machines/1/" in path for path in asked[0][-1])


def everything_asked(device: Works, *, bad: tuple[int, ...]) -> list[list[str]]:
    """All targets that a device asks for while releases come and go."""
    asked: list[list[str]] = []
    for seed in (1, 2, 3):
        device.publish(seed)
        asked.append(look(device)[1])
        if seed in bad:
            fall_back(device.place, seed, "errors")
    release = stage(device, 4, fallback=3)
    for share in (WHOLE, 0):
        roll(device, release, share)
        asked.append(look(device)[1])
    stage(device, 5, fallback=1)
    assert ("1" in here(device)) == bool(bad), "else this test would show nothing"
    asked.append(look(device)[1])
    assert device.serving() == 1
    return [[path.rpartition("/")[0] + "/" for path in each] for each in asked]


# -- beside


@pytest.fixture
def beside(works: Works) -> Release:
    """Release 2 is tried beside release 1."""
    release = stage(works, 2, fallback=1)
    roll(works, release, just_in(release) - 1, shadow_bp=just_in(release))
    assert works.check() is None
    return release


def test_a_release_beside_is_here_and_answers_nothing(works: Works, beside: Release) -> None:
    assert [path.name for path in works.place.beside.iterdir()] == ["2"]
    assert here(works) == {"1"}
    assert works.serving() == answering(works) == Predictor(works.home).release == 1
    fall_back(works.place, 1, "errors")
    assert answering(works) == 1
    assert installed.is_whole(works.place.beside / "2", beside)


def test_it_is_fetched_and_tried_once(works: Works, beside: Release) -> None:
    assert look(works)[1] == []
    file_of(works.place.beside / str(beside.number), "fp32").write_bytes(b"damaged")
    assert look(works)[1] != []
    assert installed.is_whole(works.place.beside / "2", beside)


def test_once_it_is_to_answer_nothing_travels_again(works: Works, beside: Release) -> None:
    roll(works, beside, just_in(beside))
    found, asked = look(works)
    assert (found.release, found.installed, found.fetched) == (2, True, 0)
    assert [path.split("/")[1] for path in asked] == ["rollout"]
    assert list(works.place.beside.iterdir()) == []


@pytest.mark.parametrize("end", ["halted", "out of the shadow", "a newer release"])
def test_what_is_no_longer_tried_goes(end: str, works: Works, beside: Release) -> None:
    if end == "a newer release":
        works.publish(seed=3)
    else:
        roll(works, beside, state="halted" if end == "halted" else "rolling")
    works.check()
    assert list(works.place.beside.iterdir()) == []
    assert works.serving() == (3 if end == "a newer release" else 1)


def test_one_that_fails_beside_waits_and_leaves_what_answers(works: Works) -> None:
    release = stage(works, 2, fallback=1, task=small_task(gates=Gates(max_latency_us=1e-3)))
    roll(works, release, shadow_bp=just_in(release))
    found, asked = look(works)
    assert (found.release, found.reason, found.refused) == (1, "", 0)
    assert any("releases/machines/2/" in path for path in asked)
    assert "expected at most 0.001 us" in attempts.waiting(works.place, 2)
    assert look(works)[1] == []
    assert not list(works.place.beside.glob("*"))


def test_a_lost_connection_beside_costs_nothing_but_the_try(works: Works) -> None:
    release = stage(works, 2, fallback=1)
    roll(works, release, shadow_bp=just_in(release))
    folder = works.repository / "targets" / "releases" / "machines" / "2"
    folder.rename(folder.with_name("gone"))
    assert works.check() is None
    folder.with_name("gone").rename(folder)
    assert works.check() is None
    assert installed.is_whole(works.place.beside / "2", release)
