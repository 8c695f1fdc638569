"""Wherever an update or a publication stops, the last good release serves, and the next attempt completes."""

from pathlib import Path

import pytest
from releasing import Works, build_works

import client.installed
import client.updates
import server.repository
from client.inference import Predictor
from client.installed import file_of, serving
from client.trust import Trust
from server.releases import current_release_number
from server.repository import Repository
from shared.errors import ReleaseError


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def works(tmp_path: Path) -> Works:
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    works.publish(seed=2)
    return works


POINTS = {
    "before the download": (Trust, "download", "before"),
    "after one file": (Trust, "download", "after"),
    "before the self-test": (client.updates, "try_release", "before"),
    "after the self-test": (client.updates, "try_release", "after"),
    "before the result is written": (client.updates, "_complete", "before"),
    "after the result is written": (client.updates, "_complete", "after"),
    "before the rename": (client.installed, "_put_in_place", "before"),
    "between rename and pointer": (client.installed, "_put_in_place", "after"),
    "before the pointer moves": (client.installed, "point_to", "before"),
    "after the pointer moved": (client.installed, "point_to", "after"),
    "before old releases go": (client.installed, "_discard_old", "before"),
}


def die_at(patch: pytest.MonkeyPatch, owner: object, name: str, when: str) -> None:
    real = getattr(owner, name)

    def dying(*args: object, **kwargs: object) -> None:
        if when == "after":
            real(*args, **kwargs)
        raise Killed

    patch.setattr(owner, name, dying)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_update_leaves_a_release_that_answers(point: str, works: Works) -> None:
    owner, name, when = POINTS[point]
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, owner, name, when)
        with pytest.raises(Killed):
            works.check()
    moved = point in ("after the pointer moved", "before old releases go")
    assert Predictor(works.place).release == (2 if moved else 1)
    assert works.check() == (None if moved else 2)
    assert Predictor(works.place).release == 2


@pytest.mark.parametrize("nth", range(6))
def test_a_killed_publication_is_never_seen(nth: int, works: Works) -> None:
    """Publishing a release writes three targets, the list of targets, a snapshot, and the timestamp, in this order."""
    real, calls = server.repository.write_whole, iter(range(100))

    def write_or_die(path: Path, data: bytes, **mode: int) -> None:
        if next(calls) == nth:
            raise Killed
        real(path, data, **mode)

    assert works.check() == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.repository, "write_whole", write_or_die)
        with pytest.raises(Killed):
            works.publish(seed=3)
    assert current_release_number(works.federation) == 2
    assert works.check() is None
    assert works.publish(seed=4).number == 3
    assert works.check() == 3


def test_a_killed_founding_starts_again(tmp_path: Path) -> None:
    from server.config import Federation
    from server.releases import create_repository

    federation = Federation(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, Repository, "_commit_snapshot", "before")
        with pytest.raises(Killed):
            create_repository(federation)
    create_repository(federation)
    assert current_release_number(federation) == 0


def test_a_release_signed_before_a_crash_is_recorded_later(tmp_path: Path) -> None:
    works = build_works(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, type(works.store), "add_release", "before")
        with pytest.raises(Killed):
            works.promote(seed=1)
    assert works.store.releases() == []
    works.promote(seed=2)
    assert [release.number for release in works.store.releases()] == [1, 2]


@pytest.mark.parametrize("artifact", ["fp32", "task"])
def test_a_damaged_release_gives_way_to_the_one_before(artifact: str, works: Works) -> None:
    works.check()
    file = file_of(works.place.releases / "2", artifact)
    file.write_bytes(file.read_bytes()[:-1])
    assert Predictor(works.place).release == 1
    assert works.check() == 2
    assert Predictor(works.place).release == 2


@pytest.mark.parametrize("pointer", ["", "seven", "9"])
def test_a_damaged_pointer_still_finds_a_release(pointer: str, works: Works) -> None:
    works.check()
    (works.place.releases / "current").write_text(pointer, encoding="ascii")
    assert Predictor(works.place).release == 2


def test_two_releases_are_kept(works: Works) -> None:
    works.check()
    works.publish(seed=3)
    works.check()
    assert sorted(path.name for path in works.place.releases.iterdir() if path.is_dir()) == ["2", "3"]


def test_without_any_whole_release_there_is_no_answer(tmp_path: Path) -> None:
    works = build_works(tmp_path)
    assert serving(works.place) is None
    with pytest.raises(ReleaseError, match="no release to answer with"):
        Predictor(works.place)
