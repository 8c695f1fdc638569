"""The online role from the operator's side: what it signs, with which keys, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from machines import small_task
from releasing import Works, build_works
from staged import just_in, roll, stage

from server import repository as repository_module
from server.releases import publish_release, publish_task, published_releases, refresh_timestamp, renew
from server.repository import Repository
from server.rollout_role import publish_rollout, signed_rollout
from shared import wire
from shared.errors import InputError
from shared.models import Release
from shared.rollout import Rollout

ONLINE = {"rollout", "snapshot", "timestamp"}


@pytest.fixture
def works(tmp_path: Path) -> Works:
    works = build_works(tmp_path)
    works.publish(seed=1)
    return works


@pytest.fixture
def staged(works: Works) -> Release:
    return stage(works, 2, fallback=1, ceiling_bp=5000)


def lose_all_but(works: Works, keep: set[str]) -> None:
    for file in works.federation.keys.iterdir():
        if file.stem not in keep:
            file.unlink()


def document(about: Release, **changes: object) -> Rollout:
    given: dict[str, object] = {"number": 1, "task": "machines", "release": about.number, "share_bp": 1000}
    return Rollout(**(given | changes))  # type: ignore[arg-type]


def test_a_document_needs_the_online_keys_and_no_other(works: Works, staged: Release) -> None:
    lose_all_but(works, ONLINE)
    targets = Repository(works.federation).targets().version
    assert publish_rollout(works.federation, document(staged)) == document(staged)
    assert signed_rollout(works.federation, "machines") == document(staged)
    assert Repository(works.federation).targets().version == targets


@pytest.mark.parametrize("missing", sorted(ONLINE))
def test_without_one_of_them_nothing_is_signed(missing: str, works: Works, staged: Release) -> None:
    lose_all_but(works, ONLINE - {missing})
    with pytest.raises(InputError, match=rf"{missing}\.key"):
        publish_rollout(works.federation, document(staged))
    assert signed_rollout(works.federation, "machines") is None


def test_before_the_first_document_there_is_none(works: Works) -> None:
    assert signed_rollout(works.federation, "machines") is None
    assert signed_rollout(works.federation, "others") is None


def test_the_document_is_canonical_and_its_number_stands_beside_it(works: Works, staged: Release) -> None:
    signed = publish_rollout(works.federation, document(staged, number=7))
    rollout = Repository(works.federation).rollout()
    assert rollout is not None
    (target,) = rollout.targets.values()
    file = works.repository / "targets" / "rollout" / f"{target.hashes['sha256']}.machines.json"
    assert (target.path, target.unrecognized_fields["custom"]) == ("rollout/machines.json", {"number": 7})
    assert file.read_bytes() == wire.to_json(signed)


def older(works: Works, newest: Release) -> Rollout:
    return document(newest, release=1)


def unsigned(works: Works, newest: Release) -> Rollout:
    return document(newest, release=newest.number + 1)


def of_no_task(works: Works, newest: Release) -> Rollout:
    return document(newest, task="others")


def above_the_ceiling(works: Works, newest: Release) -> Rollout:
    return document(newest, share_bp=newest.ceiling_bp + 1)


def beside_more_than_the_ceiling(works: Works, newest: Release) -> Rollout:
    return document(newest, shadow_bp=newest.ceiling_bp + 1)


def of_the_same_number(works: Works, newest: Release) -> Rollout:
    return publish_rollout(works.federation, document(newest, number=3))


def of_a_lower_number(works: Works, newest: Release) -> Rollout:
    return replace(of_the_same_number(works, newest), number=2)


def without_a_number(works: Works, newest: Release) -> Rollout:
    return document(newest, number=0)


REFUSED: dict[Callable[[Works, Release], Rollout], str] = {
    older: "release 2 is its newest",
    unsigned: "release 2 is its newest",
    of_no_task: "it has none",
    above_the_ceiling: "at most 50 % of devices, not for 50.01 %",
    beside_more_than_the_ceiling: "at most 50 % of devices, not for 50.01 %",
    of_the_same_number: "document 3 .* cannot follow document 3",
    of_a_lower_number: "document 2 .* cannot follow document 3",
    without_a_number: "document 0 .* cannot follow document 0",
}


@pytest.mark.parametrize("draft", REFUSED, ids=lambda draft: draft.__name__)
def test_a_document_that_targets_or_the_last_one_forbid_is_refused(
    draft: Callable[[Works, Release], Rollout], works: Works, staged: Release
) -> None:
    rollout, before = draft(works, staged), signed_rollout(works.federation, "machines")
    with pytest.raises(InputError, match=REFUSED[draft]):
        publish_rollout(works.federation, rollout)
    assert signed_rollout(works.federation, "machines") == before


@pytest.mark.parametrize("fallback", [2, 3], ids=["to itself", "to a newer one"])
def test_a_release_that_gives_way_to_no_older_one_is_refused(works: Works, fallback: int) -> None:
    with pytest.raises(InputError, match=f"release 2 cannot give way to release {fallback}, which is not an older one"):
        stage(works, 2, fallback=fallback)
    assert len(published_releases(works.federation, "machines")) == 1


def test_each_task_has_a_document_of_its_own(works: Works, staged: Release) -> None:
    other = small_task(name="others")
    publish_task(works.federation, other)
    draft = replace(works.draft(9), task="others", staged=True)
    theirs = publish_release(works.federation, draft, {"fp32.onnx": b"9", "task.json": wire.to_json(other)})
    first = publish_rollout(works.federation, document(staged, number=4))
    second = publish_rollout(works.federation, document(theirs, task="others"))
    assert signed_rollout(works.federation, "machines") == first
    assert signed_rollout(works.federation, "others") == second


def test_a_publication_keeps_what_the_role_signed(works: Works, staged: Release) -> None:
    said = roll(works, staged, 1000)
    works.publish(seed=3)
    assert signed_rollout(works.federation, "machines") == said


@pytest.fixture
def founded_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Works:
    """A federation from a time when the targets delegated nothing."""
    with monkeypatch.context() as patch:
        patch.setattr(Repository, "_delegate", lambda *_: False)
        works = build_works(tmp_path)
        works.publish(seed=1)
    (works.federation.keys / "rollout.key").unlink()
    assert works.check() == 1
    return works


def test_a_federation_from_before_gains_the_role_with_its_next_release(founded_before: Works) -> None:
    works = founded_before
    assert Repository(works.federation).rollout() is None
    assert signed_rollout(works.federation, "machines") is None
    with pytest.raises(InputError, match="`covey renew`, or the next release"):
        publish_rollout(works.federation, Rollout(number=1, task="machines", release=1, share_bp=1000))
    assert works.check() is None
    release = stage(works, 2, fallback=1)
    assert (works.federation.keys / "rollout.key").exists()
    roll(works, release, just_in(release))
    assert works.check() == 2


def test_a_renewal_gives_it_the_role_too(founded_before: Works) -> None:
    renew(founded_before.federation)
    rollout = Repository(founded_before.federation).rollout()
    assert rollout is not None
    assert rollout.targets == {}
    assert founded_before.check() is None


def test_a_key_that_was_lost_is_asked_for_and_not_replaced(works: Works) -> None:
    (works.federation.keys / "rollout.key").unlink()
    with pytest.raises(InputError, match=r"rollout\.key"):
        works.publish(seed=2)
    assert not (works.federation.keys / "rollout.key").exists()


def test_a_new_key_counts_from_the_next_release_on(works: Works, staged: Release, tmp_path: Path) -> None:
    """The operator put another key in its place: targets name that one, and what the role said is signed anew with it."""
    said = roll(works, staged, just_in(staged))
    (tmp_path / "other").mkdir()
    other = build_works(tmp_path / "other")
    (works.federation.keys / "rollout.key").write_bytes((other.federation.keys / "rollout.key").read_bytes())
    renew(works.federation)
    assert signed_rollout(works.federation, "machines") == said
    assert works.check() == 2


def test_the_standing_duty_keeps_the_role_fresh(works: Works, staged: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its week went by; targets are not signed anew, so that their key may be elsewhere."""
    with monkeypatch.context() as patch:
        patch.setitem(repository_module.LIFETIME, "rollout", timedelta(days=7) * 0.4)
        said = roll(works, staged, just_in(staged))
    lose_all_but(works, ONLINE)
    before = Repository(works.federation).targets()
    assert refresh_timestamp(works.federation) is True
    assert refresh_timestamp(works.federation) is False
    rollout = Repository(works.federation).rollout()
    assert rollout is not None
    assert rollout.version == 3
    assert Repository(works.federation).targets() == before
    assert signed_rollout(works.federation, "machines") == said
    assert works.check() == 2


def test_a_renewal_signs_the_role_anew(works: Works) -> None:
    repository = Repository(works.federation)
    before = repository.rollout()
    renew(works.federation)
    after = repository.rollout()
    assert before is not None
    assert after is not None
    assert after.version == before.version + 1


def test_its_metadata_holds_no_floats(works: Works, staged: Release) -> None:
    def refuse(text: str) -> float:
        raise AssertionError(text)

    roll(works, staged, 1000, shadow_bp=3000)
    for file in (works.repository / "metadata").iterdir():
        json.loads(file.read_bytes(), parse_float=refuse)
