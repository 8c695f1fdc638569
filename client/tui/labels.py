"""The Labels view: one prediction at a time that the model was least sure of, and one key for what came of it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content

from client.queue import RECENT_DAYS
from client.served import Served
from client.tui import acts
from client.tui.facts import Snapshot, TaskFacts
from client.tui.record import record_of, scores_of
from client.tui.steps import SKIPPED, Step
from client.tui.text import GOOD, LEAD, MUTED, advice, ago, count, fit, plain, stack, stamp, text
from client.tui.view import Panel, View, titled
from shared.tasks import Task

REMEMBERED = 30


class LabelsView(View):
    """Digits choose the class, `s` skips, `u` undoes; what was skipped comes back when the window is opened again."""

    keyed = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(digit), f"label({digit})", f"class {digit}", show=False) for digit in range(1, 10)),
        Binding("s", "skip", "Skip"),
        Binding("u", "undo", "Undo"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Take keys from the start."""
        super().__init__(id=id)
        self.can_focus = True

    def panels(self) -> ComposeResult:
        """The question, the record, and what was answered."""
        with Container(id="asked"):
            yield Panel("What came of this?", id="question")
            yield Panel("The record", id="record")
        yield Panel("Answered now", id="answered")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Nothing waits."""
        facts = snapshot.of(self.picked)
        if facts is None or facts.task is None:
            return advice("This device has no task to label predictions for.", {})
        if facts.queue is None:
            return advice(
                "Nothing was predicted here yet, so there is nothing to label.",
                {"covey-agent run": "serves predictions to the applications on this device"},
            )
        return self._nothing_waits(facts) if self.agent.steps.next_one(facts) is None else None

    def _nothing_waits(self, facts: TaskFacts) -> Content:
        steps = self.agent.steps.of(facts)
        skipped = sum(step.word == SKIPPED for step in steps)
        done = (
            f" You labelled {len(steps) - skipped} and skipped {skipped}; u takes the last one back." if steps else ""
        )
        return advice(
            f"No prediction of the last {RECENT_DAYS:g} days waits for a label: the model was sure of the others, or "
            f"you told what came of them.{done}", {"the next one": "appears here by itself"},
        )  # fmt: skip

    def fill(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - the task on show has it all
        """The prediction on show."""
        facts = self.facts
        one = self.agent.steps.next_one(facts) if facts else None
        if facts is None or facts.task is None or one is None:
            return
        self._ask(facts, facts.task, one)
        panel = self.query_one("#record", Panel)
        explained = self.agent.explained(facts.place, one)
        columns = (*facts.task.numbers, *facts.task.texts)
        panel.update(record_of(one, columns, explained, panel.content_size))
        self._remember(facts)

    def _ask(self, facts: TaskFacts, task: Task, one: Served) -> None:
        panel = self.query_one("#question", Panel)
        classes = min(9, len(task.label.classes))
        keys = "1 or 2" if classes == 2 else f"1 to {classes}"
        panel.border_title = titled("What came of this?", facts, self.snapshot)
        panel.border_subtitle = f"{count(self.agent.steps.left(facts), 'prediction')} left"
        panel.update(
            stack(
                text((ago(one.at, self.now), "bold"), (f"  {stamp(one.at)} UTC, release {one.release}", MUTED)),
                "",
                scores_of(one, task.label.classes, panel.content_size.width, numbered=True),
                "",
                text((keys, LEAD), (" says what it was, ", MUTED), ("s", LEAD), (" skips, ", MUTED), ("u", LEAD),
                     (" takes the last one back", MUTED)),
            )
        )  # fmt: skip

    def _remember(self, facts: TaskFacts) -> None:
        steps = self.agent.steps.of(facts)
        panel = self.query_one("#answered", Panel)
        rows = [_step_words(step, panel.content_size.width) for step in reversed(steps[-REMEMBERED:])]
        why = text(("Labels stay on this device and teach it in the next round that it takes part in.", MUTED))
        panel.border_subtitle = f"{sum(step.word != SKIPPED for step in steps)} labelled" if steps else ""
        panel.update(stack(*rows) if rows else why)

    # -- what the keys do ---------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Offer only what can be done; digits stay here even then, so that none typed ahead turns to another view."""
        facts = self.facts
        if action == "skip":
            return bool(facts and self.agent.steps.next_one(facts))
        return bool(facts and self.agent.steps.of(facts)) if action == "undo" else True

    def action_label(self, digit: int) -> None:
        """Keep the class with that number for the prediction on show."""
        facts = self.facts
        one = self.agent.steps.next_one(facts) if facts else None
        if facts and facts.task and one and digit <= len(facts.task.label.classes):
            word = facts.task.label.classes[digit - 1]
            self.agent.steps.add(facts, Step(one=one, word=word))
            self.agent.ask(acts.label(facts.place, one.id, word))
            self._again()

    def action_skip(self) -> None:
        """Leave the prediction on show for another time."""
        facts = self.facts
        if facts and (one := self.agent.steps.next_one(facts)):
            self.agent.steps.add(facts, Step(one=one, word=SKIPPED))
            self._again()

    def action_undo(self) -> None:
        """Take the last answer back; the prediction is on show again."""
        facts = self.facts
        step = self.agent.steps.take_back(facts) if facts else None
        if facts and step and step.word != SKIPPED:
            self.agent.ask(acts.unlabel(facts.place, step.one.id))
        self._again()

    def failed(self, act: acts.Act) -> None:
        """A label that could not be kept is asked for again."""
        self.agent.steps.forget(act.about)
        self._again()

    def _again(self) -> None:
        self.agent.show()
        self.refresh_bindings()


def _step_words(step: Step, width: int) -> Content:
    said = ("· skipped", MUTED) if step.word == SKIPPED else (f"✓ {plain(step.word)}", GOOD)
    when = stamp(step.one.at)[5:]
    return text(fit(said, max(0, width - len(when) - 1)), " ", (when, MUTED))
