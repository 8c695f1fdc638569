"""What a rollout's next step is, and that no stage ever reaches more devices than it may."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import small_task

from server.records import Comparison, DeviceHealth, RolloutStep, SurveyResult
from server.rollouts import BAD_LUCK, MOST_ASKED, Ruling, Situation, decide, in_force, tail
from server.stages import following, narrowed, reached, share_of
from shared.health import FAILING, Health, Verdict
from shared.lifecycle import RolloutTerms
from shared.models import Release
from shared.rollout import WHOLE, Rollout, RolloutState, chosen, draw
from shared.tasks import Window

HOUR = 3600.0
BEGAN = 1_000_000.0
TERMS = RolloutTerms()
NAMES = st.lists(st.text("abcdefghijklmnop", min_size=1, max_size=6), min_size=1, max_size=120, unique=True)


def release(number: int = 2, *, fallback: int = 1, ceiling_bp: int = WHOLE, staged: bool = True) -> Release:
    return Release(
        number=number, task="machines", revision=1, version=number, trained_on=Window(), staged=staged, fallback=fallback,
        ceiling_bp=ceiling_bp,
    )  # fmt: skip


def fleet(devices: int) -> tuple[str, ...]:
    return tuple(f"device-{index}" for index in range(devices))


def situation(
    said: Mapping[str, Verdict] | None = None, *, devices: int = 40, percent: float = 10.0, hours: float = 25.0,
    terms: RolloutTerms = TERMS, state: RolloutState = "rolling", evidence: SurveyResult | None = None,
    asked: tuple[float, ...] = (), before: Mapping[str, Verdict] | None = None,
) -> Situation:  # fmt: skip
    """A stage that was opened `hours` ago; by default every device of it serves."""
    share = 0 if state == "halted" else share_of(release(), fleet(devices), percent)
    document = Rollout(number=1, task="machines", release=2, share_bp=share, state=state, stage_bp=round(percent * 100))
    inside = reached(release(), share, fleet(devices))
    rows = [(name, 2, verdict) for name, verdict in (dict.fromkeys(inside, "serves") | dict(said or {})).items()]
    rows += [(name, 1, verdict) for name, verdict in (before or {}).items()]
    health = tuple(
        DeviceHealth(device=name, at=BEGAN, health=Health(task="machines", release=number, verdict=verdict))
        for name, number, verdict in rows
    )
    return Situation(
        release=release(), terms=terms, steps=(RolloutStep(at=BEGAN, why="", rollout=document),), fleet=fleet(devices),
        health=health, now=BEGAN + hours * HOUR, evidence=evidence, asked=asked,
    )  # fmt: skip


def canaries(devices: int = 40, percent: float = 10.0) -> tuple[str, ...]:
    return reached(release(), share_of(release(), fleet(devices), percent), fleet(devices))


def only(found: Situation, *names: str) -> Situation:
    """As if nobody else had said how it fares."""
    return replace(found, health=tuple(each for each in found.health if each.device in names))


def evidence(*, alarm: bool, untold: bool = False) -> SurveyResult:
    says = "worse: AUC 0.500 beside 0.700" if alarm else "AUC 0.700 beside 0.700"
    compared = Comparison(name="AUC", canary=0.5, control=0.7, chance=0.001, alarm=alarm, says=says, untold=untold)
    return SurveyResult(
        run_id=1, task="machines", release=2, role="canary", window=Window(), devices=40, histograms=(), at=BEGAN,
        evidence=(compared,),
    )  # fmt: skip


# -- shares


@given(NAMES, st.floats(0.1, 99.9))
def test_a_stage_never_reaches_more_devices_than_its_percent_of_them(names: list[str], percent: float) -> None:
    offered, share = release(), share_of(release(), names, percent)
    inside = reached(offered, share, names)
    assume(len({draw(offered, name) for name in names}) == len(names))
    assert len(inside) == max(1, int(len(names) * percent / 100 + 1e-9))
    document = Rollout(number=1, task="machines", release=2, share_bp=share)
    assert {name for name in names if chosen(offered, document, name) == 2} == set(inside)


@given(NAMES, st.floats(0.1, 99.9))
def test_devices_that_draw_alike_stay_outside_together_unless_none_is_left(names: list[str], percent: float) -> None:
    offered = release()
    inside = reached(offered, share_of(offered, names, percent), names)
    most = max(1, int(len(names) * percent / 100 + 1e-9))
    assert 1 <= len(inside) <= most or len({draw(offered, name) for name in inside}) == 1


@given(NAMES, st.floats(0.1, 49.0), st.floats(50.0, 100.0))
def test_a_later_stage_holds_the_devices_of_the_earlier_one(names: list[str], low: float, high: float) -> None:
    offered = release()
    earlier, later = (set(reached(offered, share_of(offered, names, percent), names)) for percent in (low, high))
    assert earlier <= later


@given(NAMES, NAMES, st.floats(0.5, 99.0))
def test_a_fleet_that_grows_never_takes_a_stage_above_its_percent(
    names: list[str], more: list[str], percent: float
) -> None:
    begun = share_of(release(), names, percent)
    grown = sorted({*names, *more})
    share = narrowed(release(), grown, begun, round(percent * WHOLE / 100))
    within = len(reached(release(), share, grown))
    alike = [draw(release(), name) for name in grown]
    assume(len(set(alike)) == len(alike))
    assert share <= begun
    assert within <= max(1, int(len(grown) * round(percent * 100) / WHOLE + 1e-9))


def test_the_last_stage_is_the_whole_fleet_and_no_share_exceeds_the_ceiling() -> None:
    assert share_of(release(), fleet(7), 100.0) == WHOLE
    assert share_of(release(ceiling_bp=2500), fleet(400), 50.0) == 2500
    assert share_of(release(), (), 10.0) == 1000


def test_a_share_lies_as_near_to_its_percent_as_it_can() -> None:
    assert abs(share_of(release(), fleet(4000), 10.0) - 1000) < 100


def test_stages_follow_one_another_from_wherever_the_canary_was() -> None:
    assert [following(TERMS, bp) for bp in (0, 1000, 2500, 5000, WHOLE)] == [10.0, 50.0, 50.0, 100.0, None]


# -- decisions


def test_a_staged_release_begins_with_its_canary() -> None:
    assert decide(replace(situation(), steps=())) == Ruling(
        act="open", percent=10.0, why="published: the canary comes first"
    )


def test_a_stage_that_serves_long_enough_opens_the_next() -> None:
    ruling = decide(situation())
    assert (ruling.act, ruling.percent) == ("open", 50.0)
    assert ruling.why == "4 of 4 devices said how they fare: all serve"


def test_the_last_stage_completes() -> None:
    assert decide(situation(percent=100.0)).act == "complete"


def test_a_young_stage_waits() -> None:
    ruling = decide(situation(hours=3.0))
    assert (ruling.act, ruling.why) == ("wait", "the stage is 3.0 h old, of at least 24 h")


@pytest.mark.parametrize(("telling", "act"), [(0, "wait"), (1, "wait"), (2, "open"), (4, "open")])
def test_half_of_a_stage_must_say_that_it_serves(telling: int, act: str) -> None:
    assert decide(only(situation(), *canaries()[:telling])).act == act


@pytest.mark.parametrize("verdict", FAILING)
def test_two_of_four_that_fail_halt_at_once(verdict: Verdict) -> None:
    ruling = decide(situation(dict.fromkeys(canaries()[:2], verdict), hours=0.1))
    assert ruling.act == "halt"
    assert f"2 {verdict}" in ruling.why


def test_one_flaky_device_of_three_is_looked_at_again_and_then_halts() -> None:
    said: dict[str, Verdict] = {canaries(30)[0]: "crashed"}
    first = decide(situation(said, devices=30))
    assert first.act == "wait"
    assert "another look" in first.why
    second = decide(situation(said, devices=30, hours=48.0))
    assert second.act == "halt"
    assert "looked at 2 times" in second.why


def test_a_device_that_recovered_no_longer_counts_against_the_release() -> None:
    assert decide(situation({canaries(30)[0]: "serves"}, devices=30)).act == "open"


def test_a_canary_of_one_that_fails_halts_within_two_periods() -> None:
    said: dict[str, Verdict] = {canaries(9)[0]: "crashed"}
    assert decide(situation(said, devices=9, hours=47.9)).act == "wait"
    assert decide(situation(said, devices=9, hours=48.0)).act == "halt"


def test_a_device_that_failed_the_release_before_says_nothing_of_this_one() -> None:
    weak = canaries()[0]
    assert decide(situation({weak: "slow"}, before={weak: "slow"})).act == "open"
    assert decide(situation({weak: "slow"}, before={weak: "serves"})).act == "wait"


def test_a_few_of_many_may_fail() -> None:
    inside = canaries(1000)
    assert len(inside) == 100
    assert decide(situation(dict.fromkeys(inside[:5], "crashed"), devices=1000)).act == "open"
    assert decide(situation(dict.fromkeys(inside[:7], "crashed"), devices=1000)).act == "wait"
    assert decide(situation(dict.fromkeys(inside[:12], "crashed"), devices=1000)).act == "halt"


def test_where_no_failure_is_excused_one_halts() -> None:
    strict = RolloutTerms(max_failing=0.0)
    assert decide(situation({canaries()[0]: "wrong"}, terms=strict, hours=0.1)).act == "halt"


def test_the_tail_is_the_binomial_one() -> None:
    assert tail(2, 3, 0.05) == pytest.approx(3 * 0.05**2 * 0.95 + 0.05**3)
    assert tail(0, 3, 0.05) == 1.0
    assert tail(1, 1, 0.0) == 0.0


@given(st.integers(0, 30), st.integers(1, 30), st.floats(0.0, 0.5))
def test_halting_at_once_is_no_bad_luck(failing: int, told: int, allowed: float) -> None:
    assume(failing <= told)
    if tail(failing, told, allowed) <= BAD_LUCK:
        assert failing > allowed * told


def test_a_paused_rollout_stays_where_it_is_and_still_halts() -> None:
    assert decide(situation(state="paused")).act == "wait"
    assert decide(situation(dict.fromkeys(canaries(), "crashed"), state="paused")).act == "halt"


@pytest.mark.parametrize("state", ["halted", "complete"])
def test_what_ended_stays_ended(state: RolloutState) -> None:
    assert decide(situation(state=state)).act == "wait"


def test_a_pause_does_not_begin_a_stage_anew() -> None:
    found = situation()
    resumed = RolloutStep(at=found.now - HOUR, why="", rollout=found.steps[-1].rollout)
    assert decide(replace(found, steps=(*found.steps, resumed))).act == "open"


def test_a_stage_whose_devices_are_all_gone_waits_for_an_operator() -> None:
    ruling = decide(replace(situation(), fleet=tuple(set(fleet(40)) - set(canaries()))))
    assert ruling.act == "wait"
    assert "`covey rollout advance`" in ruling.why


# -- charged counts

CHARGED = RolloutTerms(charged=True)


def test_a_charged_stage_asks_before_it_opens() -> None:
    assert decide(situation(terms=CHARGED, hours=3.0)).act == "wait"
    assert decide(situation(terms=CHARGED)).act == "ask"


def test_what_was_asked_is_waited_for_and_asked_again_a_period_later() -> None:
    assert decide(situation(terms=CHARGED, asked=(BEGAN + 25 * HOUR,))).act == "wait"
    assert decide(situation(terms=CHARGED, asked=(BEGAN + 24 * HOUR,), hours=49.0)).act == "ask"
    often = decide(situation(terms=CHARGED, asked=(BEGAN,) * MOST_ASKED, hours=900.0))
    assert often.act == "wait"
    assert "told nothing 3 times" in often.why


def test_counts_without_harm_open_the_next_stage_and_say_so() -> None:
    ruling = decide(situation(terms=CHARGED, evidence=evidence(alarm=False)))
    assert ruling.act == "open"
    assert "AUC 0.700 beside 0.700" in ruling.why


def test_counts_that_tell_nothing_open_nothing_and_are_asked_for_again() -> None:
    undecided = evidence(alarm=False, untold=True)
    assert decide(situation(terms=CHARGED, evidence=undecided, asked=(BEGAN + 25 * HOUR,))).act == "wait"
    assert decide(situation(terms=CHARGED, evidence=undecided, asked=(BEGAN + 24 * HOUR,), hours=49.0)).act == "ask"


def test_a_group_whose_gap_is_untold_opens_nothing_and_neither_does_an_empty_comparison() -> None:
    told = evidence(alarm=False)
    gap = replace(told.evidence[0], name="group gap", untold=True)
    for found in (replace(told, evidence=(*told.evidence, gap)), replace(told, evidence=())):
        assert decide(situation(terms=CHARGED, evidence=found)).act == "ask"


def test_a_canary_that_can_never_alarm_is_not_asked_and_opens_nothing_by_itself() -> None:
    ruling = decide(situation(terms=CHARGED, devices=10))
    assert ruling.act == "wait"
    assert ruling.why == (
        "1 of 10 devices can never show harm in charged counts: 3 or more can, a stage of at least 30 %; "
        "`covey rollout advance` goes on without, `halt` ends it"
    )
    small = decide(situation(terms=CHARGED, devices=4))
    assert small.act == "wait"
    assert "in so small a fleet no canary can" in small.why


def test_counts_that_show_harm_halt() -> None:
    assert decide(situation(terms=CHARGED, evidence=evidence(alarm=True), hours=1.0)) == Ruling(
        act="halt", why="worse: AUC 0.500 beside 0.700"
    )


def test_nothing_is_compared_where_nobody_is_left_to_compare_with() -> None:
    assert decide(situation(terms=CHARGED, percent=100.0)).act == "complete"
    first = replace(situation(terms=CHARGED), release=release(fallback=0))
    assert decide(first).act == "open"


def test_a_task_that_counts_no_outcomes_cannot_ask_for_them() -> None:
    with pytest.raises(ValueError, match=r"needs drift\.outcome_noise_multiplier"):
        small_task(rollout=CHARGED)


# -- what is in force


def test_the_release_in_force_is_the_newest_that_is_meant_for_all() -> None:
    first, second, third = release(1, staged=False), release(2), release(3, fallback=2)

    def step(number: int, state: RolloutState, document: int = 1) -> RolloutStep:
        rollout = Rollout(number=document, task="machines", release=number, share_bp=0, state=state)
        return RolloutStep(at=0.0, why="", rollout=rollout)

    assert in_force([], []) is None
    assert in_force([first, second], []) == first
    assert in_force([first, second], [step(2, "rolling")]) == first
    assert in_force([first, second, third], [step(2, "complete"), step(3, "rolling")]) == second
    assert in_force([first, second, third], [step(2, "halted", 2), step(2, "complete", 1)]) == first
    assert in_force([first, replace(second, ceiling_bp=WHOLE - 1)], [step(2, "complete")]) == first
    assert in_force([first, replace(second, ceiling_bp=WHOLE - 1, staged=False)], []) == first
