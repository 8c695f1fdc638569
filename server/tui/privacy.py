"""The Privacy view: what our plans cost the fleet at most, what it can still afford, and what a campaign would cost."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content

from server.spending import Spending
from server.tui.budgets import allowed, over
from server.tui.calculatorpanel import Calculator
from server.tui.spendrows import SPENDING, bound_words, course_chart, spending_row, summary
from server.tui.spread import affordable, spread
from server.tui.table import Listing, Table
from server.tui.taskview import TaskView
from server.tui.view import Panel, advice, framed
from server.tui.watcher import Snapshot
from shared.tasks import Task


class PrivacyView(TaskView):
    """The ceiling and who can pay on top; devices beside the calculator; one device's course and the fleet's spread below."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "calculate", "Calculator")]
    seen: tuple[Snapshot, str] | None = None
    rows: tuple[Spending, ...] = ()
    allowed: Mapping[str, float] = MappingProxyType({})

    def panels(self) -> ComposeResult:
        """Four panels, one table, and the calculator."""
        with Horizontal(id="above"):
            yield Panel("Ceiling", id="ceiling")
            yield Panel("Campaigns left", id="affordable")
        with Horizontal(id="within"):
            yield framed(Table(SPENDING, id="spending"), "Devices")
            yield Calculator(id="calculator")
        with Horizontal(id="below"):
            yield Panel("Course", id="course")
            yield Panel("Spread", id="spread")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Without a task there is no ceiling, without devices no spend."""
        if not snapshot.tasks:
            return advice(
                "There is no task yet, so no device has spent anything.",
                ("covey task tasks/flights.toml", "publishes a task with its privacy ceiling"),
            )
        if not any(snapshot.charges.values()):
            return advice(
                "No device is approved yet, so nobody has spent anything.",
                ("covey invite", "prints an invitation"),
                ("covey approve NAME", "lets a device that joined take part"),
            )
        return None

    def fill(self, snapshot: Snapshot) -> None:
        """One bar a device, the most spent first; the rest follows from the same figures."""
        task = self.task_on_show(snapshot)
        if task is None:
            return
        rows = self._priced(task, snapshot)
        short = over(self.allowed)
        panel = self.query_one("#ceiling", Panel)
        panel.border_title = f"{task.name} · {task.title}"
        panel.update(summary(task, rows, short, panel.content_size.width))
        table = self.query_one("#spending", Table)
        table.border_subtitle = bound_words(rows)
        table.list(
            Listing(
                items=rows, key=lambda each: each.device, cells=lambda each: spending_row(each, task, short).cells,
                fields=spending_fields,
            )
        )  # fmt: skip
        self._show_fleet(task, rows, snapshot)
        self._show_course(task, snapshot)
        self.query_one(Calculator).show(task, snapshot.charges.get(task.name, ()), self.allowed)

    def action_calculate(self) -> None:
        """Show the calculator, wherever it is, and give it the keyboard."""
        self.add_class("-calculating")
        self.query_one(Calculator).begin()

    @on(Calculator.Left)
    def leave(self) -> None:
        """Back to the devices."""
        self.remove_class("-calculating")
        self.query_one("#spending", Table).focus()

    def _priced(self, task: Task, snapshot: Snapshot) -> tuple[Spending, ...]:
        """What each device has spent and says of its budget, worked out anew when the store moved or the task changed."""
        if self.seen is None or self.seen[0] is not snapshot or self.seen[1] != task.name:
            self.seen = (snapshot, task.name)
            self.allowed = allowed(task, snapshot)
            self.rows = tuple(sorted(snapshot.spending(task), key=lambda each: (-each.epsilon, each.device)))
        return self.rows

    def _show_fleet(self, task: Task, rows: tuple[Spending, ...], snapshot: Snapshot) -> None:
        drawn, left = self.query_one("#spread", Panel), self.query_one("#affordable", Panel)
        size = drawn.content_size
        drawn.update(spread([each.epsilon for each in rows], task.privacy.epsilon, size.width, size.height))
        left.update(affordable(rows, snapshot.devices, task.name, left.content_size.width))

    def _show_course(self, task: Task, snapshot: Snapshot) -> None:
        drawn, table = self.query_one("#course", Panel), self.query_one("#spending", Table)
        if drawn.display and table.key:
            drawn.border_title = f"{table.key} · ε after each charge"
            drawn.update(course_chart(table.key, task, snapshot, drawn.content_size.width, drawn.content_size.height))


def spending_fields(each: Spending) -> dict[str, str | float | None]:
    """What queries and exports know of a device's spend."""
    return {
        "device": each.device, "spent": each.epsilon, "next": each.after, "campaigns": float(each.campaigns_left),
        "rounds": float(each.rounds), "surveys": float(each.surveys),
    }  # fmt: skip
