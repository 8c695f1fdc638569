"""Which rows an evaluation may be on, what it is planned and charged as, and how reports are merged."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message
from machines import small_task

from client.evaluation import answer_without_rows
from server import planning
from server.evaluated import newest
from server.evaluations import check, merge, plan_evaluation
from server.heldout import default_window, learned, overlap, require_held_out
from server.records import CampaignRequest, EvaluationRequest, Run
from server.spending import charges, survey_events
from server.store import Store
from shared import messages, wire
from shared.errors import InputError, WireError
from shared.evaluation import EvaluationPlan, bins_of, cells_of
from shared.lifecycle import Evaluation
from shared.models import ModelVersion
from shared.tasks import Task, Window
from simulations.cohort import enrol
from simulations.fleet.grid import Asking, FleetGrid

TASK = small_task(evaluation=Evaluation(noise_multiplier=4.0, score_bins=8), groups=("site",))
SPRING, SUMMER = Window(start="2026-01-01", end="2026-04-01"), Window(start="2026-04-01", end="2026-07-01")
ENDED = datetime(2026, 5, 3, 12, tzinfo=UTC).timestamp()


def version(number: int, *, run: int, parent: int) -> ModelVersion:
    return ModelVersion(
        number=number, task="machines", revision=1, run_id=run, round_number=1, parent=parent, weights_sha256="",
        stage="candidate", created_at=0.0,
    )  # fmt: skip


def campaign(number: int, window: Window, *, finished_at: float | None = ENDED) -> Run:
    request = CampaignRequest(
        task="machines", window=window, training=TASK.training, base_version=1, quorum=1, cohort=1, deadline_seconds=1.0
    )
    return Run(
        id=number, task="machines", kind="train", state="finished", request=wire.to_json(request).decode(),
        created_at=0.0, finished_at=finished_at,
    )  # fmt: skip


VERSIONS = (
    version(1, run=0, parent=0),
    version(2, run=1, parent=1),
    version(3, run=1, parent=2),
    version(4, run=2, parent=3),
)


def test_a_version_has_learned_what_its_ancestors_have() -> None:
    runs = [campaign(1, SPRING), campaign(2, SUMMER)]
    assert learned(VERSIONS[0], VERSIONS, runs) == ()
    assert learned(VERSIONS[2], VERSIONS, runs) == (SPRING,)
    assert learned(VERSIONS[3], VERSIONS, runs) == (SUMMER, SPRING)


def test_a_campaign_without_an_end_learned_until_it_ended_and_a_day_more() -> None:
    (known,) = learned(VERSIONS[1], VERSIONS, [campaign(1, Window(start="2026-01-01"))])
    assert known == Window(start="2026-01-01", end="2026-05-05")
    (known,) = learned(VERSIONS[1], VERSIONS, [campaign(1, Window(), finished_at=None)])
    assert known.end > datetime.now(UTC).date().isoformat()


def test_damaged_parents_lead_nowhere_twice() -> None:
    circle = (version(1, run=1, parent=2), version(2, run=1, parent=1))
    assert learned(circle[0], circle, [campaign(1, SPRING)]) == (SPRING,)


def test_by_default_all_rows_after_the_last_that_was_learned() -> None:
    assert default_window([SPRING, SUMMER]) == Window(start="2026-07-01")
    assert default_window([]) == Window()


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (SPRING, SUMMER, False),
        (SPRING, Window(start="2026-03-31"), True),
        (SPRING, Window(end="2026-01-01"), False),
        (SPRING, Window(), True),
        (Window(start="2026-04-01T02:00:00+02:00"), SPRING, False),
        (Window(start="2026-04-01T02:00:00+03:00"), SPRING, True),
    ],
    ids=["side by side", "a day", "before", "everything", "zone at the end", "zone before the end"],
)
def test_windows_overlap_where_a_row_could_lie_in_both(one: Window, other: Window, *, together: bool) -> None:
    assert overlap(one, other) is together
    assert overlap(other, one) is together


def test_rows_that_are_not_dated_cannot_be_held_out() -> None:
    undated = small_task(timestamp=None)
    require_held_out(undated, 1, Window(), ())
    with pytest.raises(InputError, match=r"dates no rows .* version 2 may have learned any of them"):
        require_held_out(undated, 2, SUMMER, (SPRING,))


def store_of(folder: Path, task: Task) -> Store:
    store = Store(folder / "covey.db")
    store.add_task(task)
    store.add_initial_version(task.name, task.revision, b"")
    enrol(store, "ada", 1, b"key a")
    enrol(store, "ben", 2, b"key b")
    enrol(store, "cyd", 3, b"key c")
    return store


def request_of(store: Store, task: Task = TASK, *, version: int | None = None) -> EvaluationRequest:
    return planning.evaluation(store, task, version=version, window=None, quorum=None, deadline_seconds=9.0)


def test_half_of_the_fleet_must_answer_unless_said_otherwise(tmp_path: Path) -> None:
    assert request_of(store_of(tmp_path, TASK)) == EvaluationRequest(
        task="machines", version=1, window=Window(), noise_multiplier=4.0, quorum=2, deadline_seconds=9.0
    )


def test_a_task_without_terms_is_not_evaluated(tmp_path: Path) -> None:
    task = small_task()
    with pytest.raises(InputError, match=r"has no \[evaluation\] table"):
        request_of(store_of(tmp_path, task), task)
    asked = EvaluationRequest(
        task="machines", version=1, window=SUMMER, noise_multiplier=4.0, quorum=1, deadline_seconds=1.0
    )
    with pytest.raises(InputError, match=r"has no \[evaluation\] table"):
        plan_evaluation(1, task, asked)


def test_a_version_of_nothing_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, TASK)
    with pytest.raises(InputError, match="version 9 is not one of task 'machines'"):
        request_of(store, version=9)
    with pytest.raises(InputError, match=r"version 1 was never evaluated; `covey evaluate` asks"):
        newest(store, "machines", 1)


def plan_of(run_id: int = 5) -> EvaluationPlan:
    asked = EvaluationRequest(
        task="machines", version=3, window=SUMMER, noise_multiplier=4.0, quorum=1, deadline_seconds=1.0
    )
    return plan_evaluation(run_id, TASK, asked)


def test_the_plan_is_the_tasks_own_terms() -> None:
    plan = plan_of()
    assert (plan.score_bins, plan.noise_multiplier, plan.window, plan.revision) == (8, 4.0, SUMMER, 1)
    assert cells_of(TASK, plan) == bins_of(TASK, plan).size == 3 * 2 * 8
    assert plan.event.noise_multiplier == bins_of(TASK, plan).noise


@pytest.mark.parametrize("changes", [{"score_bins": 1}, {"score_bins": 101}, {"noise_multiplier": 0.0}])
def test_a_plan_that_cannot_be_counted_or_charged_is_none(changes: dict[str, float]) -> None:
    with pytest.raises(WireError):
        wire.decode(EvaluationPlan, wire.encode(plan_of()) | changes)


def test_counts_add_and_so_do_the_noises_variances() -> None:
    plan = plan_of()
    reports = [answer_without_rows(plan, TASK) for _ in range(4)]
    result = merge(reports, TASK, plan, at=1.0)
    assert result.cells.noise == pytest.approx(8.0)
    assert result.cells.counts == tuple(map(sum, zip(*(each.cells.counts for each in reports), strict=True)))
    assert (result.run_id, result.version, result.devices, result.revision) == (5, 3, 4, 1)


def test_an_answer_to_another_evaluation_is_none() -> None:
    with pytest.raises(WireError, match="answers run 4 on version 3, not this evaluation"):
        check(answer_without_rows(plan_of(4), TASK), TASK, plan_of())
    with pytest.raises(WireError):
        merge([answer_without_rows(plan_of(4), TASK)], TASK, plan_of(), at=0.0)


def test_it_costs_one_count_even_once_the_task_says_otherwise(tmp_path: Path) -> None:
    store = store_of(tmp_path, TASK)
    run = store.run(store.queue_run("machines", "evaluate", request_of(store)))
    revised = replace(TASK, evaluation=None)
    for task in (TASK, revised):
        assert [event.noise_multiplier for event in survey_events(run, task)] == [4.0]
        assert [each.surveys for each in charges(task, store.devices(), [], [run])] == [0, 0, 0]
        (one, *_) = charges(task, store.devices(), [], [replace(run, started_at=1.0)])
        assert (one.surveys, len(one.events)) == (1, 1)


def test_a_rehearsals_devices_say_that_they_answer_rounds_alone() -> None:
    nothing: Any = None
    grid = FleetGrid(
        TASK, nothing, nothing, Asking(cohort=1, quorum=1, deadline_seconds=1.0), nodes=[1], names=["ada"],
        traffic=nothing, seed=1, noise=nothing,
    )  # fmt: skip
    asked = Message(messages.pack("evaluation", plan_of()), 1, "query.evaluate")
    with pytest.raises(InputError, match="a rehearsal's devices answer rounds alone"):
        grid.push_messages([asked])
