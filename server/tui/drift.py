"""The Drift view: the last surveys, and how far each distribution moved against its noise band."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from server.records import SurveyResult
from server.tui.charts import joined
from server.tui.figures import Verdict, histogram, reference_for, verdict
from server.tui.histograms import compare
from server.tui.table import Cell, Column, Row, Table
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import ALARM, SHIFT_MARKS, line, lines, muted, stamp, strong, toned
from shared.drift import CONTRACT, OUTCOMES, SCORE, Histogram, Shift
from shared.tasks import Task

SURVEYS = (
    Column("Survey", 6, right=True),
    Column("Score", 12),
    Column("Rows", 24),
    Column("Role", 9),
    Column("Moved most", 12, rank=1, grow=True),
    Column("Devices", 7, right=True, rank=2),
    Column("When", 16, rank=3),
)
LARGEST = 10.0
TONES: dict[Verdict, str] = {
    "large": "$warning", "small": "$primary", "steady": "$success", "unknown": "$foreground 60%",
}  # fmt: skip
TICKS = {0.1: "0.1", 0.3: "0.3", 1.0: "1", 3.0: "3", 10.0: "10"}


@dataclass(frozen=True, slots=True)
class ShiftBar:
    """A PSI on a logarithmic scale from 0 to 10: its noise band shaded, the alarm as a line."""

    psi: float
    noise: float
    tone: str
    alarm: float
    alarming: bool = False

    def __call__(self, width: int) -> Content:
        """Draw the band, the shift over it, and the alarm over both."""
        cells = [("─", "$foreground 22%")] * width
        _paint(cells, position(self.noise, width), "▒", "$foreground 30%")
        _paint(cells, position(self.psi, width), "━", self.tone)
        tone = "$text-error" if self.alarming else "$foreground 45%"
        cells[min(width - 1, position(self.alarm, width))] = ("┃" if self.alarming else "│", tone)
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
    Column("", 13),
    Column("PSI", 6, right=True),
    Column("noise", 6, right=True),
    Column(scale, 12, grow=True),
)


class DriftView(View):
    """Surveys; the shifts that the selected one found; one distribution then and now."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "app.survey", "Survey")]

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

    def _show_survey(self, survey: SurveyResult, task: Task, reference: SurveyResult | None) -> None:
        shifts = self.query_one("#shifts", Table)
        shifts.border_subtitle = conclusion(survey, task)
        counted = [Row(h.name, (strong(h.name), muted("· counted"), "", "", "")) for h in columns_of(survey)]
        rows = [shift_row(shift, task) for shift in ranked(survey)] or counted
        shifts.show([*rows, *([contract_row(survey)] if survey.rules else [])])
        panel, name = self.query_one("#histograms", Panel), shifts.key or SCORE
        panel.border_title = name
        if name == CONTRACT:
            panel.border_title = "contract"
            panel.update(rules_text(survey))
            return
        then = reference if survey.role == "current" else survey
        current = survey if survey.role == "current" else None
        size = panel.content_size
        panel.update(compare(histogram(then, name), histogram(current, name), task, size.width, size.height))


def survey_row(survey: SurveyResult) -> Row:
    """One survey."""
    return Row(str(survey.run_id), (
        strong(str(survey.run_id)),
        score_word(survey),
        str(survey.window),
        survey.role,
        moved_most(survey),
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


def moved_most(survey: SurveyResult) -> Content:
    """The features that moved evidently, the largest first."""
    evident = [shift for shift in ranked(survey) if shift.evident and shift.name != SCORE]
    return muted(", ".join(f"{shift.name} {shift.psi:.2f}" for shift in evident) or "-")


def ranked(survey: SurveyResult) -> list[Shift]:
    """The score first, then the largest shifts."""
    return sorted(survey.shifts, key=lambda shift: (shift.name != SCORE, -shift.psi))


def shift_row(shift: Shift, task: Task) -> Row:
    """One distribution."""
    kind = verdict(shift, task.drift.alarm_psi)
    is_score = shift.name == SCORE
    mark = ALARM if is_score and kind == "large" else SHIFT_MARKS[kind]
    drawn: Cell = ShiftBar(
        shift.psi, shift.noise, "$error" if mark is ALARM else TONES[kind], task.drift.alarm_psi, is_score
    )
    cells = (strong(shift.name), mark.content(), f"{max(0.0, shift.psi):.3f}", muted(f"{shift.noise:.3f}"), drawn)
    return Row(shift.name, cells)


def columns_of(survey: SurveyResult) -> list[Histogram]:
    """The distributions that a survey counted; its cells are figures by themselves."""
    return [histogram for histogram in survey.histograms if histogram.name not in (CONTRACT, OUTCOMES)]


def contract_row(survey: SurveyResult) -> Row:
    """How many rules are broken by more rows than the noise makes up."""
    seen = sum(count.rows > count.band for count in survey.rules[:-1])
    word = toned(f"▲ {seen} broken", "$text-warning") if seen else toned("✓ kept", "$text-success")
    return Row(CONTRACT, (strong("contract"), word, "", "", ""))


def rules_text(survey: SurveyResult) -> Content:
    """Each rule with its rows, and the noise around them."""
    seen = [strong(str(count)) if count.rows > count.band else muted(str(count)) for count in survey.rules]
    return lines(muted("rows that break a rule first, with the noise 19 times in 20"), Content(""), *seen)


def conclusion(survey: SurveyResult, task: Task) -> Content:
    """What the survey says, in one line."""
    if not survey.shifts:
        return muted("a baseline: later surveys are compared with it")
    kinds = Counter(verdict(shift, task.drift.alarm_psi) for shift in survey.shifts if shift.name != SCORE)
    alarm = (
        toned("▲ score above alarm", "$text-error") if survey.alarm else toned("✓ score below alarm", "$text-success")
    )
    return line(
        alarm,
        muted(f" {task.drift.alarm_psi:g} · features "),
        line(
            *(toned(f"{kinds[kind]} {mark.word}", mark.tone) for kind, mark in SHIFT_MARKS.items() if kinds[kind]),
            gap=", ",
        ),
    )
