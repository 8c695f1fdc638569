"""What the retraining policy makes of surveys, the pause and the budget; and which survey it asks for by itself."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import small_task

from server.detectors import CALM
from server.records import Decision, Run, RunKind, RunState, SurveyKind, SurveyRequest, SurveyResult
from server.retraining import DAY, Funds, asking, decide, window
from server.survey_schedule import due
from shared import wire
from shared.drift import OUTCOMES, Histogram, Shift
from shared.lifecycle import Retraining
from shared.models import Release
from shared.tasks import Task, Window

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
TERMS = Retraining(ask_first=False, pause_days=14)
TASK = small_task(drift=replace(small_task().drift, outcome_noise_multiplier=1.0))
RICH = Funds(spent=5.0, after=6.9)
RELEASE = Release(
    number=3, task=TASK.name, revision=1, version=7, trained_on=Window(start="2026-01-01", end="2026-02-01")
)


def survey(
    psi: float | None = 0.01, *, at: float = NOW - 60, release: int = 3, role: SurveyKind = "current",
    moved: Sequence[Shift] = (), histograms: tuple[Histogram, ...] = (),
) -> SurveyResult:  # fmt: skip
    score = [] if psi is None else [Shift(name="score", psi=psi, noise=0.02, devices=3)]
    return SurveyResult(
        run_id=1, task=TASK.name, release=release, role=role, window=Window(), devices=3, histograms=histograms,
        shifts=(*score, *moved), alarm=psi is not None and psi > 0.2, at=at,
    )  # fmt: skip


def run(
    number: int, *, days_ago: float, kind: RunKind = "train", state: RunState = "finished", request: str = "{}"
) -> Run:
    return Run(id=number, task=TASK.name, kind=kind, state=state, request=request, created_at=NOW - days_ago * DAY)


def decided(
    *surveys: SurveyResult, terms: Retraining = TERMS, task: Task = TASK, runs: Sequence[Run] = (),
    decisions: Sequence[Decision] = (), funds: Funds = RICH,
) -> Decision:  # fmt: skip
    return decide(
        terms, task, release=3, surveys=surveys, runs=runs, decisions=decisions, funds=funds, now=NOW
    )  # fmt: skip


def said(act: str, *, days_ago: float, run_id: int = 0) -> Decision:
    return Decision(task=TASK.name, at=NOW - days_ago * DAY, act=act, why="x", alarms=("psi",), run_id=run_id)  # type: ignore[arg-type]


def counted(per_day: Sequence[int], *, first_at: float = NOW - 60 * DAY) -> list[SurveyResult]:
    """Daily surveys of 200 rows: so many of them of the class that their score of 0.05 speaks against."""
    found: list[SurveyResult] = []
    for day, wrong in enumerate(per_day):
        counts = [0.0] * 20
        counts[0], counts[10] = 200.0 - wrong, float(wrong)
        cells = Histogram(name=OUTCOMES, edges=tuple(map(float, range(21))), counts=tuple(counts), noise=1.0)
        found.append(survey(0.01, at=first_at + day * DAY, histograms=(cells,)))
    return found


PSI = "score PSI 0.30 is above the alarm, 0.2"


@pytest.mark.parametrize(
    ("changes", "act", "why"),
    [
        ({}, "start", f"{PSI}; this campaign costs ε 1.90; spent 5.00 of 50"),
        ({"terms": Retraining()}, "ask", f"{PSI}; this campaign costs ε 1.90; spent 5.00 of 50"),
        ({"terms": replace(TERMS, max_epsilon=6.9)}, "start", f"{PSI}; this campaign costs ε 1.90; spent 5.00 of 6.9"),
        (
            {"terms": replace(TERMS, max_epsilon=6.5)}, "wait",
            f"{PSI}; but this campaign costs ε 1.90; spent 5.00 of 6.5",
        ),
        (
            {"runs": [run(4, days_ago=3)]}, "wait",
            f"{PSI}; but run 4 learned 3.0 days ago, and 14 must lie between campaigns",
        ),
        ({"runs": [run(4, days_ago=14)]}, "start", f"{PSI}; this campaign costs ε 1.90; spent 5.00 of 50"),
        ({"runs": [run(5, days_ago=1, kind="survey")]}, "start", None),
        ({"runs": [run(5, days_ago=20, state="running")]}, "wait", f"{PSI}; but run 5 is under way"),
    ],
    ids=["starts", "asks", "to the last", "too dear", "pause", "pause is over", "a survey is no campaign", "busy"],
)  # fmt: skip
def test_an_alarm_starts_asks_or_waits(changes: dict[str, object], act: str, why: str | None) -> None:
    found = decided(survey(0.3), **changes)  # type: ignore[arg-type]
    assert (found.act, found.alarms) == (act, ("psi",))
    assert why is None or found.why == why


@pytest.mark.parametrize(
    ("surveys", "why"),
    [
        ([], "release 3 was not surveyed yet"),
        ([survey(0.3, release=2)], "release 3 was not surveyed yet"),
        ([survey(0.3, role="canary"), survey(0.3, role="reference")], "release 3 was not surveyed yet"),
        ([survey(0.01)], "no detector alarms: score PSI 0.01, alarm at 0.2"),
        ([survey(0.3), survey(0.01)], "no detector alarms: score PSI 0.01, alarm at 0.2"),
        ([survey(None)], "no detector alarms: no reference survey to compare scores with"),
        (
            [replace(survey(0.3), alarm=False, shifts=(Shift(name="score", psi=0.3, noise=0.4, devices=3),))],
            "no detector alarms: score PSI 0.30 lies within the noise, 0.40",
        ),
    ],
    ids=["none", "of an older release", "other roles", "quiet", "quiet now", "no reference", "noise"],
)
def test_without_an_alarm_nothing_is_asked(surveys: list[SurveyResult], why: str) -> None:
    found = decided(*surveys)
    assert (found.act, found.alarms, found.why) == ("wait", (), why)


def test_a_season_informs_and_decides_nothing() -> None:
    moved = [
        Shift(name=name, psi=psi, noise=noise, devices=3)
        for name, psi, noise in (("load", 0.3, 0.1), ("hour", 1.5, 0.1), ("site", 0.4, 0.5), ("wind", 0.1, 0.01))
    ]
    found = decided(survey(0.01, moved=moved), survey(0.02))
    assert (found.act, found.informed) == ("wait", ("hour", "load"))
    assert decided(survey(0.3, moved=moved)).informed == ("hour", "load")


LOSS = replace(TERMS, alarms=("cusum",))


@pytest.mark.parametrize("detector", ["cusum", "adwin"])
def test_a_loss_that_rose_starts_a_campaign(detector: str) -> None:
    terms = replace(TERMS, alarms=(detector,))  # type: ignore[arg-type]
    calm = [20 + day % 7 for day in range(CALM + 5)]
    quiet, risen = decided(*counted(calm), terms=terms), decided(*counted([*calm, *[60] * 20]), terms=terms)
    assert (quiet.act, quiet.alarms) == ("wait", ())
    assert (risen.act, risen.alarms) == ("start", (detector,))
    assert "loss 0." in risen.why
    assert detector.upper() in risen.why


def test_any_one_detector_decides() -> None:
    both, days = replace(TERMS, alarms=("psi", "cusum")), [20 + day % 7 for day in range(CALM + 5)]
    assert decided(*counted(days)[:-1], survey(0.3), terms=both).alarms == ("psi",)
    assert decided(*counted([*days, *[60] * 20]), terms=both).alarms == ("cusum",)


def test_after_a_no_what_is_now_is_what_is_usual() -> None:
    days = counted([20 + day % 7 for day in range(CALM + 5)] + [60 + day % 7 for day in range(CALM + 9)])
    assert decided(*days, terms=LOSS).act == "start"
    no = replace(said("decline", days_ago=0), at=days[CALM + 7].at)
    assert decided(*days, terms=LOSS, decisions=[no]).act == "wait"


def test_a_detector_whose_outcomes_nobody_counts_says_so() -> None:
    assert "drift.outcome_noise_multiplier" in decided(survey(0.3), terms=LOSS, task=small_task()).why


def test_the_same_drift_is_not_learned_twice_before_its_release() -> None:
    before = survey(0.3, at=NOW - 31 * DAY)
    learned, started = run(4, days_ago=30), said("start", days_ago=30, run_id=4)
    found = decided(before, survey(0.3), runs=[learned], decisions=[started])
    assert found.act == "wait"
    assert "run 4 has learned on an alarm of this release already" in found.why
    assert decided(survey(0.3), runs=[learned], decisions=[started]).act == "start"
    failed = replace(learned, state="failed")
    assert decided(before, survey(0.3), runs=[failed], decisions=[started]).act == "start"
    no = said("decline", days_ago=1)
    assert decided(before, survey(0.3), runs=[learned], decisions=[started, no]).act == "start"


@given(
    spent=st.floats(0, 20), costs=st.floats(0, 20), most=st.floats(0.1, 20),
    ages=st.lists(st.floats(0, 60), max_size=4), pause=st.integers(0, 40), ask=st.booleans(), psi=st.floats(0, 1),
)  # fmt: skip
def test_no_campaign_ever_starts_above_the_budget_or_within_the_pause(
    spent: float, costs: float, most: float, ages: list[float], pause: int, ask: bool, psi: float
) -> None:
    terms = Retraining(pause_days=pause, max_epsilon=most, ask_first=ask)
    runs = [run(number + 1, days_ago=age) for number, age in enumerate(sorted(ages, reverse=True))]
    funds = Funds(spent=spent, after=spent + costs)
    found = decided(survey(psi), terms=terms, runs=runs, funds=funds)
    assert found.act in ("wait", "ask", "start")
    if found.act in ("ask", "start"):
        assert funds.after <= most + 1e-9
        assert all(age >= pause - 1e-9 for age in ages)
        assert psi > 0.2
        assert (found.act == "ask") is ask


def test_a_campaign_learns_the_last_days_whose_outcomes_are_known() -> None:
    assert window(TERMS, NOW) == Window(start="2025-12-31", end="2026-03-01")
    assert window(replace(TERMS, window_days=7, label_days=3), NOW) == Window(start="2026-02-19", end="2026-02-26")


def test_the_newest_word_is_the_question_or_there_is_none() -> None:
    ask, wait = said("ask", days_ago=2), said("wait", days_ago=1)
    assert asking([wait, ask]) is ask
    assert asking([ask, wait]) is None
    assert asking([]) is None


WEEKLY = replace(TERMS, survey_days=7)


def asked(
    role: SurveyKind, *, days_ago: float, window: Window | None = None, state: RunState = "finished", release: int = 3
) -> Run:
    request = SurveyRequest(
        task=TASK.name, release=release, window=window or Window(), role=role, features=False, quorum=1,
        deadline_seconds=60.0,
    )  # fmt: skip
    return run(9, days_ago=days_ago, kind="survey", state=state, request=wire.to_json(request).decode())


REFERENCE = ("reference", Window(start="2026-01-01", end="2026-02-01"))
WEEK = ("current", Window(start="2026-02-22", end="2026-03-01"))


@pytest.mark.parametrize(
    ("terms", "runs", "expected"),
    [
        (TERMS, [], None),
        (WEEKLY, [], REFERENCE),
        (WEEKLY, [asked("reference", days_ago=9, release=2)], REFERENCE),
        (WEEKLY, [asked("reference", days_ago=2, state="failed")], REFERENCE),
        (WEEKLY, [asked("reference", days_ago=0.5, state="failed")], None),
        (WEEKLY, [asked("reference", days_ago=6)], None),
        (WEEKLY, [asked("reference", days_ago=7)], WEEK),
        (WEEKLY, [asked("reference", days_ago=20), asked("current", days_ago=3, window=Window(end="2026-02-26"))], None),
        (WEEKLY, [asked("reference", days_ago=20), asked("current", days_ago=3, window=Window(end="2026-02-22"))], WEEK),
        (WEEKLY, [asked("reference", days_ago=20), asked("current", days_ago=3)], None),
        (WEEKLY, [asked("reference", days_ago=20), asked("canary", days_ago=3)], WEEK),
        (WEEKLY, [asked("reference", days_ago=20), run(3, days_ago=8, kind="survey", request="{}")], WEEK),
        (
            replace(WEEKLY, survey_days=1, label_days=5), [asked("reference", days_ago=9)],
            ("current", Window(start="2026-02-23", end="2026-02-24")),
        ),
        (replace(WEEKLY, survey_days=1, label_days=5), [asked("reference", days_ago=5)], None),
    ],
    ids=[
        "the operator asks", "a reference first", "each release its own", "in vain", "rests first", "too early", "due",
        "counted until then", "counted before", "counted until it was asked", "a canary's is another", "unreadable",
        "outcomes come late", "outcomes are not there yet",
    ],
)  # fmt: skip
def test_a_survey_is_due_once_so_many_days_were_counted_by_none(
    terms: Retraining, runs: list[Run], expected: tuple[str, Window] | None
) -> None:
    assert due(terms, RELEASE, runs, NOW) == expected


@pytest.mark.parametrize(
    "changes", [{"alarms": ()}, {"survey_days": -1}, {"label_days": -1}, {"max_epsilon": 0.0}, {"window_days": 0}]
)
def test_terms_that_mean_nothing_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Retraining(**changes)  # type: ignore[arg-type]
