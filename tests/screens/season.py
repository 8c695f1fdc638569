"""A season of weekly surveys: nothing moves, then one survey is too small to tell, then the weather, then the score."""

from pathlib import Path

from screens import lifecycle_story, story
from screens.lifecycle_story import at

from server.drift import alarm, shifts
from server.records import Decision, SurveyRequest, SurveyResult
from server.store import Store
from shared.tasks import Task, Window

WEEK = 7 * 86_400.0
WEEKS: tuple[tuple[set[str], float, int], ...] = (
    (set(), 0.0, 8), (set(), 0.0, 8), ({"temp"}, 0.05, 8), ({"temp"}, 0.09, 1), ({"temp"}, 0.13, 8), (set(), 0.0, 1),
    ({"temp", "dewpoint"}, 0.12, 8), (story.WEATHER, 0.14, 8), (story.WEATHER, 0.18, 8), (story.WEATHER, 0.24, 8),
)  # fmt: skip
"""Of each week: the columns that moved, how far, and how many machines answered."""


def tell(home: Path) -> Store:
    """Ten weeks after a release; the policy asks at last."""
    store = story.found(home)
    task = lifecycle_story.flights(story.TASK)
    began = story.NOW - 11 * WEEK
    with at(began):
        store.add_task(task)
        store.add_initial_version(task.name, task.revision, story.weights(0))
    story.enrol(store)
    first = story.campaign(store, task, window=story.FIRST, base=1, began=began, rounds=20)
    with at(began + 240):
        store.set_run_state(first, "finished", "20 rounds committed")
    story.publish(store, number=1, version=12, moment=began + 600)
    story.publish(store, number=2, version=21, moment=began + 900)
    story.survey(store, task, "reference", story.FIRST, moment=began + 3600, moved=set())
    for number, (moved, by, devices) in enumerate(WEEKS):
        weekly(store, task, number, moved, by, devices)
    return store


def weekly(store: Store, task: Task, number: int, moved: set[str], by: float, devices: int) -> None:
    """One survey of the last week, and what the policy made of it."""
    moment = story.NOW - (len(WEEKS) - 1 - number) * WEEK - 3600
    window = Window(start=until(number), end=until(number + 1))
    request = SurveyRequest(
        task=task.name, release=2, window=window, role="current", features=True, quorum=1, deadline_seconds=60.0
    )
    with at(moment - 20):
        run = store.queue_run(task.name, "survey", request)
        store.set_run_state(run, "running")
    counted = story.counts(task, run, "current", window, moved, by=by, devices=devices)
    found = shifts(store.surveys()[0].histograms, counted, devices=devices)
    result = SurveyResult(
        run_id=run, task=task.name, release=2, role="current", window=window, devices=devices, histograms=counted,
        shifts=found, alarm=alarm(found, task.drift), at=moment,
    )  # fmt: skip
    store.add_survey(result)
    with at(moment):
        store.set_run_state(run, "finished", f"{devices} devices answered")
    store.add_decision(decision(result, task))


def until(number: int) -> str:
    """The first day of a week of the season."""
    return f"2013-{7 + number // 4:02d}-{1 + 7 * (number % 4):02d}"


def decision(result: SurveyResult, task: Task) -> Decision:
    """What the policy says to a survey: it asks once the score alarms."""
    score = f"score PSI {max(0.0, result.shifts[0].psi):.2f}"
    why = f"{score} is above the alarm, {task.drift.alarm_psi:g}" if result.alarm else f"no detector alarms: {score}"
    informed = tuple(shift.name for shift in result.shifts[1:] if shift.evident)
    return Decision(
        task=task.name, at=result.at, act="ask" if result.alarm else "wait", why=why, informed=informed,
        alarms=("psi",) if result.alarm else (),
    )  # fmt: skip
