"""Surveys and shifts as rows, and what a survey says in one line."""

from collections import Counter

from textual.content import Content

from server.records import SurveyResult
from server.tui.figures import verdict
from server.tui.shiftbar import TONES, ShiftBar, scale
from server.tui.sparkline import Point, Sparkline
from server.tui.table import Cell, Column, Row
from server.tui.words import ALARM, SHIFT_MARKS, line, lines, muted, stamp, strong, toned
from shared.drift import CONTRACT, SCORE, Histogram, Shift
from shared.tasks import Task, Window

SURVEYS = (
    Column("Run", 4, right=True),
    Column("Score", 13),
    Column("Rows", 22, grow=True),
    Column("Role", 9, rank=2),
    Column("Moved most", 16, rank=1, grow=True),
    Column("Devices", 7, right=True, rank=3),
    Column("When", 16, rank=4),
)
SHIFTS = (
    Column("Distribution", 18),
    Column("Verdict", 13),
    Column("PSI", 6, right=True),
    Column("noise", 6, right=True),
    Column("so far", 14, grow=True),
    Column(scale, 16, rank=1, grow=True),
)


def survey_row(survey: SurveyResult, task: Task) -> Row:
    """One survey."""
    return Row(str(survey.run_id), (
        strong(str(survey.run_id)),
        score_word(survey, task),
        rows_of(survey),
        survey.role,
        moved_most(survey),
        str(survey.devices),
        muted(stamp(survey.at)),
    ))  # fmt: skip


def rows_of(survey: SurveyResult) -> str:
    """Which rows were counted, as `--window` has it."""
    return f"{survey.window.start}..{survey.window.end}" if survey.window != Window() else "all rows"


def score_word(survey: SurveyResult, task: Task) -> Content:
    """The score's shift and what it means: an alarm, a move, none, or that nobody can tell."""
    score = score_of(survey)
    if score is None:
        return muted("- baseline")
    if survey.alarm:
        return toned(f"▲ {score.psi:.2f} alarm", ALARM.tone)
    kind = verdict(score, task.drift.alarm_psi)
    mark = SHIFT_MARKS[kind]
    said = mark.word if kind == "unknown" else f"{max(0, score.psi):.2f} {mark.word}"
    return toned(f"{mark.glyph} {said}", mark.tone)


def score_of(survey: SurveyResult) -> Shift | None:
    """How far the score moved, if the survey compared it."""
    return next((shift for shift in survey.shifts if shift.name == SCORE), None)


def moved_most(survey: SurveyResult) -> Content:
    """The features that moved evidently, the largest first."""
    evident = [shift for shift in ranked(survey) if shift.evident and shift.name != SCORE]
    return muted(", ".join(f"{shift.name} {shift.psi:.2f}" for shift in evident) or "-")


def ranked(survey: SurveyResult) -> list[Shift]:
    """The score first, then the largest shifts."""
    return sorted(survey.shifts, key=lambda shift: (shift.name != SCORE, -shift.psi))


def shift_row(shift: Shift, task: Task, points: tuple[Point, ...]) -> Row:
    """One distribution: its verdict, its figures, and how it moved over all surveys so far."""
    kind = verdict(shift, task.drift.alarm_psi)
    is_score = shift.name == SCORE
    mark = ALARM if is_score and kind == "large" else SHIFT_MARKS[kind]
    drawn: Cell = ShiftBar(
        shift.psi, shift.noise, "$error" if mark is ALARM else TONES[kind], task.drift.alarm_psi, is_score
    )
    course = Sparkline(points, task.drift.alarm_psi, is_score)
    figures = (f"{max(0.0, shift.psi):.3f}", muted(f"{shift.noise:.3f}"))
    return Row(shift.name, (strong(shift.name), mark.content(), *figures, course, drawn))


def counted_row(counted: Histogram) -> Row:
    """One distribution of a survey that compared nothing."""
    return Row(counted.name, (strong(counted.name), muted("· counted"), "", "", "", ""))


def columns_of(survey: SurveyResult) -> list[Histogram]:
    """The distributions that a survey counted; its cells are figures by themselves."""
    return [histogram for histogram in survey.histograms if not histogram.name.startswith("@")]


def contract_row(survey: SurveyResult) -> Row:
    """How many rules are broken by more rows than the noise makes up."""
    seen = sum(count.rows > count.band for count in survey.rules[:-1])
    word = toned(f"▲ {seen} broken", "$text-warning") if seen else toned("✓ kept", "$text-success")
    return Row(CONTRACT, (strong("contract"), word, "", "", "", ""))


def rules_text(survey: SurveyResult) -> Content:
    """The rows that keep the contract, then each rule with its rows and the noise around them, the broken ones first."""
    ranked = sorted(survey.rules[:-1], key=lambda count: count.rows <= count.band)
    seen = [
        strong(str(count)) if count.rows > count.band else muted(str(count)) for count in (*survey.rules[-1:], *ranked)
    ]
    return lines(muted("rows that break a rule first, with the noise 19 times in 20"), Content(""), *seen)


def conclusion(survey: SurveyResult, task: Task) -> Content:
    """What the survey says, in one line."""
    if not survey.shifts:
        return muted("a baseline: later surveys are compared with it")
    kinds = Counter(verdict(shift, task.drift.alarm_psi) for shift in survey.shifts if shift.name != SCORE)
    return line(
        score_says(survey, task),
        muted(f" {task.drift.alarm_psi:g} · features "),
        line(
            *(toned(f"{kinds[kind]} {mark.word}", mark.tone) for kind, mark in SHIFT_MARKS.items() if kinds[kind]),
            gap=", ",
        ),
    )


def score_says(survey: SurveyResult, task: Task) -> Content:
    """Whether the score alarms; that noise hides it is not that it does not."""
    if survey.alarm:
        return toned("▲ score above alarm", ALARM.tone)
    score = score_of(survey)
    if score is not None and verdict(score, task.drift.alarm_psi) == "unknown":
        return toned("? score hidden by noise, alarm", SHIFT_MARKS["unknown"].tone)
    return toned("✓ score below alarm", SHIFT_MARKS["steady"].tone)
