"""The Budget view: what was granted, what is spent, and on what."""

import math
from collections.abc import Iterator

from textual.app import ComposeResult
from textual.content import Content

from client.ledger import BURNT_SECONDS
from client.levels import LEVEL_NAMES, Line, Total
from client.meters import Meter
from client.tui.facts import Snapshot, Spend, TaskFacts
from client.tui.text import BAD, GOOD, MUTED, WARN, ago, count, fit, meter, plain, stack, stamp, text
from client.tui.view import Panel, Rows, View

TIGHT = 0.9
"""From this share on, a budget is nearly spent."""

ROOMY = 100
"""From this width on, a line has room for when something happened."""

MARKS = {
    "sent": ("● sent", GOOD),
    "sealed": ("◐ waits to be sent", WARN),
    "charged": ("◌ under way", MUTED),
    "void": ("○ no longer wanted", MUTED),
}

BURNT = ("✕ interrupted", WARN)


class BudgetView(View):
    """A bar for each limit and the sum at each level, then every charge, and the one under the cursor whole."""

    def panels(self) -> ComposeResult:
        """Limits, then charges."""
        yield Panel("Privacy budget", id="meters")
        yield Rows("Charges", id="charges")
        yield Panel("Charge", id="charge")

    def hint(self, snapshot: Snapshot) -> Content | None:  # noqa: ARG002 - a budget is there from the first day on
        """There is always a budget."""
        return None

    def fill(self, snapshot: Snapshot) -> None:
        """Bars above, charges below."""
        panel, rows = self.query_one("#meters", Panel), self.query_one("#charges", Rows)
        width = max(20, panel.content_size.width)
        notes = [words for facts in snapshot.tasks if (words := outlook(facts, snapshot))]
        sums = [level_row(each, width) for each in snapshot.levels] if snapshot.spends else []
        renewals = [words for each in snapshot.meters[:1] if (words := renewal(each))]
        panel.border_subtitle = f"δ {snapshot.delta:g} · only you see this"
        bars = [drawn(each, width) for each in snapshot.meters]
        panel.update(stack(*self.apart(bars, [*renewals, *notes], sums)))
        rows.border_subtitle = f"{count(len(snapshot.spends), 'charge')}, never forgotten" if snapshot.spends else ""
        shown = [(str(each.id), spend_row(each, self.now, rows.room)) for each in snapshot.spends]
        rows.show(shown, empty=NOTHING)
        self.detail()

    def apart(self, *parts: list[Content]) -> Iterator[Content | str]:
        """Parts one below the other, with a row between them where there is room for all three."""
        roomy = not self.screen.has_class("-short") or not all(parts)
        for number, part in enumerate(part for part in parts if part):
            yield from [""] if number and roomy else []
            yield from part

    def detail(self) -> None:
        """Show the charge under the cursor whole."""
        key, panel = self.query_one("#charges", Rows).key, self.query_one("#charge", Panel)
        found = next((each for each in self.snapshot.spends if str(each.id) == key), None) if self.snapshot else None
        panel.display = found is not None
        if found:
            panel.update(stack(*charge_words(found, panel.content_size.width)))

    def on_option_list_option_highlighted(self) -> None:
        """Details follow the cursor."""
        self.detail()


NOTHING = "Nothing was charged yet. Each round or survey that this device answers is listed here."


def drawn(limit: Meter, width: int) -> Content:
    """One limit: its name, a bar, and the figures."""
    figures = f"ε {limit.spent:.2f} of {limit.granted:g}" if math.isfinite(limit.spent) else "not protected"
    name = max(18, min(34, width // 3))
    bar = max(4, width - name - 20)
    tone = "$error" if limit.share >= 1 else "$warning" if limit.share >= TIGHT else "$primary"
    words = plain(limit.what) if limit.days is None else plain(limit.what).replace("'s ", ", any ", 1)
    return text(fit((words, "bold"), name), " ", meter(limit.share, bar, tone), " ", fit(figures, 18, right=True))


def renewal(limit: Meter) -> Content | None:
    """How the budget for rows renews, where they retire."""
    if limit.row_days is None:
        return None
    oldest = f"; the next charge stops counting on {day(limit.renews)}" if limit.renews else ""
    return text(("↻ ", GOOD), (f"Rows retire after {limit.row_days:g} days{oldest}.", MUTED))


def level_row(total: Total, width: int) -> Content:
    """What everything came to at one level, and whom that protects."""
    name = max(18, min(34, width // 3))
    figure = (f"ε {total.epsilon:.2f}", "bold") if total.epsilon is not None else (total.figure, WARN)
    short = {"record": total.trust, "device": total.adjacency, "alone": total.adjacency.rpartition(", ")[2]}
    words = short[total.level] if total.epsilon is not None else total.why
    return text(
        fit((f"in all, {LEVEL_NAMES[total.level]}", MUTED), name), " ", fit(figure, 10),
        fit((words, MUTED), width - name - 11),
    )  # fmt: skip


def charge_words(each: Spend, width: int) -> Iterator[Content]:
    """What a charge was for, which rows it touched, and each of its events with whom that protects."""
    when = f" at {stamp(each.at)} UTC" if width >= ROOMY else ""
    rows = f"rows dated {day(each.alive.start)} to {day(each.alive.end)}" if each.alive else "any row"
    yield text((plain(each.task), "bold"), f"  {plain(each.purpose)}", (f"{when}, for {rows}", MUTED))
    if not each.lines:
        yield text(("Paid for with the first round of its campaign.", MUTED))
    for level in dict.fromkeys(line.level for line in each.lines):
        same = [line for line in each.lines if line.level == level]
        against = f", {same[0].trust}" if level == "record" else ""
        yield text("; ".join(map(event_words, same)), (f"  {same[0].adjacency}{against}", MUTED))


def event_words(line: Line) -> str:
    """One event in as few letters as the literature takes."""
    return f"σ {line.noise_multiplier:.4g}, q {line.sample_rate:.4g}, {count(line.steps, 'step')}"  # noqa: RUF001 - sigma


def day(then: float) -> str:
    """A moment as its UTC date."""
    return stamp(then).partition(" ")[0]


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
