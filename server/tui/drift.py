"""The Drift view: the last surveys, and how far each distribution moved against its noise band."""

import math
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from server.records import SurveyResult
from server.tui import acts
from server.tui.acts import Act
from server.tui.charts import columns, joined
from server.tui.figures import histogram, reference_for, verdict
from server.tui.table import Cell, Column, Row, Table
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import SHIFT_MARKS, line, lines, muted, plural, stamp, strong, toned
from shared.drift import SCORE, Histogram, Shift
from shared.tasks import Task

SURVEYS = (
    Column("Survey", 6, right=True),
    Column("Score", 12),
    Column("Rows", 24, grow=True),
    Column("Role", 9),
    Column("Devices", 7, right=True, rank=1),
    Column("When", 16, rank=2),
)
LARGEST = 10.0
TICKS = {0.1: "0.1", 0.3: "0.3", 1.0: "1", 3.0: "3", 10.0: "10"}
MARGIN = 13
"""Cells left of a histogram, for its name."""

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShiftBar:
    """A PSI on a logarithmic scale from 0 to 10: its noise band shaded, the alarm as a line."""

    psi: float
    noise: float
    tone: str
    alarm: float | None = None

    def __call__(self, width: int) -> Content:
        """Draw the band, the shift over it, and the alarm over both."""
        cells = [("─", "$foreground 22%")] * width
        _paint(cells, position(self.noise, width), "▒", "$foreground 30%")
        _paint(cells, position(self.psi, width), "━", self.tone)
        if self.alarm is not None:
            cells[min(width - 1, position(self.alarm, width))] = ("┃", "$text-error")
        return joined(cells)


def _paint(cells: list[tuple[str, str]], until: int, glyph: str, tone: str) -> None:
    cells[:until] = [(glyph, tone)] * until


def position(psi: float, width: int) -> int:
    """Where a PSI lies on a bar of `width` cells; whatever is above zero takes at least one."""
    if psi <= 0:
        return 0
    return min(width, max(1, round(width * math.log1p(psi / 0.1) / math.log1p(LARGEST / 0.1))))


def scale(width: int) -> Content:
    """The bar's scale as a heading: each tick where its value lies, as far as they do not touch."""
    text = "0"
    for psi, label in TICKS.items():
        start = min(width, position(psi, width)) - len(label)
        if start > len(text):
            text = text.ljust(start) + label
    return Content(text)


SHIFTS = (
    Column("Distribution", 18),
    Column("", 11),
    Column("PSI", 6, right=True),
    Column("noise", 6, right=True),
    Column(scale, 12, grow=True),
)


class DriftView(View):
    """Surveys; the shifts that the selected one found; one distribution then and now."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "app.act('survey')", "Survey")]

    def panels(self) -> ComposeResult:
        """Two tables and the two histograms of the selected row."""
        yield framed(Table(SURVEYS, id="surveys"), "Surveys")
        yield framed(Table(SHIFTS, id="shifts"), "Shifts")
        yield Panel("Distribution", id="histograms")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Count a reference, then count again."""
        if snapshot.surveys:
            return None
        name = snapshot.tasks[0].name if snapshot.tasks else "TASK"
        return advice(
            "No survey has been taken yet.",
            (f"covey survey {name} --role reference", "counts what the model was trained on, with noise"),
            (f"covey survey {name}", "counts what devices see now, and compares"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """Newest survey first, and what the selected one found."""
        table = self.query_one("#surveys", Table)
        table.show([survey_row(survey) for survey in reversed(snapshot.surveys)])
        survey = self.survey()
        task = snapshot.task(survey.task) if survey else None
        if survey and task:
            self._show_survey(survey, task, reference_for(survey, snapshot.surveys))

    def survey(self) -> SurveyResult | None:
        """The survey under the cursor."""
        key = self.query_one("#surveys", Table).key
        return next((s for s in self.snapshot.surveys if str(s.run_id) == key), None) if self.snapshot else None

    def offer(self, action: str) -> Act | None:
        """Survey the task of the selected survey, or the first task."""
        snapshot, survey = self.snapshot, self.survey()
        task = snapshot.task(survey.task if survey else None) if snapshot else None
        if action != "survey" or snapshot is None or task is None or not snapshot.releases:
            return None
        return acts.survey(task, snapshot)

    def _show_survey(self, survey: SurveyResult, task: Task, reference: SurveyResult | None) -> None:
        shifts = self.query_one("#shifts", Table)
        shifts.border_subtitle = conclusion(survey, task)
        shifts.show([shift_row(shift, task) for shift in ranked(survey)])
        if not survey.shifts:
            shifts.show([Row(h.name, (strong(h.name), muted("· counted"), "", "", "")) for h in survey.histograms])
        panel, name = self.query_one("#histograms", Panel), shifts.key or SCORE
        panel.border_title = name
        then = reference if survey.role == "current" else survey
        current = survey if survey.role == "current" else None
        size = panel.content_size
        labels = labels_of(task, histogram(survey, name))
        panel.update(compare(histogram(then, name), histogram(current, name), labels, size.width, size.height))


def survey_row(survey: SurveyResult) -> Row:
    """One survey."""
    return Row(str(survey.run_id), (
        strong(str(survey.run_id)),
        score_word(survey),
        str(survey.window),
        survey.role,
        str(survey.devices),
        muted(stamp(survey.at)),
    ))  # fmt: skip


def score_word(survey: SurveyResult) -> Content:
    """The score's shift, and whether it alarms."""
    score = next((shift for shift in survey.shifts if shift.name == SCORE), None)
    if score is None:
        return muted("- baseline")
    return (
        toned(f"▲ {score.psi:.2f} alarm", "$text-error")
        if survey.alarm
        else toned(f"✓ {max(0, score.psi):.2f}", "$text-success")
    )


def ranked(survey: SurveyResult) -> list[Shift]:
    """The score first, then the largest shifts."""
    return sorted(survey.shifts, key=lambda shift: (shift.name != SCORE, -shift.psi))


def shift_row(shift: Shift, task: Task) -> Row:
    """One distribution."""
    kind = verdict(shift, task.drift.alarm_psi)
    mark, is_score = SHIFT_MARKS[kind], shift.name == SCORE
    tone = {"evident": "$warning", "steady": "$success", "unknown": "$foreground 60%"}[kind]
    drawn: Cell = ShiftBar(shift.psi, shift.noise, tone, task.drift.alarm_psi if is_score else None)
    cells = (strong(shift.name), mark.content(), f"{max(0.0, shift.psi):.2f}", muted(f"{shift.noise:.2f}"), drawn)
    return Row(shift.name, cells)


def conclusion(survey: SurveyResult, task: Task) -> Content:
    """What the survey says, in one line."""
    if not survey.shifts:
        return muted("a baseline: later surveys are compared with it")
    kinds = [verdict(shift, task.drift.alarm_psi) for shift in survey.shifts if shift.name != SCORE]
    alarm = (
        toned("▲ score above the alarm", "$text-error")
        if survey.alarm
        else toned("✓ score below the alarm", "$text-success")
    )
    return line(
        alarm,
        muted(f" at {task.drift.alarm_psi:g} · {kinds.count('evident')} of {plural(len(kinds), 'feature')} evident"),
    )


def compare(reference: Histogram | None, current: Histogram | None, labels: Labels, width: int, height: int) -> Content:
    """Reference above current on one horizontal scale, each as shares of its own total."""
    drawn = [(name, h, tone) for name, h, tone in (
        ("reference", reference, "$foreground 45%"), ("current", current, "$primary"),
    ) if h is not None]  # fmt: skip
    if not drawn:
        return muted("this survey did not count it")
    top = max(max(shares(h)) for _, h, _ in drawn) or 1.0
    tall = max(1, (height - 1) // len(drawn))
    cell = min(7, max(1, (width - MARGIN) // len(drawn[0][1].counts)))
    parts = [side(name, h, tone, top=top, tall=tall, cell=cell) for name, h, tone in drawn]
    return lines(*(each for part in parts for each in part), ruler(labels, len(drawn[0][1].counts), cell))


def shares(counts: Histogram) -> list[float]:
    """Noisy counts as shares of their total; noise below zero counts as zero."""
    positive = [max(0.0, count) for count in counts.counts]
    total = sum(positive) or 1.0
    return [count / total for count in positive]


def side(name: str, counts: Histogram, tone: str, *, top: float, tall: int, cell: int) -> list[Content]:
    """One histogram with its name and its noise beside it."""
    body = columns(shares(counts), height=tall, top=top, tone=tone, cell=max(1, cell - 1), gap=1 if cell > 1 else 0)
    marks = [name, f"noise ±{counts.noise:.0f}", f"max {max(shares(counts)):.0%}", *[""] * tall][:tall]
    return [line(muted(f"{mark:<{MARGIN}}"), row) for mark, row in zip(marks, body, strict=True)]


def labels_of(task: Task, counts: Histogram | None) -> Labels:
    """The words of a category, or the lower edges of numeric bins; `none` for what is missing or not declared."""
    if counts is None:
        return ()
    words = next((f.values for f in task.features if f.name == counts.name and f.kind == "category"), None)
    names = words or tuple(f"{edge:g}" for edge in counts.edges[:-1])
    return (*names, "none") if len(counts.counts) > len(names) else names


def ruler(labels: Labels, bins: int, cell: int) -> Content:
    """Labels under their columns, leaving out those that would touch the one before."""
    text = ""
    for index, label in enumerate(labels[:bins]):
        start = index * cell
        if not text or start > len(text):
            text = text.ljust(start) + label
    return muted(" " * MARGIN + text[: bins * cell + 3])
