"""What the demo is told from: its task file, the mistake that it plays, and how it shortens a rollout."""

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from rolling import Fleet, build_fleet

from server.releases import signed_files
from server.retraining import window
from server.underway import under_way
from shared.errors import InputError, WrongAnswers
from shared.health import Health, Verdict
from shared.lifecycle import RolloutTerms
from shared.models import Release
from shared.reference import reference_feeds, require_agreement
from shared.runtime import ask, open_model
from shared.tasks import Gates, read_task
from simulations.demo import terms
from simulations.demo.mixup import sign_the_wrong_file
from simulations.demo.months import SPRING, SUMMER
from simulations.demo.rolling import RolloutLine, line_of
from simulations.demo.stage import Stage

TASK_FILE = Path(__file__).parents[2] / "tasks" / "flights.toml"


def write(folder: Path, *, today: date) -> Path:
    """The demo's task file as it is written on a day."""
    terms.write_task(folder / "flights.toml", today=today)
    return folder / "flights.toml"


def test_the_demos_task_is_the_flights_own_but_for_what_the_story_needs(tmp_path: Path) -> None:
    own, found = read_task(TASK_FILE), read_task(write(tmp_path, today=date(2026, 3, 1)))
    assert own.evaluation
    assert found == replace(
        own, groups=("carrier",), evaluation=replace(own.evaluation, noise_multiplier=4.0, score_bins=40),
        gates=Gates(min_auc=0.58, max_epsilon=5.0, alert_rate=0.2),
        rollout=RolloutTerms(stages=(25.0, 100.0), period_hours=0.001, min_reporting=1.0), retraining=found.retraining,
    )  # fmt: skip
    assert found.retraining
    assert found.retraining.ask_first


@pytest.mark.parametrize("today", [date(2026, 3, 1), date(2031, 12, 31)], ids=str)
def test_the_policys_last_days_are_the_second_campaigns(tmp_path: Path, today: date) -> None:
    policy = read_task(write(tmp_path, today=today)).retraining
    assert policy
    noon = datetime.fromisoformat(f"{today}T12:00:00+00:00").timestamp()
    assert window(policy, noon) == SPRING
    assert window(policy, noon + 86_400).end <= SUMMER.start  # midnight may pass while the story runs


def test_a_task_file_that_says_something_else_is_not_changed_blindly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TASK_FILE.read_text(encoding="utf-8").replace("noise_multiplier = 20.0", "noise_multiplier = 9.0"))
    monkeypatch.setattr(terms, "TASK_FILE", other)
    with pytest.raises(InputError, match="which the demo changes"):
        write(tmp_path, today=date(2026, 3, 1))


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A federation with twenty devices, where the demo's own stage expects it."""
    return build_fleet(tmp_path, RolloutTerms(stages=(10.0, 100.0), period_hours=1.0))


def mix_up(fleet: Fleet, folder: Path) -> Release:
    """Version 2's release with another file."""
    number = sign_the_wrong_file(Stage(folder), fleet.task, fleet.version(2))
    assert fleet.release.number == number
    return fleet.release


def shortened(fleet: Fleet) -> RolloutLine:
    """The newest rollout, as the report has it."""
    health = fleet.store.health(fleet.task.name, fleet.release.number)
    return line_of(under_way(fleet.store, fleet.task, now=fleet.now), health)


def say(fleet: Fleet, verdict: Verdict, *, p95_us: int = 0) -> None:
    """All devices of the stage tell how the newest release fares."""
    said = Health(task=fleet.task.name, release=fleet.release.number, verdict=verdict, p95_us=p95_us)
    for name in fleet.inside:
        fleet.store.put_health(name, [said], at=fleet.now)


def test_the_wrong_file_answers_otherwise_than_was_signed(fleet: Fleet, tmp_path: Path) -> None:
    release = mix_up(fleet, tmp_path)
    assert release.reference
    session = open_model(signed_files(fleet.federation, release)["fp32.onnx"])
    with pytest.raises(WrongAnswers):
        require_agreement(release.reference, ask(session, reference_feeds(fleet.task, release.reference.seed)))


def test_a_rollout_that_halts_is_shortened_to_its_canary(fleet: Fleet, tmp_path: Path) -> None:
    mix_up(fleet, tmp_path)
    say(fleet, "wrong")
    fleet.pass_()
    found = shortened(fleet)
    assert (found.state, found.health, found.p95_us) == ("halted", {"wrong": 2}, None)
    assert [(stage.percent, stage.devices) for stage in found.stages] == [(10.0, 2)]
    assert "2 wrong" in found.why


def test_a_rollout_that_arrives_is_shortened_to_its_stages(fleet: Fleet) -> None:
    fleet.promote(2)
    for _ in range(2):
        say(fleet, "serves", p95_us=40)
        fleet.pass_()
    found = shortened(fleet)
    assert (found.state, found.health, found.p95_us) == ("complete", {"serves": 20}, 40)
    assert [(stage.percent, stage.devices) for stage in found.stages] == [(10.0, 2), (100.0, 20)]
    assert sum(stage.seconds for stage in found.stages) == pytest.approx(found.seconds, abs=0.2)
