"""Trees, stages, sparklines, spreads and grids keep their widths and say the same thing whatever they are given."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens import lifecycle_story, story

from server.estimates import Estimate
from server.records import GateVerdict, Progress, Run, RunKind, RunState
from server.tui.gatetable import facts_text, gates_text, summary
from server.tui.glyphs import in_ascii
from server.tui.lineagetree import tree
from server.tui.releasestate import Phase, put_aside
from server.tui.rolling import Stage
from server.tui.runwords import run_detail
from server.tui.sparkline import FLAT, FOG, HIGHEST, Point, Sparkline, history, spot
from server.tui.spread import affordable, bucket_of, spread
from server.tui.stagebar import PHASES, STAGE_STATES, stage_row
from server.tui.versiondiff import change, side_by_side
from server.tui.versionfacts import Fact
from shared import models
from shared.drift import Shift
from shared.enrolment import BUCKETS
from shared.models import ModelVersion

ALARM = 0.1
WIDTHS = st.integers(min_value=1, max_value=200)
FIGURES = st.floats(min_value=-0.5, max_value=30)
SHIFTS = st.builds(
    Shift, name=st.just("temp"), psi=FIGURES, noise=st.floats(min_value=0, max_value=5), devices=st.just(8)
)
POINTS = st.lists(
    st.builds(Point, survey=st.just(1), until=st.just("2013-07-08"), shift=st.none() | SHIFTS), max_size=40
).map(tuple)


def shift(psi: float, noise: float) -> Shift:
    return Shift(name="temp", psi=psi, noise=noise, devices=8)


def widest(text: str) -> int:
    return max(len(row) for row in text.split("\n"))


# -- sparklines ---------------------------------------------------------------------------------------


@given(POINTS, WIDTHS)
def test_a_sparkline_has_a_cell_a_survey_and_never_more_than_its_width(points: tuple[Point, ...], width: int) -> None:
    assert len(Sparkline(points, ALARM)(width).plain) == min(width, len(points))


@given(POINTS, WIDTHS, st.integers(1, 40))
def test_a_chart_never_leaves_its_frame(points: tuple[Point, ...], width: int, height: int) -> None:
    drawn = history(points, ALARM, width, height).plain
    if any(point.shift for point in points):
        assert widest(drawn) <= width
        assert len(drawn.split("\n")) <= max(1, height)


@given(SHIFTS)
def test_no_evidence_no_drift_and_drift_never_look_alike(found: Shift) -> None:
    glyph, _ = spot(found, ALARM)
    if found.evident:
        assert glyph in "▁▂▃▄▅▆▇"
    else:
        assert glyph == (FLAT if found.noise <= ALARM else FOG)
    assert spot(None, ALARM)[0] == " "


def test_a_larger_move_is_a_higher_column_and_none_fills_its_cell() -> None:
    glyphs = [spot(shift(psi, 0.01), ALARM)[0] for psi in (0.02, 0.1, 0.5, 2.0, 30.0)]
    assert glyphs == sorted(glyphs)
    assert glyphs[0] == "▁"
    assert glyphs[-1] == " ▁▂▃▄▅▆▇█"[HIGHEST]


def test_the_chart_shows_figures_inside_their_band_apart_from_those_outside() -> None:
    points = [
        Point(survey=n, until="2013-07-08", shift=each) for n, each in enumerate((shift(0.0, 0.5), shift(0.5, 0.02)))
    ]
    drawn = history(points, ALARM, 40, 9).plain.split("\n")
    assert any("○" in row for row in drawn)
    assert sum(FOG in row for row in drawn) > 3
    assert sum("█" in row for row in drawn) > 3
    assert [row for row in drawn if row.strip().startswith("0.1 ")]
    assert "07-08" in drawn[-1]


def test_the_alarm_is_a_line_across_the_chart() -> None:
    [row] = [
        row
        for row in history([Point(survey=1, until="", shift=shift(0.01, 0.02))], ALARM, 40, 9).plain.split("\n")
        if "0.1 " in row
    ]
    assert "─" in row


# -- the tree -----------------------------------------------------------------------------------------


def version(number: int, parent: int, run: int = 0, place: int = 0) -> ModelVersion:
    return ModelVersion(
        number=number, task="flights", revision=1, run_id=run, round_number=place, parent=parent, weights_sha256="0" * 64,
        stage="candidate", created_at=0.0,
    )  # fmt: skip


@st.composite
def families(draw: st.DrawFn) -> list[ModelVersion]:
    """Versions whose parents are older; a run goes on from the version before or begins somewhere else."""
    made = [version(1, 0)]
    run, place = 0, 0
    for number in range(2, draw(st.integers(2, 40))):
        goes_on = run > 0 and draw(st.booleans())
        run, place = (run, place + 1) if goes_on else (run + 1, 1)
        made.append(version(number, number - 1 if goes_on else draw(st.integers(0, number - 1)), run, place))
    return made


@given(families())
def test_an_open_tree_shows_every_version_once_with_its_ancestors_below(versions: list[ModelVersion]) -> None:
    nodes = tree(versions, opened={each.run_id for each in versions})
    order = [node.version.number for node in nodes if node.version]
    assert sorted(order) == [each.number for each in versions]
    assert all(order.index(each.number) < order.index(each.parent) for each in versions if each.parent)
    assert len({node.key for node in nodes}) == len(nodes)


@given(families(), st.sets(st.integers(1, 40)))
def test_a_folded_tree_hides_rounds_and_loses_none(versions: list[ModelVersion], kept: set[int]) -> None:
    nodes = tree(versions, kept=kept)
    shown = [node.version.number for node in nodes if node.version]
    assert len(shown) + sum(node.folded for node in nodes) == len(versions)
    assert kept & {each.number for each in versions} <= set(shown)
    assert len({node.key for node in nodes}) == len(nodes)


def test_a_campaign_folds_to_its_newest_version_and_a_branch_hangs_on_the_version_it_began_from() -> None:
    versions = [
        version(1, 0),
        *(version(n, n - 1, 1, n - 1) for n in range(2, 7)),
        version(7, 3, 2, 1),
        version(8, 7, 2, 2),
    ]
    drawn = [f"{node.lanes}{node.version.number if node.version else f'({node.folded})'}" for node in tree(versions)]
    assert drawn == ["8", "(1)", "│ 6", "├─(2)", "3", "(1)", "1"]


# -- stages -------------------------------------------------------------------------------------------

STAGES = st.lists(
    st.builds(
        Stage, percent=st.floats(0.1, 100), state=st.sampled_from(list(STAGE_STATES)), since=st.none() | st.floats(0, 1e6),
        devices=st.integers(0, 20_000), running=st.integers(0, 20_000),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@given(STAGES, WIDTHS)
def test_stages_stand_in_three_lines_within_their_width(stages: list[Stage], width: int) -> None:
    drawn = stage_row(stages, width, 2e6).plain.split("\n")
    assert len(drawn) == 3
    assert max(len(row) for row in drawn) <= width


def test_each_stage_says_its_share_its_state_and_who_runs_the_release() -> None:
    stages = [
        Stage(percent=10, state="done", since=0.0, devices=3, running=3),
        Stage(percent=50, state="open", since=3600.0, devices=14, running=7),
        Stage(percent=100, state="ahead", since=None, devices=29, running=7),
    ]
    head, bars, foot = stage_row(stages, 90, 7200.0).plain.split("\n")
    assert head.split() == ["✓", "10", "%", "done", "●", "50", "%", "open", "○", "100", "%", "ahead"]
    assert [bar.count("━") for bar in bars.split("  ")] == [28, 14, 7]
    assert "3 of 3 run it" in foot
    assert "7 of 14 run it · 1 h" in foot
    assert "would reach 29 devices" in foot


# -- gates, facts, differences -------------------------------------------------------------------------

VERDICTS = (
    GateVerdict(name="size", expected="at most 1,000,000 bytes", found="14212 bytes", passed=True),
    GateVerdict(name="AUC", expected="at least 0.7", found="0.650 (0.640 to 0.660)", passed=False),
    GateVerdict(
        name="calibration error", expected="at most 0.1", found="0.1 (0.08 to 0.12)", passed=False, undecided=True
    ),
)
FACTS = {
    "One": (Fact(name="noise", value="1.2"), Fact(name="AUC", value="0.7 (0.6 to 0.8)", estimate=Estimate(value=0.7, low=0.6, high=0.8))),
    "Two": (Fact(name="rows", value="the beginning to 2013-07-01"),),
}  # fmt: skip


@given(st.integers(1, 160))
def test_gates_facts_and_differences_never_pass_their_width(width: int) -> None:
    assert widest(gates_text(VERDICTS, width).plain) <= width
    assert widest(gates_text(VERDICTS, width, whole=True).plain) <= width
    assert widest(facts_text(FACTS, width, 3).plain) <= width
    assert widest(facts_text(FACTS, width, 30).plain) <= width
    assert widest(side_by_side(("v1", "v2"), FACTS, FACTS, width).plain) <= width


def test_what_did_not_pass_stands_first_and_undecided_is_its_own_word() -> None:
    rows = gates_text(VERDICTS, 90).plain.split("\n")[1:]
    assert [row.split()[1] for row in rows] == ["failed", "undecided", "passed"]
    assert "≥ 0.7" in rows[0]
    assert "≤ 1,000,000 B" in rows[2]
    assert summary(VERDICTS).plain == "✕ 1  ? 1"
    assert summary(VERDICTS[:1]).plain == "✓ all 1"
    assert summary(()).plain == "not run"


def test_the_page_of_a_version_tells_all_that_a_gate_expects() -> None:
    form = GateVerdict(name="form", expected="standard operators, nothing outside", found="as expected", passed=True)
    page = gates_text((*VERDICTS, form), 76, whole=True).plain
    assert "…" not in page
    assert "standard operators, nothing outside" in " ".join(page.replace("as expected", "").split())
    assert "…" in gates_text((*VERDICTS, form), 76).plain


@pytest.mark.parametrize(
    ("kind", "state", "share"),
    [("evaluate", "finished", "100%"), ("evaluate", "running", "0%"), ("survey", "finished", "100%")],
)
def test_what_asks_once_is_whole_once_it_finished(kind: RunKind, state: RunState, share: str) -> None:
    run = Run(
        id=9, task="flights", kind=kind, state=state, request="{}", created_at=1.0, started_at=2.0, finished_at=3.0
    )
    progress = Progress(run_id=9, round_number=1, rounds=1, phase="counting", cohort=8, returned=8, refused=0, at=3.0)
    said = run_detail(run, progress, (), 4.0, 60, plot=False, serving=True).plain
    assert f" {share}" in said.split("\n")[1]


def test_a_difference_within_its_bounds_is_not_called_one() -> None:
    one, near, far = (Estimate(value=v, low=v - 0.02, high=v + 0.02) for v in (0.7, 0.71, 0.8))
    assert "no evident difference" in change(one, near).plain
    assert change(one, far).plain == "+0.100 (+0.072 to +0.128): evident"


# -- spread and affordability --------------------------------------------------------------------------


@given(st.lists(st.floats(0, 20), max_size=60), st.floats(0.5, 10), WIDTHS, st.integers(1, 30))
def test_a_spread_never_leaves_its_frame(values: list[float], limit: float, width: int, height: int) -> None:
    drawn = spread(values, limit, width, height).plain
    assert widest(drawn) <= width
    assert len(drawn.split("\n")) <= max(1, height)


def test_a_spread_puts_each_device_below_the_ceiling_into_a_column() -> None:
    *_, foot, axis = spread([1.0, 1.1, 7.9], 8.0, 24, 4).plain.split("\n")
    assert [place for place in range(0, 24, 3) if foot[place : place + 2].strip()] == [3, 21]
    assert axis.split() == ["0", "ε", "8"]


@pytest.mark.parametrize(("campaigns", "bucket"), [(0, "0"), (1, "1"), (2, "2-4"), (4, "2-4"), (5, "5+"), (99, "5+")])
def test_campaigns_are_told_in_the_buckets_that_owners_use(campaigns: int, bucket: str) -> None:
    assert bucket_of(campaigns) == bucket
    assert bucket in BUCKETS


def test_owners_who_tell_nothing_are_counted(told: Path) -> None:
    store = story.Store(story.Federation(told).database)
    drawn = affordable((), store.devices(), "flights", 40).plain.split("\n")
    store.close()
    assert [row.split()[-1] for row in drawn[1:5]] == ["1", "2", "2", "1"]
    assert drawn[5] == "2 of 8 owners tell nothing"


# -- glyphs ------------------------------------------------------------------------------------------


def test_every_mark_has_a_stand_in_where_there_is_only_ascii() -> None:
    from server.tui.policy import ACTS
    from server.tui.versionstate import STANDINGS
    from server.tui.words import HEALTH_MARKS

    marks = [*STAGE_STATES.values(), *PHASES.values(), *HEALTH_MARKS.values(), *ACTS.values(), *STANDINGS.values()]
    shown = {mark.glyph for mark in marks if mark.glyph != "?"} | set(f"▁▂▃▄▅▆▇█{FLAT}{FOG}│├─┊○≠")
    assert [glyph for glyph in shown if in_ascii(glyph) == "?"] == []


def test_the_storys_cells_are_believable() -> None:
    better, worse = (lifecycle_story.cells(apart, seed=1) for apart in (0.8, 0.0))
    assert math.isclose(sum(better.counts), sum(worse.counts), rel_tol=0.05)
    assert mean_place(better.counts[20:]) > mean_place(worse.counts[20:]) + 1


def mean_place(counts: Sequence[float]) -> float:
    return sum(place * count for place, count in enumerate(counts)) / sum(counts)


# -- releases that were taken away --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "phase", "word"),
    [
        ("canary", "rolling", None),
        ("released", "complete", None),
        ("candidate", None, None),
        (None, "whole", None),
        ("halted", "halted", "halted"),
        ("halted", "rolling", "halted"),
        ("canary", "halted", "halted"),
        ("withdrawn", "halted", "withdrawn"),
        ("withdrawn", "complete", "withdrawn"),
    ],
)
def test_a_release_is_put_aside_by_its_version_or_by_its_rollout(
    stage: models.Stage | None, phase: Phase | None, word: str | None
) -> None:
    assert put_aside(stage, phase) == word
