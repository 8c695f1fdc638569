"""Two releases on the same rows: what is counted, what it costs, and how often they agree."""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import machine_rows, small_task
from releasing import Works, build_works
from rolling import Fleet, build_fleet
from staged import just_in, roll, stage

from client import drift as device
from client.groups import cells_of
from client.inference import Predictor
from server import __main__ as covey_main
from server import drift, planning, spending
from server.cli.running import agreement_said
from server.estimates import Estimate, unknown
from server.promotion import Way
from server.records import Run, SurveyRequest, SurveyResult
from server.shadow import agreement, agreement_of
from server.store import Store
from server.surveys import plan_survey
from shared import wire
from shared.drift import AGREEMENT, CELLS, DriftReport, Histogram, SurveyPlan, edges_of
from shared.errors import InputError, WireError
from shared.models import Release
from shared.rollout import Rollout
from shared.tasks import Classes, Task, Window

TASK = small_task(groups=("site",))
PLAN = SurveyPlan(
    run_id=1, task="machines", revision=1, release=1, window=Window(), role="current", features=False, score_bins=10,
    feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0, shadow=2,
)  # fmt: skip
PLAIN = replace(PLAN, shadow=None)


def histogram(cells: object, *, noise: float = 0.0) -> Histogram:
    counts = tuple(np.asarray(cells, dtype=float).ravel().tolist())
    return Histogram(name=AGREEMENT, edges=tuple(map(float, range(len(counts) + 1))), counts=counts, noise=noise)


# -- the plan


def test_it_is_charged_as_one_more_count() -> None:
    assert PLAN.events == (*PLAIN.events, PLAIN.events[0])
    assert (len(PLAIN.events), len(PLAN.events)) == (1, 2)


def test_its_cells_are_group_by_answer_by_answer() -> None:
    bins = {one.name: one for one in edges_of(TASK, PLAN)}
    assert bins[AGREEMENT].size == 3 * 2 * 2
    assert bins[AGREEMENT].noise == PLAN.score_noise_multiplier
    assert list(bins)[-1] == AGREEMENT
    assert AGREEMENT in CELLS
    assert AGREEMENT not in {one.name for one in edges_of(TASK, PLAIN)}


def test_a_plan_without_it_is_the_same_bytes_as_before() -> None:
    assert b"shadow" not in wire.to_json(PLAIN)
    assert wire.from_json(SurveyPlan, wire.to_json(PLAN)) == PLAN


@pytest.mark.parametrize("shadow", [0, -1, 1], ids=["none", "less", "the same"])
def test_a_release_cannot_be_compared_with_itself_or_with_none(shadow: int) -> None:
    with pytest.raises(WireError, match="another release than the survey's"):
        wire.decode(SurveyPlan, wire.encode(PLAN) | {"shadow": shadow})


# -- on the device


@settings(max_examples=100)
@given(
    rows=st.lists(st.tuples(st.sampled_from(["north", "south", "?", None]), st.integers(0, 1), st.integers(0, 1))),
    extra=st.tuples(st.sampled_from(["north", "", None]), st.integers(0, 1), st.integers(0, 1)),
)
def test_one_row_more_changes_one_cell_by_one(
    rows: list[tuple[str | None, int, int]], extra: tuple[str | None, int, int]
) -> None:
    def cells(table: list[tuple[str | None, int, int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        one, other = (np.array([row[place] for row in table], dtype=np.int64) for place in (1, 2))
        site = np.array([row[0] for row in table], dtype=object)
        return cells_of(TASK, {"site": site}, (one, 2), (other, 2))

    change = cells([*rows, extra]) - cells(rows)
    assert change.shape == (12,)
    assert sorted(change.tolist()) == [0] * 11 + [1]


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """A device that runs release 1."""
    works = build_works(tmp_path, TASK)
    works.publish(seed=1)
    assert works.check() == 1
    return works


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    machine_rows(300).write_parquet(tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_noise(counts: Sequence[int], *, scale: float) -> tuple[float, ...]:
        assert scale == PLAN.score_noise_multiplier
        return tuple(map(float, counts))

    monkeypatch.setattr(device, "add_noise", without_noise)


def beside(works: Works, seed: int) -> Release:
    release = stage(works, seed, fallback=1)
    roll(works, release, shadow_bp=just_in(release))
    assert works.check() is None
    return release


def answered(works: Works, rows: Path, plan: SurveyPlan = PLAN) -> Histogram:
    report = device.answer(plan, TASK, works.place, rows)
    drift.check(report, TASK, plan)
    return report.histograms[-1]


@pytest.mark.usefixtures("exact")
def test_both_releases_answer_the_same_rows(works: Works, rows: Path) -> None:
    beside(works, 2)
    found = np.array(answered(works, rows).counts).reshape(3, 2, 2)
    frame = machine_rows(300)
    columns = {name: frame[name].to_numpy() for name in ("load", "hour")} | {"site": frame["site"].to_numpy()}
    places = (works.place.releases / "1", works.place.beside / "2")
    one, other = (Predictor(place).predict_many(columns).argmax(axis=1) for place in places)
    wanted = np.zeros((3, 2, 2))
    np.add.at(wanted, ((frame["site"] == "south").cast(int).to_numpy(), one, other), 1)
    assert found.tolist() == wanted.tolist()
    assert 0 < np.trace(found, axis1=1, axis2=2).sum() < 300, "else the releases could not be told apart"
    assert agreement(histogram(found), TASK).value == pytest.approx((one == other).mean())


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("case", ["none beside", "another beside", "one that may answer", "damaged", "no rows"])
def test_a_device_that_cannot_compare_answers_with_noise_alone(case: str, works: Works, rows: Path) -> None:
    if case != "none beside":
        beside(works, 2)
    if case == "one that may answer":
        works.place.beside.joinpath("2").rename(works.place.releases / "2")
    if case == "damaged":
        (works.place.beside / "2" / "fp32.onnx").write_bytes(b"damaged")
    plan = replace(PLAN, shadow=7) if case == "another beside" else PLAN
    found = answered(works, rows.with_name("nowhere.parquet") if case == "no rows" else rows, plan)
    assert found.counts == (0.0,) * 12


def test_the_noise_is_there(works: Works, rows: Path) -> None:
    counts = np.array([answered(works, rows).counts for _ in range(40)])
    assert 3.5 < counts.std() < 6.5


@pytest.mark.usefixtures("exact")
def test_a_model_that_answers_no_number_counts_as_its_first_class() -> None:
    scores = np.array([[np.nan, np.nan], [0.2, 0.8], [np.nan, 0.1]])
    assert device._answers(scores).tolist() == [0, 1, 1]


# -- on the coordinator


def test_reports_are_checked_and_add_up() -> None:
    report = DriftReport(
        run_id=1, release=1,
        histograms=tuple(
            Histogram(name=one.name, edges=one.edges, counts=(7.0,) * one.size, noise=one.noise)
            for one in edges_of(TASK, PLAN)
        ),
    )  # fmt: skip
    merged = drift.merge([report] * 4, TASK, PLAN)[-1]
    assert (merged.name, set(merged.counts), merged.noise) == (AGREEMENT, {28.0}, 10.0)
    with pytest.raises(WireError, match="does not hold the histograms"):
        drift.check(report, TASK, PLAIN)
    assert AGREEMENT not in {one.name for one in drift.distributions(report.histograms)}


@pytest.mark.parametrize(("same", "other"), [(950, 50), (500, 500), (1000, 0), (0, 1000)])
def test_without_noise_the_share_is_the_rows_own(same: int, other: int) -> None:
    found = agreement(histogram([[[same, other], [0, 0]]]), small_task())
    assert found.value == same / (same + other)
    assert found.low <= found.value <= found.high
    assert found.band < 0.04


def test_little_beside_the_noise_tells_nothing() -> None:
    found = agreement(histogram([[[30.0, 2.0], [1.0, 25.0]]], noise=20.0), small_task())
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.7, 0.97, 1.0])
def test_the_band_holds_the_true_share_19_times_in_20(share: float) -> None:
    """Rows drawn anew and noise drawn anew, 2000 times."""
    random, held = np.random.default_rng(5), 0
    rows, noise = 3000, 20.0
    for _ in range(2000):
        same = random.binomial(rows, share)
        cells = np.array([same * 0.6, (rows - same) * 0.5, (rows - same) * 0.5, same * 0.4])
        found = agreement(histogram(cells + random.normal(0, noise, 4), noise=noise), small_task())
        held += found.low <= share <= found.high
    assert held / 2000 > 0.94


def test_three_classes_are_compared_by_name() -> None:
    task = small_task(label=Classes(column="stops", classes=("a", "b", "c")))
    cells = np.array([[90, 5, 5], [0, 100, 0], [10, 0, 90]])
    assert agreement(histogram(cells), task).value == pytest.approx(280 / 300)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "covey.db")
    opened.add_invitation("a", 2e10)
    opened.enrol("a", "a", b"a")
    opened.set_device_state("a", "approved")
    opened.add_task(TASK)
    for number in (1, 2):
        opened.add_initial_version("machines", 1, bytes(number))
        opened.add_release(release(number), ())
    return opened


def release(number: int) -> Release:
    return Release(
        number=number, task="machines", revision=1, version=number, trained_on=Window(), staged=number == 2,
        fallback=number - 1,
    )  # fmt: skip


def asked(store: Store, task: Task = TASK, *, shadow: bool = True) -> SurveyRequest:
    return planning.survey(
        store, task, window=Window(), role="current", features=False, quorum=None, deadline_seconds=9.0, shadow=shadow
    )


def say(store: Store, *, share_bp: int, shadow_bp: int) -> None:
    number = len(store.rollouts()) + 1
    document = Rollout(number=number, task="machines", release=2, share_bp=share_bp, shadow_bp=shadow_bp)
    store.add_rollout(document, why="", at=float(number))


def test_a_survey_names_the_release_that_answers_and_the_one_beside(store: Store) -> None:
    with closing(store):
        say(store, share_bp=1000, shadow_bp=5000)
        request = asked(store)
        assert (request.release, request.shadow) == (1, 2)
        plan = plan_survey(3, TASK, request)
        assert (plan.release, plan.shadow) == (1, 2)
        run = Run(
            id=3,
            task="machines",
            kind="survey",
            state="running",
            created_at=0.0,
            request=wire.to_json(request).decode(),
        )
        assert tuple(spending.survey_events(run, TASK)) == plan.events


def test_a_survey_without_it_is_of_the_release_in_force(store: Store) -> None:
    """A staged release that has not arrived is with a few devices; all the others would decline."""
    with closing(store):
        say(store, share_bp=1000, shadow_bp=5000)
        request = asked(store, shadow=False)
        assert (request.release, request.shadow) == (1, None)
        assert b"shadow" not in wire.to_json(request)


@pytest.mark.parametrize("shares", [None, (1000, 0), (5000, 5000)], ids=["no document", "no shadow", "no room"])
def test_where_nobody_tries_it_nobody_is_asked(shares: tuple[int, int] | None, store: Store) -> None:
    with closing(store):
        if shares:
            say(store, share_bp=shares[0], shadow_bp=shares[1])
        with pytest.raises(InputError, match="no device tries a release"):
            asked(store)


def test_releases_of_two_revisions_cannot_agree(store: Store) -> None:
    with closing(store):
        store.add_release(replace(release(2), number=3, fallback=2, revision=2), ())
        document = Rollout(number=9, task="machines", release=3, share_bp=0, shadow_bp=5000)
        store.add_rollout(document, why="", at=9.0)
        with pytest.raises(InputError, match="another question"):
            asked(store)


def test_a_result_that_compared_nothing_has_no_agreement() -> None:
    plain = SurveyResult(
        run_id=1, task="machines", release=1, role="current", window=Window(), devices=3, histograms=(), at=0.0
    )
    assert agreement_of(plain, TASK) is None
    found = agreement_of(replace(plain, histograms=(histogram(np.full((3, 2, 2), 100)),), shadow=2), TASK)
    assert found is not None
    assert math.isclose(found.value, 0.5)


# -- the command


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Release 2 is tried beside release 1."""
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(everyone=True))
    fleet.promote(2, Way(shadow=True))
    return fleet


@pytest.fixture
def covey(fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run `covey` in process; what it wrote."""

    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["covey", *words, "--home", str(fleet.federation.home)])
        with pytest.raises(SystemExit):
            covey_main.main()
        return "".join(capsys.readouterr())

    return run


def test_the_command_asks_and_says_what_came_of_it(
    fleet: Fleet, covey: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: object, store: Store, run: int) -> None:
        bins = next(one for one in edges_of(fleet.task, replace(PLAN, shadow=2)) if one.name == AGREEMENT)
        counts = histogram(np.tile([[475.0, 25.0], [0.0, 500.0]], (bins.size // 4, 1, 1)), noise=5.0)
        store.add_survey(
            SurveyResult(
                run_id=run, task="machines", release=1, role="current", window=Window(), devices=20, at=0.0, shadow=2,
                histograms=(counts,),
            )
        )  # fmt: skip
        store.set_run_state(run, "finished")

    monkeypatch.setattr("server.cli.follow.follow", answer)
    said = covey("survey", "--shadow", "--score-only", "--follow")
    assert "a current survey of release 1, and how release 2 agrees with it." in said
    assert "They name the same class for a share of 0.97 ± 0.01 of the rows." in said


def test_a_program_reads_the_run_that_was_queued(covey: Callable[..., str]) -> None:
    queued = json.loads(covey("survey", "--shadow", "--json"))
    assert json.loads(queued["request"])["shadow"] == 2


def test_rule_13_a_release_of_another_revision_is_compared_with_nothing_whatever_the_rows(tmp_path: Path) -> None:
    """One row whose likeliest class the task does not have must not take the others' counts with it."""
    from client.groups import cells_of

    task = small_task()
    beyond, within = np.array([0, 1, 2]), np.array([0, 1, 1])
    cells = cells_of(task, {}, (beyond, 2), (within, 2))
    fewer = cells_of(task, {}, (beyond[:2], 2), (within[:2], 2))
    assert int(np.abs(cells - fewer).sum()) == 1


def test_what_cannot_be_told_is_said_in_a_sentence_of_its_own() -> None:
    assert agreement_said(unknown()) == agreement_said(None)
    assert agreement_said(None).endswith("to tell how often they name the same class.")
    assert agreement_said(Estimate(value=0.9, low=0.88, high=0.92)) == (
        "They name the same class for a share of 0.90 ± 0.02 of the rows."
    )
