"""The Privacy view: what our plans cost each device at most, and what one more campaign would."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from server.modewords import HOLDS, least
from server.spending import MOST_CAMPAIGNS, Spending, campaign_event, course, epsilon, merged
from server.tui.charts import Stack, stacks
from server.tui.table import Column, Row, Table
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import line, lines, muted, plural, strong, toned
from shared.tasks import Task


def legend(width: int) -> Content:
    """What the bar's parts mean, as far as there is room."""
    long = "━ spent   ╍ one more campaign   │ ceiling"
    return Content(long if width >= len(long) else "━ spent ╍ next │ max")


SCALE = 7
"""Cells left of the course, for its scale."""
COLUMNS = (
    Column("Device", 14),
    Column("ε ≤", 5, right=True),
    Column(legend, 14, grow=True),
    Column("next", 5, right=True),
    Column("room for", 14),
    Column("Rounds", 6, right=True, rank=1),
    Column("Surveys", 7, right=True, rank=2),
)


class PrivacyView(View):
    """One task at a time: the newest run's, until a person moves on with `t`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("t", "app.next_task", "Next task")]
    picked: str | None = None

    def panels(self) -> ComposeResult:
        """What a campaign costs; who has spent what."""
        yield Panel("Ceiling", id="ceiling")
        yield framed(Table(COLUMNS, id="spending"), "Devices")
        yield Panel("Course", id="course")

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
        """One bar a device, the most spent first."""
        task = self.task_on_show(snapshot)
        if task is None:
            return
        rows = sorted(snapshot.spending(task), key=lambda each: (-each.epsilon, each.device))
        panel = self.query_one("#ceiling", Panel)
        panel.border_title = f"{task.name} · {task.title}"
        panel.update(summary(task, rows))
        table = self.query_one("#spending", Table)
        table.show([spending_row(each, task) for each in rows])
        if (drawn := self.query_one("#course", Panel)).display and table.key:
            drawn.border_title = f"{table.key} · ε after each charge"
            drawn.update(course_chart(table.key, task, snapshot, drawn.content_size.width, drawn.content_size.height))

    def next_task(self) -> None:
        """Move on to the next task, from the last to the first."""
        if self.snapshot and (now := self.task_on_show(self.snapshot)):
            names = [task.name for task in self.snapshot.tasks]
            self.picked = names[(names.index(now.name) + 1) % len(names)]
            self.refill()

    def task_on_show(self, snapshot: Snapshot) -> Task | None:
        """The task on show."""
        return snapshot.task(self.picked or (snapshot.runs[-1].task if snapshot.runs else None))


def summary(task: Task, rows: list[Spending]) -> Content:
    """The ceiling, the price of a campaign, and how many devices could pay it."""
    training, privacy = task.training, task.privacy
    price = epsilon(merged([campaign_event(training)]), privacy.delta)
    able = sum(each.campaigns_left > 0 for each in rows)
    tone = "$text-success" if able == len(rows) else "$text-warning"
    return lines(
        line(muted("ceiling   "), strong(f"ε {privacy.epsilon:g}"), muted(f" at δ {privacy.delta:g}, signed with the task")),
        line(
            muted("campaign  "), strong(f"ε {price:.2f}"),
            muted(f" by itself: {training.rounds} rounds of {training.steps} steps, noise {training.noise_multiplier:g}, "
                  f"rate {training.sample_rate:g}"),
        ),
        line(muted("next      "), toned(f"{able} of {plural(len(rows), 'device')} could take part in one more", tone)),
        bound_words(rows),
    )  # fmt: skip


def bound_words(rows: list[Spending]) -> Content:
    """What the figures are; and against whom they hold, once rounds are among them that not everyone is held off by."""
    trust = least(each.trust for each in rows)
    if trust == "everyone":
        return muted("Upper bounds from our own plans. What its owner granted only a device knows.")
    return line(muted("Upper bounds for single rows, "), toned(HOLDS[trust], "$text-warning"), muted("."))


def spending_row(each: Spending, task: Task) -> Row:
    """One device."""
    limit = task.privacy.epsilon
    scale = max(limit, each.after) * 1.02
    over = each.after > limit
    bar = Stack(
        (
            (each.epsilon / scale, "━", "$warning" if over else "$primary"),
            ((each.after - each.epsilon) / scale, "╍", "$error" if over else "$foreground 60%"),
        ),
        limit / scale,
    )
    then = toned(f"{each.after:.2f}", "$text-error" if over else "$foreground 60%")
    cells = (strong(each.device), f"{each.epsilon:.2f}", bar, then, room(each), str(each.rounds), str(each.surveys))
    return Row(each.device, cells)


def course_chart(device: str, task: Task, snapshot: Snapshot, width: int, height: int) -> Content:
    """How a device came to what it has spent, and where one more campaign would lead, below the ceiling."""
    most = width - SCALE
    if most < 1 or height < 4:
        return Content("")
    results = [result for rounds in snapshot.rounds.values() for result in rounds]
    found = course(device, task, results, snapshot.runs, most=most)
    limit, count = task.privacy.epsilon, len(found.spent) + len(found.further)
    each = min(6, max(1, most // max(1, count)))
    values = [
        *([(value, "$warning" if value > limit else "$primary")] for value in found.spent),
        *([(value, "$error" if value > limit else "$foreground 30%")] for value in found.further),
    ]
    drawn = stacks(values, height=height - 2, top=limit, cell=max(1, each - 1), gap=int(each > 1))
    marks = [f"ε {limit:g}", *[""] * (len(drawn) - 2), "0"]
    head = line(
        " " * SCALE, toned("■ ", "$primary"), muted("spent   "), toned("■ ", "$foreground 30%"),
        muted(f"one more campaign of {task.training.rounds} rounds   "), toned("▔▔ ", "$text-error"), muted("ceiling"),
    )  # fmt: skip
    wide = max(1, min(most, count * each))
    return lines(
        head, line(" " * SCALE, toned("▁" * wide, "$text-error")),
        *(line(muted(f"{mark:>{SCALE - 1}} "), row) for mark, row in zip(marks, drawn, strict=True)),
    )  # fmt: skip


def room(each: Spending) -> Content:
    """How many more campaigns fit."""
    if each.campaigns_left == 0:
        return toned("✕ no campaign", "$text-error")
    more = f"{MOST_CAMPAIGNS}+" if each.campaigns_left == MOST_CAMPAIGNS else str(each.campaigns_left)
    noun = "campaign" if each.campaigns_left == 1 else "campaigns"
    return toned(f"✓ {more} {noun}", "$text-success")
