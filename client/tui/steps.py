"""What the owner answered since the window was opened, step by step, so that each can be taken back."""

from dataclasses import dataclass

from client.served import Served
from client.tui.facts import TaskFacts

SKIPPED = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One answer: a class's word, or `SKIPPED`."""

    one: Served
    word: str


class Steps:
    """By task; what was skipped comes back when the window is opened again."""

    def __init__(self) -> None:
        """Nothing is answered yet."""
        self._steps: dict[str, list[Step]] = {}
        self._returned: dict[str, list[Served]] = {}

    def of(self, facts: TaskFacts) -> tuple[Step, ...]:
        """Every step for a task, oldest first."""
        return tuple(self._steps.get(facts.name, ()))

    def next_one(self, facts: TaskFacts) -> Served | None:
        """The first prediction that is neither labelled nor skipped."""
        answered = self._answered(facts)
        return next((one for one in self._asked(facts) if one.id not in answered), None)

    def left(self, facts: TaskFacts) -> int:
        """How many still wait, as far as this window knows."""
        asked, answered = self._asked(facts), self._answered(facts)
        unseen = facts.queue.waiting - len(facts.queue.first) if facts.queue else 0
        return unseen + sum(one.id not in answered for one in asked)

    def add(self, facts: TaskFacts, step: Step) -> None:
        """Note an answer."""
        self._steps.setdefault(facts.name, []).append(step)

    def take_back(self, facts: TaskFacts) -> Step | None:
        """Forget the last step, and say which it was."""
        steps = self._steps.get(facts.name)
        step = steps.pop() if steps else None
        if step:
            self._returned.setdefault(facts.name, []).insert(0, step.one)
        return step

    def forget(self, prediction: str) -> None:
        """An answer could not be kept, so it is asked for again."""
        for name, steps in self._steps.items():
            self._steps[name] = [step for step in steps if step.one.id != prediction]

    def _asked(self, facts: TaskFacts) -> list[Served]:
        """What was taken back, then what waits; the queue on disk may not know of the former again yet."""
        known = {
            one.id: one for one in (*self._returned.get(facts.name, ()), *(facts.queue.first if facts.queue else ()))
        }
        return list(known.values())

    def _answered(self, facts: TaskFacts) -> set[str]:
        return {step.one.id for step in self._steps.get(facts.name, ())}
