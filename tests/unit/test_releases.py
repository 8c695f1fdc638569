"""The signed repository from the operator's side, and which devices an offer is for."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from machines import small_task
from releasing import URL, DirectoryFetcher, Works, build_works

from client.updates import Updates, fetch_task
from server import repository
from server.releases import (
    create_repository,
    current_release_number,
    publish_release,
    publish_task,
    published_releases,
    refresh_timestamp,
    renew,
    renewal_due,
)
from shared.errors import InputError, ReleaseError
from shared.models import Release
from shared.rollout import chosen


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return build_works(tmp_path)


def test_a_repository_is_made_once(works: Works) -> None:
    before = works.federation.keys.joinpath("targets.key").read_bytes()
    with pytest.raises(InputError, match="already"):
        create_repository(works.federation)
    assert works.federation.keys.joinpath("targets.key").read_bytes() == before


def test_a_task_is_signed_once_and_changed_by_a_higher_revision(works: Works) -> None:
    publish_task(works.federation, works.task)
    with pytest.raises(InputError, match="raise its revision"):
        publish_task(works.federation, small_task(title="Another question"))
    publish_task(works.federation, small_task(title="Another question", revision=2))
    with pytest.raises(InputError, match="signed at revision 2"):
        publish_task(works.federation, works.task)
    works.check()
    assert json.loads(works.place.signed.read_bytes())["revision"] == 2


def test_a_device_takes_the_only_task_or_asks_which(works: Works) -> None:
    publish_task(works.federation, small_task(name="others"))
    root = works.home.root_file.read_bytes()
    fetcher = DirectoryFetcher(works.repository)
    with pytest.raises(InputError, match=r"2 tasks \['machines', 'others'\]"):
        fetch_task(works.home, base_url=URL, root=root, ca=b"", fetcher=fetcher)
    assert fetch_task(works.home, base_url=URL, root=root, ca=b"", name="others", fetcher=fetcher).name == "others"
    with pytest.raises(ReleaseError, match="not signed tasks/nobody"):
        fetch_task(works.home, base_url=URL, root=root, ca=b"", name="nobody", fetcher=fetcher)


def test_a_young_timestamp_is_left_alone(works: Works) -> None:
    assert refresh_timestamp(works.federation) is False


@pytest.mark.parametrize(("role", "days"), [("timestamp", 1), ("snapshot", 7)])
def test_an_ageing_role_is_signed_anew(role: str, days: int, works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(repository.LIFETIME, role, timedelta(days=days) * 0.4)
    renew(works.federation)
    monkeypatch.setitem(repository.LIFETIME, role, timedelta(days=days))
    assert refresh_timestamp(works.federation) is True
    assert refresh_timestamp(works.federation) is False
    assert works.check() is None


def test_an_operator_has_three_months_to_renew(works: Works) -> None:
    left = renewal_due(works.federation) - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)


def test_releases_published_at_once_get_numbers_of_their_own(works: Works) -> None:
    def publish(index: int) -> int:
        return publish_release(works.federation, works.draft(index), {"fp32.onnx": bytes([index])}).number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(publish, range(8)))
    assert sorted(numbers) == list(range(1, 9))
    assert len(published_releases(works.federation, "machines")) == 8
    assert current_release_number(works.federation, "machines") == 8
    assert current_release_number(works.federation, "others") == 0


def test_metadata_holds_no_floats(works: Works) -> None:
    def refuse(text: str) -> float:
        raise AssertionError(text)

    works.publish(seed=1)
    for file in (works.repository / "metadata").iterdir():
        json.loads(file.read_bytes(), parse_float=refuse)


def test_a_ceiling_offers_a_release_to_its_share_of_devices(works: Works) -> None:
    def offered(release: Release, devices: int) -> int:
        return sum(chosen(release, None, f"device-{index}") == release.number for index in range(devices))

    release = replace(works.draft(1), number=7, ceiling_bp=2500)
    assert 850 < offered(release, 4000) < 1150
    assert offered(replace(release, ceiling_bp=0), 100) == 0
    assert offered(replace(release, ceiling_bp=10_000), 100) == 100


def test_a_look_without_news_asks_for_two_files(works: Works) -> None:
    works.publish(seed=1)
    works.check()
    fetcher = DirectoryFetcher(works.repository)
    assert not Updates(works.home, fetcher=fetcher).check().installed
    assert fetcher.asked == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_a_missing_key_is_named(works: Works) -> None:
    (works.federation.keys / "targets.key").unlink()
    with pytest.raises(InputError, match=r"targets\.key"):
        works.publish(seed=1)
    assert works.check() is None
