"""The Consent view: what each task asks, whether its owner agreed, and what this device declined."""

import re
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from client.tui import acts
from client.tui.dialogs import Confirm
from client.tui.facts import Declined, Snapshot, TaskFacts
from client.tui.text import GOOD, MUTED, WARN, advice, ago, fit, plain, stack, text
from client.tui.view import Panel, Rows, View

DECLINED = 50


class ConsentView(View):
    """One task at a time; `t` moves on to the next."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "agree", "Agree"),
        Binding("w", "withdraw", "Withdraw"),
    ]

    def panels(self) -> ComposeResult:
        """How it stands, what the task asks, and what was declined."""
        yield Panel("Consent", id="standing")
        with VerticalScroll(id="asked", classes="panel"):
            yield Static(id="words")
        yield Rows("Declined by this device", id="declined")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Without a task there is nothing to agree to."""
        if snapshot.tasks:
            return None
        return advice("This device has no task.", {"covey-agent take TASK --data ROWS": "takes part in one"})

    def fill(self, snapshot: Snapshot) -> None:
        """The task on show."""
        facts = self.facts
        if facts is None:
            return
        standing, asked = self.query_one("#standing", Panel), self.query_one("#asked", VerticalScroll)
        standing.border_title = f"Consent to {plain(facts.name)}"
        standing.update(standing_words(facts, snapshot))
        asked.border_title = "What the task asks, as it is signed now"
        self.query_one("#words", Static).update(unwrapped(facts.explanation or facts.trouble))
        rows = self.query_one("#declined", Rows)
        several = len(snapshot.tasks) > 1
        shown = [
            (str(place), declined_row(each, self.now, rows.room, several=several))
            for place, each in enumerate(snapshot.declined[:DECLINED])
        ]
        rows.show(shown, empty="Nothing. Requests that it turns down are listed here, with the reason.")
        rows.border_subtitle = "the operator learns the category only" if shown else ""

    def focus_first(self) -> None:
        """The keyboard scrolls what the task asks."""
        (self if self.can_focus else self.query_one("#asked")).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Offer only what can be done."""
        facts = self.facts
        if action == "agree":
            return bool(facts and facts.task and not facts.agreed)
        return bool(facts and facts.agreed) if action == "withdraw" else True

    @work
    async def action_agree(self) -> None:
        """Ask once, with the task's own words, then agree to exactly these."""
        facts = self.facts
        if facts is None or facts.task is None:
            return
        question = Confirm(f"Agree to {plain(facts.name)}?", unwrapped(facts.explanation), "Agree")
        if await self.app.push_screen_wait(question):
            self.agent.ask(acts.agree(facts.place, facts.task, facts.explanation))

    @work
    async def action_withdraw(self) -> None:
        """Ask once, then withdraw."""
        if (facts := self.facts) is None:
            return
        words = stack(
            f"From now on {plain(facts.name)} gets nothing from this device: no training, no counts.",
            "Predictions go on. What was spent stays spent, and models that were trained do not unlearn.",
        )
        if await self.app.push_screen_wait(
            Confirm(f"Withdraw from {plain(facts.name)}?", words, "Withdraw", first="cancel", danger=True)
        ):
            self.agent.ask(acts.withdraw(facts.place))


def standing_words(facts: TaskFacts, snapshot: Snapshot) -> Content:
    """Whether this device takes part in a task, why, and which keys change it."""
    if facts.task is None:
        return text(("▲ ", WARN), plain(facts.trouble))
    agreed = ("✓ you agreed", GOOD) if facts.agreed else ("▲ you have not agreed to it as it is signed now", WARN)
    switched = "" if facts.enabled else ("   ○ switched off in agent.toml", MUTED)
    paused = ("   ▮▮ the agent is paused", WARN) if snapshot.paused else ""
    takes = facts.agreed and facts.enabled and not snapshot.paused
    means = "It may ask this device to train and to count." if takes else "It gets nothing from this device."
    return stack(
        text((plain(facts.task.title), "bold"), (f"  revision {facts.task.revision}", MUTED)),
        text(agreed, switched, paused),
        text((f"{means} Predictions go on anyway.", MUTED)),
    )


def unwrapped(words: str) -> Content:
    """Paragraphs that the screen wraps by itself."""
    return Content("\n\n".join(re.sub(r"\s*\n\s*", " ", part) for part in words.split("\n\n")))


def declined_row(each: Declined, now: float, width: int, *, several: bool) -> Content:
    """One refusal; of which task is said where there are several."""
    task = fit(plain(each.task), 14) if several else Content("")
    lead = text(fit((ago(each.at, now), MUTED), 11), task, fit((each.category, WARN), 13))
    return text(lead, fit((plain(each.detail), MUTED), width - lead.cell_length))
