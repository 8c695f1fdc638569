"""What our plans cost each device at most: as rows, in a summary, and as the course of one device."""

from collections.abc import Sequence

from textual.content import Content

from server.modewords import HOLDS, least
from server.spending import MOST_CAMPAIGNS, Spending, campaign_event, course, epsilon, merged
from server.tui.budgets import in_words
from server.tui.charts import BLOCK, KEY, Stack, stacks
from server.tui.table import Column, Row
from server.tui.watcher import Snapshot
from server.tui.words import line, lines, muted, plain, plural, strong, toned
from shared.tasks import Task


def legend(width: int) -> Content:
    """What the bar's parts mean, as far as there is room."""
    long = "━ spent   ╍ one more campaign   │ ceiling"
    return Content(long if width >= len(long) else "━ spent ╍ next │ max")


NEXT = "▒"
"""What one more campaign would add."""
SCALE = 7
"""Cells left of the course, for its scale."""
SPENDING = (
    Column("Device", 14),
    Column("ε ≤", 5, right=True, name="epsilon"),
    Column(legend, 14, grow=True),
    Column("next", 5, right=True),
    Column("room for", 14),
    Column("Rounds", 6, right=True, rank=1),
    Column("Surveys", 7, right=True, rank=2),
)


def summary(task: Task, rows: Sequence[Spending], short: frozenset[str], width: int) -> Content:
    """The ceiling, the price of a campaign, and how many devices could pay it, but for those `short` of budget."""
    training, privacy = task.training, task.privacy
    price = epsilon(merged([campaign_event(training)]), privacy.delta)
    able = sum(each.campaigns_left > 0 and each.device not in short for each in rows)
    tone = "$text-success" if able == len(rows) else "$text-warning"
    spent = sorted(each.epsilon for each in rows) or [0.0]
    found = (
        line(muted("ceiling   "), strong(f"ε {plain(privacy.epsilon)}"), muted(f" at δ {privacy.delta:g}, signed")),
        line(muted("spent     "), strong(f"ε {spent[0]:.2f} to {spent[-1]:.2f}"), muted(f", half at most {spent[(len(spent) - 1) // 2]:.2f}")),
        line(
            muted("campaign  "), strong(f"ε {price:.2f}"),
            muted(f": {plural(training.rounds, 'round')}, noise {training.noise_multiplier:g}, rate {training.sample_rate:g}"),
        ),
        line(muted("next      "), toned(f"{able} of {plural(len(rows), 'device')} could join one more", tone)),
        *([toned(f"{'':10}{in_words(len(short))}", "$text-warning")] if short else []),
    )  # fmt: skip
    return lines(*(row.truncate(width, ellipsis=True) for row in found))


def bound_words(rows: Sequence[Spending]) -> Content:
    """What the figures are; and against whom they hold, once rounds are among them that not everyone is held off by."""
    trust = least(each.trust for each in rows)
    if trust == "everyone":
        return muted("Upper bounds from our plans; what is left only a device knows.")
    return line(muted("Upper bounds for single rows, "), toned(HOLDS[trust], "$text-warning"), muted("."))


def spending_row(each: Spending, task: Task, short: frozenset[str]) -> Row:
    """One device; for those `short` of budget by their own word there is no room, whatever our plans leave."""
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
    cells = (
        strong(each.device),
        f"{each.epsilon:.2f}",
        bar,
        then,
        room(each, short),
        str(each.rounds),
        str(each.surveys),
    )
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
        *([(value, BLOCK, "$warning" if value > limit else "$primary")] for value in found.spent),
        *([(value, NEXT, "$error" if value > limit else "$foreground 30%")] for value in found.further),
    ]
    drawn = stacks(values, height=height - 2, top=limit, cell=max(1, each - 1), gap=int(each > 1))
    marks = [f"ε {plain(limit)}", *[""] * (len(drawn) - 2), "0"]
    head = line(
        " " * SCALE, toned(f"{KEY} ", "$primary"), muted("spent   "), toned(f"{NEXT} ", "$foreground 30%"),
        muted(f"one more campaign of {task.training.rounds} rounds   "), toned("▔▔ ", "$text-error"), muted("ceiling"),
    )  # fmt: skip
    wide = max(1, min(most, count * each))
    return lines(
        head, line(" " * SCALE, toned("▁" * wide, "$text-error")),
        *(line(muted(f"{mark:>{SCALE - 1}} "), row) for mark, row in zip(marks, drawn, strict=True)),
    )  # fmt: skip


def room(each: Spending, short: frozenset[str]) -> Content:
    """How many more campaigns fit."""
    if each.device in short:
        return toned("✕ over budget", "$text-error")
    if each.campaigns_left == 0:
        return toned("✕ no campaign", "$text-error")
    more = f"{MOST_CAMPAIGNS}+" if each.campaigns_left == MOST_CAMPAIGNS else str(each.campaigns_left)
    noun = "campaign" if each.campaigns_left == 1 else "campaigns"
    return toned(f"✓ {more} {noun}", "$text-success")
