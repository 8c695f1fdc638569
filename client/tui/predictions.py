"""The Predictions view: the last answers given on this device, what came of them, and what spoke for each."""

from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Size

from client.served import Served
from client.tui.facts import Snapshot
from client.tui.record import record_of, scores_of
from client.tui.text import GOOD, MUTED, advice, ago, fit, meter, plain, stack, stamp, text
from client.tui.view import Panel, Rows, View, titled
from shared.tasks import Task


class PredictionsView(View):
    """A list, newest first, and the prediction under the cursor."""

    def panels(self) -> ComposeResult:
        """The list, then one prediction."""
        yield Rows("Last predictions", id="served")
        yield Panel("Prediction", id="prediction")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Nothing predicted yet."""
        facts = snapshot.of(self.picked)
        if facts is not None and facts.task is not None and facts.recent:
            return None
        if facts is not None and facts.trouble:
            return Content(plain(facts.trouble))
        if facts is not None and facts.release == 0:
            return advice(
                "No release answers on this device yet.",
                {"covey-agent update": "fetches the newest one that is signed for it"},
            )
        return advice(
            "Nothing was predicted on this device yet. Applications ask the agent over its socket; each answer is kept "
            "here, sealed, until its outcome comes or it grows old.",
            {"covey-agent run": "serves predictions", "covey-agent predict --record '{…}'": "asks once, from a shell"},
        )

    def fill(self, snapshot: Snapshot) -> None:
        """The list on one side, the prediction under the cursor on the other."""
        facts = self.facts
        if facts is None or facts.task is None:
            return
        rows = self.query_one("#served", Rows)
        rows.border_title = titled("Last predictions", facts, snapshot)
        rows.border_subtitle = f"the last {len(facts.recent)}" if len(facts.recent) > 1 else ""
        classes = facts.task.label.classes
        rows.show([(one.id, served_row(one, classes, self.now, rows.room)) for one in facts.recent])
        self.detail()

    def detail(self) -> None:
        """Show the prediction under the cursor whole."""
        facts, key = self.facts, self.query_one("#served", Rows).key
        one = next((one for one in facts.recent if one.id == key), None) if facts else None
        if facts is None or facts.task is None or one is None:
            return
        panel = self.query_one("#prediction", Panel)
        panel.border_subtitle = f"release {one.release}"
        panel.update(self._whole(one, facts.task, panel.content_size))

    def _whole(self, one: Served, task: Task, size: Size) -> Content:
        facts = self.facts
        explained = self.agent.explained(facts.place, one) if facts else None
        came = (
            text((f"✓ it was {plain(one.label)}", GOOD)) if one.label else text(("nobody told what came of it", MUTED))
        )
        columns = (*task.numbers, *task.texts)
        scores = scores_of(one, task.label.classes, size.width)
        rest = Size(size.width, size.height - len(task.label.classes) - 2)
        when = text((stamp(one.at), "bold"), (" UTC   ", MUTED), came)
        return stack(when, scores, "", record_of(one, columns, explained, rest))

    def on_option_list_option_highlighted(self) -> None:
        """Details follow the cursor."""
        self.detail()


def served_row(one: Served, classes: tuple[str, ...], now: float, width: int) -> Content:
    """One prediction: when, the answer, how likely, and what came of it."""
    best = max(range(len(one.scores)), key=one.scores.__getitem__)
    label = plain(classes[best]) if best < len(classes) else f"class {best + 1}"
    came = (f"✓ {plain(one.label)}", GOOD) if one.label else ("?", MUTED)
    name = min(20, 2 + max(len(each) for each in classes))
    spare = max(0, width - 11 - name - 6 - name - 2)
    return text(
        fit((ago(one.at, now), MUTED), 11), fit((label, "bold"), name), meter(one.scores[best], spare, "$primary"),
        f" {one.scores[best]:.2f} ", fit(came, name + 2),
    )  # fmt: skip
