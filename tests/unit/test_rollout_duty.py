"""Rollouts acted on: what is signed, what the store and the audit log keep, and what an operator may do."""

from pathlib import Path

import numpy as np
import pytest
from counted import Model, plan_of, report
from rolling import TERMS, Fleet, build_fleet

from server import rollout_acts, rollout_duty
from server.arrival import time_to_share
from server.canary import conclude, plans_of
from server.promotion import Way, recover, withdraw
from server.records import SurveyRequest
from server.rollout_duty import steer, steer_all
from server.rollout_role import publish_rollout, signed_rollout
from server.surveys import plan_survey
from shared import wire
from shared.drift import DriftReport
from shared.errors import InputError, ReleaseError
from shared.lifecycle import RolloutTerms
from shared.rollout import WHOLE, Rollout, draw

CHARGED = RolloutTerms(stages=(20.0, 100.0), period_hours=1.0, charged=True)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """The first release is with everyone; the second has reached its canary."""
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(everyone=True))
    fleet.promote(2, command="covey promote 3")
    return fleet


def arrive(fleet: Fleet) -> None:
    """Every stage serves."""
    for _ in TERMS.stages:
        fleet.say(fleet.inside)
        fleet.pass_()


def acts(fleet: Fleet) -> list[tuple[str, str]]:
    return [(entry.actor, entry.act) for entry in fleet.store.audit_log()]


# -- promoting


def test_a_task_with_a_rollout_promotes_to_its_canary_first(fleet: Fleet) -> None:
    release = fleet.release
    assert (release.staged, release.fallback) == (True, 1)
    assert fleet.document == signed_rollout(fleet.federation, "machines")
    assert (fleet.document.stage_bp, fleet.document.state, len(fleet.inside)) == (1000, "rolling", 2)
    assert fleet.store.version(release.version).stage == "canary"
    assert acts(fleet)[:2] == [("operator", "open"), ("operator", "promote")]
    assert fleet.store.lineages()[release.version].command == "covey promote 3"


def test_a_release_for_everyone_has_no_rollout(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path)
    assert not fleet.promote(1, Way(everyone=True)).staged
    assert fleet.store.rollouts() == []
    assert steer(fleet.federation, fleet.store, fleet.task) is None


def test_a_task_without_a_rollout_promotes_to_everyone_unless_told_a_percent(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path, terms=None)
    assert not fleet.promote(1).staged
    assert fleet.promote(2, Way(percent=25.0)).staged
    assert (fleet.document.stage_bp, len(fleet.inside)) == (2500, 5)


@pytest.mark.parametrize(
    "way",
    [
        {"percent": 0.0},
        {"percent": 0.001},
        {"percent": 99.999},
        {"percent": 100.0},
        {"everyone": True, "percent": 5.0},
        {"everyone": True, "shadow": True},
    ],
    ids=str,
)
def test_a_canary_of_nobody_or_of_all_is_refused(way: dict[str, float]) -> None:
    with pytest.raises(InputError, match="percent"):
        Way(**way)  # type: ignore[arg-type]


def test_one_release_at_a_time_is_on_its_way(fleet: Fleet) -> None:
    with pytest.raises(InputError, match="release 2 of 'machines' is still on its way"):
        fleet.promote(3)
    assert len(fleet.store.releases()) == 2


def test_who_is_next_looks_on_where_the_operator_or_the_task_wants_that(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(shadow=True))
    assert fleet.document.shadow_bp > fleet.document.share_bp
    fleet.say(fleet.inside)
    fleet.pass_()
    assert (fleet.document.stage_bp, fleet.document.shadow_bp) == (5000, WHOLE)
    fleet.say(fleet.inside)
    fleet.pass_()
    assert (fleet.document.stage_bp, fleet.document.shadow_bp) == (WHOLE, 0)


# -- the duty


def test_a_release_that_serves_reaches_everyone_stage_by_stage(fleet: Fleet) -> None:
    arrive(fleet)
    assert [step.rollout.stage_bp for step in fleet.store.rollouts()] == [1000, 5000, WHOLE, WHOLE]
    assert [step.rollout.number for step in fleet.store.rollouts()] == [1, 2, 3, 4]
    assert (fleet.document.state, fleet.document.share_bp) == ("complete", WHOLE)
    assert fleet.store.version(fleet.release.version).stage == "released"
    assert acts(fleet)[:3] == [("coordinator", "complete"), ("coordinator", "open"), ("coordinator", "open")]
    assert fleet.promote(3).fallback == 2


def test_a_release_that_crashes_is_halted_at_once_and_never_gone_back_to(fleet: Fleet) -> None:
    fleet.say(fleet.inside, "crashed")
    ruling = fleet.pass_(hours=0.01)
    assert ruling is not None
    assert ruling.act == "halt"
    signed = signed_rollout(fleet.federation, "machines")
    assert signed is not None
    assert (signed.state, signed.share_bp, signed.shadow_bp) == ("halted", 0, 0)
    assert fleet.store.version(fleet.release.version).stage == "halted"
    assert acts(fleet)[0] == ("coordinator", "halt")
    with pytest.raises(InputError, match="was halted; promote another one"):
        rollout_promote_again(fleet)
    assert fleet.promote(3).fallback == 1


def rollout_promote_again(fleet: Fleet) -> None:
    from server.promotion import promote

    promote(fleet.federation, fleet.store, fleet.task, fleet.release.version)


def test_nothing_is_done_twice(fleet: Fleet) -> None:
    fleet.say(fleet.inside)
    fleet.pass_()
    before = len(fleet.store.rollouts())
    fleet.pass_(hours=0.1)
    assert len(fleet.store.rollouts()) == before


def test_the_standing_duty_looks_at_every_task(fleet: Fleet) -> None:
    fleet.say(fleet.inside, "wrong")
    steer_all(fleet.federation)
    assert fleet.document.state == "halted"


def test_a_canary_that_was_never_opened_because_of_a_crash_is_opened_by_the_duty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = build_fleet(tmp_path)
    with monkeypatch.context() as crash:
        crash.setattr(rollout_duty, "begin", lambda *_, **__: (_ for _ in ()).throw(OSError("power")))
        with pytest.raises(OSError, match="power"):
            fleet.promote(1)
    assert signed_rollout(fleet.federation, "machines") is None
    ruling = steer(fleet.federation, fleet.store, fleet.task)
    assert ruling is not None
    assert ruling.act == "open"
    assert len(fleet.inside) == 2


def test_what_was_signed_before_a_crash_is_written_down_later(fleet: Fleet) -> None:
    publish_rollout(fleet.federation, Rollout(number=2, task="machines", release=2, share_bp=0, state="halted"))
    recover(fleet.federation, fleet.store, fleet.task)
    assert fleet.document.state == "halted"
    assert fleet.store.version(fleet.release.version).stage == "halted"
    assert acts(fleet)[0] == ("coordinator", "recover")
    recover(fleet.federation, fleet.store, fleet.task)
    assert len(fleet.store.rollouts()) == 2


def test_a_crash_right_after_signing_does_not_stop_the_duty(fleet: Fleet) -> None:
    """The store lags one document behind: the next one is numbered after what was signed."""
    publish_rollout(fleet.federation, Rollout(number=2, task="machines", release=2, share_bp=900, stage_bp=1000))
    fleet.say(fleet.inside, "crashed")
    fleet.pass_(hours=0.01)
    assert (fleet.document.number, fleet.document.state) == (3, "halted")


# -- an operator's hand


def test_an_operator_pauses_and_resumes(fleet: Fleet) -> None:
    rollout_acts.pause(fleet.federation, fleet.store, fleet.task, command="covey rollout pause")
    fleet.say(fleet.inside)
    fleet.pass_()
    assert fleet.document.state == "paused"
    assert fleet.store.audit_log()[0].command == "covey rollout pause"
    with pytest.raises(InputError, match="paused already"):
        rollout_acts.pause(fleet.federation, fleet.store, fleet.task)
    rollout_acts.resume(fleet.federation, fleet.store, fleet.task)
    fleet.pass_()
    assert fleet.document.stage_bp == 5000
    with pytest.raises(InputError, match="not paused"):
        rollout_acts.resume(fleet.federation, fleet.store, fleet.task)


def test_an_operator_advances_to_the_end(fleet: Fleet) -> None:
    for stage, state in ((5000, "rolling"), (WHOLE, "rolling"), (WHOLE, "complete")):
        signed = rollout_acts.advance(fleet.federation, fleet.store, fleet.task)
        assert (signed.stage_bp, signed.state) == (stage, state)
    with pytest.raises(InputError, match="complete already"):
        rollout_acts.advance(fleet.federation, fleet.store, fleet.task)


def test_an_operator_halts_even_what_is_complete(fleet: Fleet) -> None:
    arrive(fleet)
    rollout_acts.halt(fleet.federation, fleet.store, fleet.task)
    assert fleet.document.state == "halted"
    assert fleet.promote(3).fallback == 1
    rollout_acts.halt(fleet.federation, fleet.store, fleet.task)
    with pytest.raises(InputError, match="halted already"):
        rollout_acts.halt(fleet.federation, fleet.store, fleet.task)


def test_there_is_nothing_to_halt_where_nothing_is_staged(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(everyone=True))
    with pytest.raises(InputError, match="is on its way in stages"):
        rollout_acts.halt(fleet.federation, fleet.store, fleet.task)


# -- withdrawing


def test_withdrawing_what_is_on_its_way_halts_it(fleet: Fleet) -> None:
    current = withdraw(fleet.federation, fleet.store, fleet.task, 2)
    assert current.number == 1
    assert fleet.document.state == "halted"
    assert fleet.store.version(fleet.release.version).stage == "withdrawn"
    assert len(fleet.store.releases()) == 2


def test_withdrawing_what_arrived_signs_older_weights_for_everyone(fleet: Fleet) -> None:
    arrive(fleet)
    current = withdraw(fleet.federation, fleet.store, fleet.task, 2)
    assert (current.number, current.staged, current.fallback) == (3, False, 0)
    assert current.version == fleet.store.releases()[0].version


def test_the_first_release_can_be_halted_and_not_withdrawn(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path)
    fleet.promote(1)
    with pytest.raises(ReleaseError, match="`covey rollout halt` stops it"):
        withdraw(fleet.federation, fleet.store, fleet.task, 1)
    assert fleet.document.state == "rolling"


def test_the_release_behind_a_canary_gives_way_to_one_that_was_with_everyone(fleet: Fleet) -> None:
    """Never to the canary's own, which only a few devices have proved."""
    with pytest.raises(ReleaseError, match="no earlier one"):
        withdraw(fleet.federation, fleet.store, fleet.task, 1)


# -- charged counts


@pytest.fixture
def charged(tmp_path: Path) -> Fleet:
    fleet = build_fleet(tmp_path, terms=CHARGED)
    fleet.promote(1, Way(everyone=True))
    fleet.promote(2)
    fleet.say(fleet.inside)
    return fleet


def count(fleet: Fleet, canary: Model, *, silent: int = 0) -> None:
    """The survey that was asked, answered from seeded rows."""
    run = fleet.store.runs("queued")[-1]
    request = wire.from_json(SurveyRequest, run.request.encode())
    plan = plan_survey(run.id, fleet.task, request)
    plans, random = plans_of(fleet.store, fleet.release, plan), np.random.default_rng(3)
    reports: dict[str, DriftReport] = {}
    for name in sorted(plans)[silent:]:
        model = canary if plans[name].release == fleet.release.number else Model()
        answer = report(random, model, task=fleet.task, rows=900)
        reports[name] = DriftReport(run_id=run.id, release=plans[name].release, histograms=answer.histograms)
    try:
        conclude(fleet.store, fleet.task, plan, fleet.release, plans, reports)
    finally:
        fleet.store.set_run_state(run.id, "finished")


def test_a_charged_stage_asks_both_sides_and_opens_where_no_harm_shows(charged: Fleet) -> None:
    ruling = charged.pass_()
    assert ruling is not None
    assert ruling.act == "ask"
    (run,) = charged.store.runs("queued")
    request = wire.from_json(SurveyRequest, run.request.encode())
    assert (request.role, request.release, request.features, request.outcomes) == ("canary", 2, False, True)
    count(charged, Model())
    charged.pass_(hours=0.1)
    assert charged.document.stage_bp == WHOLE
    kept = charged.store.surveys("machines")[-1]
    assert (kept.role, kept.devices, len(kept.evidence)) == ("canary", 20, 3)
    assert kept.control[0].counts != kept.histograms[0].counts


@pytest.mark.parametrize(
    ("model", "word"), [(Model(apart=-1.0), "inverted"), (Model(apart=0.1), "worse")], ids=["inverted", "worse"]
)
def test_harm_that_only_outcomes_show_halts(charged: Fleet, model: Model, word: str) -> None:
    charged.pass_()
    count(charged, model)
    charged.pass_(hours=0.1)
    assert charged.document.state == "halted"
    assert word in charged.store.rollouts()[-1].why


def test_a_survey_that_too_few_answered_is_asked_again_a_period_later(charged: Fleet) -> None:
    charged.pass_()
    with pytest.raises(InputError, match="half must"):
        count(charged, Model(), silent=18)
    ruling = charged.pass_()
    assert ruling is not None
    assert ruling.act == "ask"


def test_a_survey_waits_while_another_run_is_under_way(charged: Fleet) -> None:
    charged.store.queue_run("machines", "train", plan_of())
    charged.pass_()
    assert [run.kind for run in charged.store.runs()] == ["train"]


# -- arrival


def test_how_long_a_release_took_to_arrive_is_read_off_what_devices_said(fleet: Fleet) -> None:
    assert time_to_share(fleet.store, fleet.release).seconds is None
    arrive(fleet)
    found = time_to_share(fleet.store, fleet.release)
    assert (found.devices, found.serving) == (20, 20)
    assert found.seconds is not None
    assert found.seconds >= 0
    later = time_to_share(fleet.store, fleet.release, since=fleet.release.published_at + 1e9)
    assert later.seconds == 0


def test_devices_that_enrol_later_do_not_take_a_canary_above_its_percent(tmp_path: Path) -> None:
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(everyone=True))
    fleet.promote(2, Way(percent=5.0))
    assert len(fleet.inside) == 1
    low = [name for name in map("late-{}".format, range(2000)) if draw(fleet.release, name) < fleet.document.share_bp]
    for name in low[:4]:
        fleet.store.add_invitation(name, 4e9)
        fleet.store.enrol(name, name, name.encode())
        fleet.store.set_device_state(name, "approved")
    assert len(fleet.inside) == 5
    fleet.pass_(hours=0.1)
    assert len(fleet.inside) == 1
    assert acts(fleet)[0] == ("coordinator", "narrow")
