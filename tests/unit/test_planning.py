"""What an operator types becomes a request that devices can accept, or a sentence that says why not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server import planning
from server.store import Store
from shared.errors import InputError
from shared.models import Release
from shared.tasks import Task, Window, parse_window


@pytest.fixture
def store(tmp_path: Path, task: Task) -> Iterator[Store]:
    """Three approved devices, one that waits, and an untrained version."""
    opened = Store(tmp_path / "covey.db")
    for name in ("a", "b", "c", "waiting"):
        opened.add_invitation(name, 2e10)
        opened.enrol(name, name, name.encode())
        if name != "waiting":
            opened.set_device_state(name, "approved")
    opened.add_task(task)
    opened.add_initial_version(task.name, task.revision, b"")
    yield opened
    opened.close()


def campaign(store: Store, task: Task, **changes: object) -> object:
    asked: dict[str, object] = {
        "window": Window(), "training": task.training, "base_version": None, "quorum": None, "cohort": None,
        "deadline_seconds": 60.0,
    }  # fmt: skip
    return planning.campaign(store, task, **(asked | changes))  # type: ignore[arg-type]


def test_all_approved_devices_are_asked_and_two_thirds_are_enough(store: Store, task: Task) -> None:
    request = planning.campaign(
        store, task, window=Window(), training=task.training, base_version=None, quorum=None, cohort=None,
        deadline_seconds=60.0,
    )  # fmt: skip
    assert (request.cohort, request.quorum, request.base_version) == (3, 2, 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"quorum": 4}, "quorum must lie between 1 and the cohort of 3"),
        ({"quorum": 3, "cohort": 2}, "cohort of 2"),
        ({"base_version": 9}, "version 9 is not one of"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(
    store: Store, task: Task, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        campaign(store, task, **changes)


@pytest.mark.parametrize(
    ("setting", "value"), [("noise_multiplier", 0.1), ("sample_rate", 1.0), ("steps", 1000), ("max_grad_norm", 9.0)]
)
def test_training_that_every_device_would_refuse_is_not_started(
    store: Store, task: Task, setting: str, value: float
) -> None:
    with pytest.raises(InputError, match=setting):
        campaign(store, task, training=replace(task.training, **{setting: value}))  # type: ignore[arg-type]


def test_without_an_approved_device_nothing_starts(store: Store, task: Task) -> None:
    for name in ("a", "b", "c"):
        store.set_device_state(name, "revoked")
    with pytest.raises(InputError, match="no device is approved"):
        campaign(store, task)


def test_the_newest_version_of_another_revision_is_no_start(store: Store, task: Task) -> None:
    with pytest.raises(InputError, match="revision 2"):
        campaign(store, replace(task, revision=2))


def test_a_survey_needs_a_release_and_asks_about_the_newest(store: Store, task: Task) -> None:
    def survey() -> int:
        return planning.survey(
            store, task, window=Window(), role="current", features=True, quorum=None, deadline_seconds=60.0
        ).release

    with pytest.raises(InputError, match="no release"):
        survey()
    for number in (1, 2):
        release = Release(number=number, task=task.name, revision=1, version=1, trained_on=Window())
        store.add_release(release, ())
    assert survey() == 2


def test_settings_stand_in_place_of_the_tasks(task: Task) -> None:
    training = planning.overridden(task.training, ["learning_rate=0.25", "steps=8"], rounds=7)
    assert (training.learning_rate, training.steps, training.rounds) == (0.25, 8, 7)
    assert training.noise_multiplier == task.training.noise_multiplier


@pytest.mark.parametrize("setting", ["steps", "steps=", "steps=many", "speed=1", "steps=1.5", "steps=-1", "=1"])
def test_a_bad_setting_is_named(task: Task, setting: str) -> None:
    with pytest.raises(InputError):
        planning.overridden(task.training, [setting], rounds=None)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("", Window()), ("..", Window()), ("2013-01-01..", Window(start="2013-01-01")),
        ("2013-01-01..2013-07-01", Window(start="2013-01-01", end="2013-07-01")),
    ],
)  # fmt: skip
def test_a_window_is_two_dates(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text", ["2013", "a..b", "2013-07-01..2013-01-01", "2013-01-01...", "2013-01-01..2013-01-01T00Z"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="window"):
        parse_window(text)
