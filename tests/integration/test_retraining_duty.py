"""From a survey that alarms to a campaign that is queued, or asked for and answered, in a real store with the real planning."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from machines import small_task

from server import __main__ as covey_main
from server.config import Federation
from server.records import CampaignRequest, Decision, Run, SurveyRequest, SurveyResult
from server.retraining_duty import look_after, look_after_all
from server.spending import spending
from server.store import Store
from shared import wire
from shared.drift import Shift
from shared.lifecycle import Retraining
from shared.models import Release
from shared.tasks import Task, Window

TERMS = Retraining(window_days=30, pause_days=14)
DAY = 86_400.0


def run(home: Path, *words: str) -> int:
    """Run `covey`, return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["covey", *words, "--home", str(home)])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
    return int(left.value.code or 0)


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(tmp_path / "federation", "init") == 0
    capsys.readouterr()
    return tmp_path / "federation"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    opened = Store(Federation(home).database)
    yield opened
    opened.close()


def serving(store: Store, terms: Retraining | None = TERMS, **changes: object) -> Task:
    """Three approved devices that serve release 1 of a task with a policy; a newer version was never released."""
    task = small_task(retraining=terms, **changes)
    store.add_task(task)
    for name in ("a", "b", "c"):
        store.add_invitation(name, time.time() + 1000)
        store.enrol(name, name, name.encode())
        store.set_device_state(name, "approved")
    version = store.add_initial_version(task.name, task.revision, b"")
    store.add_initial_version(task.name, task.revision, b"1234")
    learned = Window(start="2026-01-01", end="2026-02-01")
    store.add_release(
        Release(number=1, task=task.name, revision=1, version=version.number, trained_on=learned), ()
    )  # fmt: skip
    return task


def surveyed(store: Store, task: Task, *, psi: float, at: float | None = None) -> None:
    """A finished survey of release 1, as a run keeps it."""
    request = SurveyRequest(
        task=task.name, release=1, window=Window(), role="current", features=True, quorum=1, deadline_seconds=60.0
    )
    number = store.queue_run(task.name, "survey", request)
    store.set_run_state(number, "running")
    store.set_run_state(number, "finished")
    shifts = (Shift(name="score", psi=psi, noise=0.01, devices=3), Shift(name="load", psi=0.9, noise=0.1, devices=3))
    store.add_survey(
        SurveyResult(
            run_id=number, task=task.name, release=1, role="current", window=Window(), devices=3, histograms=(),
            shifts=shifts, alarm=psi > task.drift.alarm_psi, at=time.time() if at is None else at,
        )
    )  # fmt: skip


def campaigns(store: Store) -> list[Run]:
    return [each for each in store.runs() if each.kind == "train"]


def test_an_alarm_starts_a_campaign_on_the_last_days_from_what_serves(home: Path, store: Store) -> None:
    task = serving(store, replace(TERMS, ask_first=False))
    surveyed(store, task, psi=0.4)
    look_after_all(Federation(home), {})
    [started], [campaign] = store.decisions(), campaigns(store)
    assert (started.act, started.run_id, campaign.state) == ("start", campaign.id, "queued")
    assert started.informed == ("load",)
    request = wire.from_json(CampaignRequest, campaign.request.encode())
    today = time.strftime("%Y-%m-%d", time.gmtime(started.at))
    assert request.window.end == today
    assert (request.base_version, request.cohort, request.training) == (1, 3, task.training)
    entry = store.audit_log(1)[0]
    assert (entry.actor, entry.act) == ("coordinator", "retrain")
    assert entry.detail == f"machines: start (run {campaign.id}): {started.why}"
    look_after_all(Federation(home), {})
    assert len(store.decisions()) == 1


def test_without_an_alarm_the_campaign_is_not_started(home: Path, store: Store) -> None:
    surveyed(store, serving(store, replace(TERMS, ask_first=False)), psi=0.1)
    look_after_all(Federation(home), {})
    assert [each.act for each in store.decisions()] == ["wait"]
    assert not campaigns(store)


def test_a_task_without_a_policy_is_left_alone(home: Path, store: Store) -> None:
    surveyed(store, serving(store, None), psi=0.9)
    look_after_all(Federation(home), {})
    assert store.decisions() == []


def test_a_question_is_answered_with_yes(home: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    task = serving(store)
    surveyed(store, task, psi=0.4)
    look_after_all(Federation(home), {})
    assert not campaigns(store)
    assert run(home, "retrain") == 0
    shown = capsys.readouterr().out
    assert "score PSI 0.40 is above the alarm, 0.2; this campaign costs ε" in shown
    assert "machines: load moved; that informs and decides nothing." in shown
    assert "answer with `covey retrain machines --accept`" in shown
    assert run(home, "retrain", "machines", "--accept") == 0
    [campaign] = campaigns(store)
    assert f"Run {campaign.id} of machines is queued" in capsys.readouterr().out
    asked, accepted = store.decisions("machines")
    assert (asked.act, accepted.act, accepted.run_id) == ("ask", "start", campaign.id)
    assert accepted.why == f"the operator accepted: {asked.why}"
    entry = store.audit_log(1)[0]
    assert (entry.actor, entry.act) == ("operator", "retrain")
    assert entry.command.endswith(f"retrain machines --accept --home {home}")
    assert run(home, "retrain", "machines", "--accept") == 1
    assert "asks for nothing" in capsys.readouterr().err


def test_a_question_is_answered_with_no(home: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    task = serving(store)
    surveyed(store, task, psi=0.4)
    look_after_all(Federation(home), {})
    assert run(home, "retrain", "machines", "--decline", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["act"], told["task"]) == ("decline", "machines")
    assert not campaigns(store)
    assert run(home, "retrain", "machines", "--decline") == 1
    assert "no alarm to decline" in capsys.readouterr().err
    surveyed(store, task, psi=0.4)
    look_after_all(Federation(home), {})
    assert [each.act for each in store.decisions()] == ["ask", "decline", "ask"]
    assert run(home, "retrain", "--json") == 0
    assert [each["act"] for each in json.loads(capsys.readouterr().out)] == ["ask", "decline", "ask"]


def test_a_yes_starts_nothing_that_the_budget_does_not_cover(
    home: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    task = serving(store, replace(TERMS, max_epsilon=7.0))
    surveyed(store, task, psi=0.4)
    look_after_all(Federation(home), {})
    assert store.decisions()[-1].act == "ask"
    for _ in range(40):
        surveyed(store, task, psi=0.4)
    assert run(home, "retrain", "machines", "--accept") == 1
    said = capsys.readouterr().err
    assert "no campaign of 'machines' can start" in said
    assert "of 7" in said
    assert not campaigns(store)


def test_answers_contradict_or_are_refused_in_a_session_that_only_reads(
    home: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    surveyed(store, serving(store), psi=0.4)
    look_after_all(Federation(home), {})
    assert run(home, "retrain", "--accept", "--decline") == 1
    assert run(home, "--read-only", "retrain", "machines", "--accept") == 1
    assert "read-only" in capsys.readouterr().err
    assert run(home, "--read-only", "retrain", "machines") == 0
    assert not campaigns(store)


def test_an_alarm_that_had_to_wait_is_looked_at_again(store: Store) -> None:
    task = serving(store, replace(TERMS, ask_first=False))
    surveyed(store, task, psi=0.4)
    now = time.time()
    busy = store.queue_run(task.name, "evaluate", {})
    waits = look_after(store, task, now=now)
    assert waits is not None
    assert (waits.act, waits.alarms) == ("wait", ("psi",))
    assert "under way" in waits.why
    store.set_run_state(busy, "failed")
    assert look_after(store, task, now=now + 60) is None
    looked = {task.name: now + 3600}
    assert look_after(store, task, now=now + 3700, looked=looked) is None
    started = look_after(store, task, now=now + 7300, looked=looked)
    assert started is not None
    assert started.act == "start"


def test_a_campaign_that_planning_refuses_waits_with_the_reason(store: Store) -> None:
    task = serving(store, replace(TERMS, ask_first=False))
    surveyed(store, task, psi=0.4)
    for name in ("a", "b", "c"):
        store.set_device_state(name, "revoked")
    waits = look_after(store, task, now=time.time())
    assert waits is not None
    assert waits.act == "wait"
    assert "no device is approved" in waits.why


def finish(store: Store) -> Run:
    """End the newest run as a run ends; returns it."""
    number = store.runs()[-1].id
    store.set_run_state(number, "running")
    store.set_run_state(number, "finished")
    return store.run(number)


def request_of(one: Run) -> SurveyRequest:
    return wire.from_json(SurveyRequest, one.request.encode())


def test_surveys_are_asked_for_by_themselves_and_once_for_each_day(store: Store) -> None:
    drift = replace(small_task().drift, outcome_noise_multiplier=20.0)
    task, now = serving(store, replace(TERMS, survey_days=7), drift=drift), time.time()
    assert look_after(store, task, now=now) is None
    reference = request_of(finish(store))
    assert (reference.role, reference.window) == ("reference", Window(start="2026-01-01", end="2026-02-01"))
    assert (reference.features, reference.contract, reference.outcomes) == (False, False, True)
    look_after(store, task, now=now + 6 * DAY)
    assert len(store.runs()) == 1
    look_after(store, task, now=now + 7 * DAY)
    look_after(store, task, now=now + 7 * DAY + 5)
    current = request_of(finish(store))
    assert current.role == "current"
    ends = time.strftime("%Y-%m-%d", time.gmtime(now + 7 * DAY))
    assert current.window.end == ends
    look_after(store, task, now=now + 13 * DAY)
    assert len(store.runs()) == 2
    look_after(store, task, now=now + 14 * DAY)
    assert request_of(finish(store)).window.start == ends
    assert store.audit_log(1)[0].act == "survey"


def test_surveys_are_charged_and_end_with_the_budget(store: Store) -> None:
    task, now, queued = serving(store, replace(TERMS, survey_days=1, max_epsilon=2.5)), time.time(), 0
    for day in range(20):
        look_after(store, task, now=now + day * DAY)
        if len(store.runs()) > queued:
            queued += 1
            finish(store)
    spent = max(each.epsilon for each in spending(task, store.devices(), store.rounds(), store.runs()))
    assert 2.0 < spent <= 2.5
    [refused] = store.decisions()
    assert (refused.act, refused.alarms) == ("wait", ())
    assert refused.why.startswith("no current survey: it would take what was spent from ε 2.")
    assert refused.why.endswith("of 2.5")


def test_a_release_of_an_older_revision_is_left_alone(store: Store) -> None:
    task = serving(store, replace(TERMS, survey_days=1, ask_first=False))
    surveyed(store, task, psi=0.4)
    newer = replace(task, revision=2)
    store.add_task(newer)
    assert look_after(store, newer, now=time.time()) is None
    assert store.decisions() == []


def test_a_decision_is_kept_as_it_was_made(store: Store) -> None:
    task = serving(store)
    surveyed(store, task, psi=0.4)
    made = look_after(store, task, now=time.time())
    assert isinstance(made, Decision)
    assert store.decisions() == [made]
