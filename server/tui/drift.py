"""The Drift view: surveys, what the retraining policy made of them, and each distribution then, now and over time."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from server.records import SurveyResult
from server.tui import lifecycle_acts
from server.tui.campaign import fleet_size
from server.tui.commands import Act
from server.tui.counting import surveyable
from server.tui.driftrows import (
    SHIFTS,
    SURVEYS,
    columns_of,
    conclusion,
    contract_row,
    counted_row,
    ranked,
    rules_text,
    shift_row,
    survey_row,
)
from server.tui.figures import histogram, reference_for
from server.tui.histograms import compare
from server.tui.policy import asking, policy_text, said
from server.tui.sparkline import Point, history
from server.tui.table import Row, Table
from server.tui.taskview import TaskView
from server.tui.view import Panel, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import lines, muted, stamp, strong
from shared.drift import CONTRACT, SCORE
from shared.tasks import Task

MOST_LINES = 200
"""Of what the policy said, on a page of its own."""


class DriftView(TaskView):
    """Surveys beside the policy; the shifts of the selected survey; one distribution over time, then and now."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "app.survey", "Survey"),
        Binding("a", "app.act('accept')", "Accept"),
        Binding("n", "app.act('decline')", "Decline"),
    ]
    WORDS: ClassVar[dict[str, str]] = {
        "▂▄█": "so far: moved out of the noise, one column a survey",
        "───": "so far: no drift; a move of the alarm's size would have shown",
        "░░░": "so far: no evidence; the noise would hide such a move",
        "○": "over time: the figure, inside its noise band",
    }

    def panels(self) -> ComposeResult:
        """Two tables, and three panels."""
        with Horizontal(id="above"):
            yield framed(Table(SURVEYS, id="surveys"), "Surveys")
            yield Panel("Retraining", id="policy")
        with Horizontal(id="within"):
            yield framed(Table(SHIFTS, id="shifts"), "Shifts")
            with Vertical(id="one"):
                yield Panel("Over time", id="history")
                yield Panel("Then and now", id="histograms")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Count a reference, then count again; where devices run no release yet, make one first."""
        if snapshot.surveys:
            return None
        ready = surveyable(snapshot)
        if not ready:
            return advice(
                "No survey has been taken yet, because there is no release to survey.",
                ("3", "shows the versions; p promotes the one under the cursor"),
                ("covey promote VERSION", "tests a version and signs it as a release; devices are surveyed with it"),
            )
        name = ready[0].name
        return advice(
            "No survey has been taken yet.",
            (f"covey survey {name} --role reference", "counts what the model was trained on, with noise"),
            (f"covey survey {name}", "counts what devices see now, and compares"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """Newest survey first, what the selected one found, and what follows from all of them."""
        task = self.task_on_show(snapshot)
        if task is None:
            return
        surveys = [survey for survey in snapshot.surveys if survey.task == task.name and survey.role != "canary"]
        self.query_one("#surveys", Table).show([survey_row(survey, task) for survey in reversed(surveys)])
        self._show_policy(task, snapshot)
        survey = self.survey()
        if survey is not None and surveys:
            self._show_survey(survey, task, surveys)
        else:
            self._show_none(task)

    def survey(self) -> SurveyResult | None:
        """The survey under the cursor."""
        key = self.query_one("#surveys", Table).key
        return next((s for s in self.snapshot.surveys if str(s.run_id) == key), None) if self.snapshot else None

    def offer(self, action: str) -> Act | None:
        """An answer, while the policy asks."""
        task = self.task_on_show(self.snapshot) if self.snapshot else None
        if task is None or self.snapshot is None or (decision := asking(task, self.snapshot.decisions)) is None:
            return None
        if action == "accept":
            return lifecycle_acts.accept(task, decision, fleet=fleet_size(self.snapshot))
        return lifecycle_acts.decline(task, decision) if action == "decline" else None

    def page(self, table: Table, key: str, width: int) -> tuple[str, Content] | None:
        """All of a row; behind a survey, also all that the policy made of the surveys so far."""
        task = self.task_on_show(self.snapshot) if self.snapshot else None
        found = super().page(table, key, width)
        if found is None or task is None or self.snapshot is None or table.id != "surveys":
            return found
        policy = policy_text(task, self.snapshot.decisions, width, MOST_LINES, self.now)
        return f"Survey {key}", lines(found[1], "", strong("Retraining"), policy)

    def _show_policy(self, task: Task, snapshot: Snapshot) -> None:
        panel = self.query_one("#policy", Panel)
        size = panel.content_size
        panel.border_title = "Retraining" if len(snapshot.tasks) == 1 else f"Retraining · {task.name}"
        whole = len(said(task, snapshot.decisions, size.width, self.now)) <= size.height
        panel.border_subtitle = "" if whole or not self.survey() else muted("enter shows all")
        panel.update(policy_text(task, snapshot.decisions, size.width, size.height, self.now))

    def _show_survey(self, survey: SurveyResult, task: Task, surveys: list[SurveyResult]) -> None:
        shifts = self.query_one("#shifts", Table)
        shifts.border_subtitle = conclusion(survey, task)
        rows = [shift_row(shift, task, points(shift.name, surveys)) for shift in ranked(survey)]
        shifts.show([*(rows or map(counted_row, columns_of(survey))), *contract_rows(survey)])
        name = shifts.key or SCORE
        self._show_history(name, task, surveys)
        self._show_pair(name, survey, task, surveys)

    def _show_none(self, task: Task) -> None:
        shifts = self.query_one("#shifts", Table)
        shifts.show([])
        shifts.border_subtitle = ""
        ready = self.snapshot is not None and task in surveyable(self.snapshot)
        then = "v takes one" if ready else "it has no release to survey: promote a version first"
        for panel in (self.query_one("#history", Panel), self.query_one("#histograms", Panel)):
            panel.update(muted(f"No survey of {task.name} yet; {then}."))

    def _show_history(self, name: str, task: Task, surveys: list[SurveyResult]) -> None:
        panel = self.query_one("#history", Panel)
        if name == CONTRACT:
            panel.border_title = "contract"
            panel.update(
                muted("Rules are counted by themselves: a count above its noise is a broken rule, whatever was before.")
            )
            return
        panel.border_title = f"{name} · over time"
        found, size = points(name, surveys), panel.content_size
        panel.update(history(found, task.drift.alarm_psi, size.width, size.height, alarming=name == SCORE))

    def _show_pair(self, name: str, survey: SurveyResult, task: Task, surveys: list[SurveyResult]) -> None:
        panel = self.query_one("#histograms", Panel)
        if name == CONTRACT:
            panel.border_title = "contract"
            panel.update(rules_text(survey))
            return
        panel.border_title = f"{name} · then and now"
        then = reference_for(survey, surveys) if survey.role == "current" else survey
        current = survey if survey.role == "current" else None
        size = panel.content_size
        panel.update(compare(histogram(then, name), histogram(current, name), task, size.width, size.height))


def points(name: str, surveys: list[SurveyResult]) -> tuple[Point, ...]:
    """What each survey of what devices see found of one distribution, oldest first."""
    return tuple(
        Point(
            survey=survey.run_id,
            until=survey.window.end or stamp(survey.at),
            shift=next((shift for shift in survey.shifts if shift.name == name), None),
        )
        for survey in surveys
        if survey.role == "current"
    )


def contract_rows(survey: SurveyResult) -> list[Row]:
    """The contract's line, where its rules were counted."""
    return [contract_row(survey)] if survey.rules else []
