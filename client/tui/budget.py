"""The Budget view: what was granted, what is spent, and on what."""

from textual.app import ComposeResult
from textual.content import Content

from client.ledger import BURNT_SECONDS
from client.tui.facts import Meter, Snapshot, Spend, TaskFacts
from client.tui.text import BAD, GOOD, MUTED, WARN, ago, count, fit, meter, plain, stack, text
from client.tui.view import Panel, Rows, View

TIGHT = 0.9
"""From this share on, a budget is nearly spent."""

MARKS = {
    "sent": ("● sent", GOOD),
    "sealed": ("◐ waits to be sent", WARN),
    "charged": ("◌ under way", MUTED),
    "void": ("○ no longer wanted", MUTED),
}

BURNT = ("✕ interrupted", WARN)


class BudgetView(View):
    """A bar for each limit, then every charge."""

    def panels(self) -> ComposeResult:
        """Limits, then charges."""
        yield Panel("Privacy budget", id="meters")
        yield Rows("Charges", id="charges")

    def hint(self, snapshot: Snapshot) -> Content | None:  # noqa: ARG002 - a budget is there from the first day on
        """There is always a budget."""
        return None

    def fill(self, snapshot: Snapshot) -> None:
        """Bars above, charges below."""
        panel, rows = self.query_one("#meters", Panel), self.query_one("#charges", Rows)
        width = max(20, panel.content_size.width)
        notes = [words for facts in snapshot.tasks if (words := outlook(facts, snapshot))]
        panel.border_subtitle = f"δ {snapshot.delta:g} · only you see this"
        panel.update(stack(*(drawn(each, width) for each in snapshot.meters), *([""] if notes else []), *notes))
        rows.border_subtitle = f"{count(len(snapshot.spends), 'charge')}, never forgotten" if snapshot.spends else ""
        shown = [(str(each.id), spend_row(each, self.now, rows.room)) for each in snapshot.spends]
        rows.show(shown, empty=NOTHING)


NOTHING = "Nothing was charged yet. Each round or survey that this device answers is listed here."


def drawn(limit: Meter, width: int) -> Content:
    """One limit: its name, a bar, and the figures."""
    figures = f"ε {limit.spent:.2f} of {limit.granted:g}"
    name = max(18, min(34, width // 3))
    bar = max(4, width - name - 20)
    tone = "$error" if limit.share >= 1 else "$warning" if limit.share >= TIGHT else "$primary"
    words = plain(limit.what) if limit.days is None else plain(limit.what).replace("'s ", ", any ", 1)
    return text(fit((words, "bold"), name), " ", meter(limit.share, bar, tone), " ", fit(figures, 18, right=True))


def outlook(facts: TaskFacts, snapshot: Snapshot) -> Content | None:
    """What the budget still covers for one task."""
    if facts.task is None:
        return text(("▲ ", WARN), (plain(facts.trouble) or f"{facts.name} was not verified yet", MUTED))
    if snapshot.paused or not (facts.enabled and facts.agreed):
        why = "paused" if snapshot.paused else "switched off" if not facts.enabled else "not agreed to"
        return text(("○ ", MUTED), (facts.name, "bold"), (f" is {why}: it spends nothing.", MUTED))
    campaign = facts.task.training.rounds
    if facts.rounds_left == 0:
        return text(("✕ ", BAD), (facts.name, "bold"), (" has no room for another round; this device declines.", MUTED))
    whole = facts.rounds_left == campaign
    said = f" has room for {'a whole campaign of ' if whole else ''}{count(facts.rounds_left, 'more round')}."
    return text(
        ("✓ ", GOOD) if whole else ("▲ ", WARN),
        (facts.name, "bold"),
        (said.replace("more rounds.", "rounds.") if whole else said, MUTED),
    )


def is_burnt(each: Spend, now: float) -> bool:
    """Whether a charge was interrupted: no round takes so long, and nothing is computed under it again."""
    return each.state == "charged" and now - each.at > BURNT_SECONDS


def spend_row(each: Spend, now: float, width: int) -> Content:
    """One charge; its state and the running total stay longest where there is little room."""
    state, tone = BURNT if is_burnt(each, now) else MARKS.get(each.state, (each.state, MUTED))
    room = width - 12 - 20 - 12
    return text(
        fit((ago(each.at, now), MUTED), 12),
        fit(text((plain(each.task), "bold"), f"  {plain(each.purpose)}"), room),
        fit((state, tone), 20),
        fit(text(("ε ", MUTED), f"{each.epsilon:.3f}"), 12, right=True),
    )
