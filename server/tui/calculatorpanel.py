"""The calculator: what a campaign of these numbers would cost, worked out anew with every key."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label, Static

from server.spending import MOST_CAMPAIGNS, Charges
from server.tui.budgets import in_words
from server.tui.charts import segments
from server.tui.commands import command_line
from server.tui.reckoning import FIELDS, Reckoned, Typed, command, hints, problems, reckon, usual
from server.tui.words import line, lines, muted, plain, plural, strong, toned
from shared.tasks import Task

SIGNED = {"noise_multiplier": "the noise is", "sample_rate": "the rate is"}
CORNER = 14
"""Cells of a grid's first column."""


class Calculator(Vertical):
    """Three fields, and what follows from them; `esc` goes back to the view."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    class Left(Message):
        """The person is done calculating."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Begin without a task."""
        super().__init__(id=id, classes="panel")
        self.border_title = "Calculator · noise of each device"
        self.reckoned_for: Task | None = None
        self.charges: tuple[Charges, ...] = ()
        self.allowed: Mapping[str, float] = {}

    def compose(self) -> ComposeResult:
        """The fields with a hint each, then the answer."""
        for name, title in FIELDS.items():
            with Horizontal(classes="field"):
                yield Label(title)
                yield Input(id=f"calculate-{name}", compact=True)
                yield Static(id=f"{name}-hint", classes="hint")
        yield Static(id="answer")

    def show(self, task: Task, charges: tuple[Charges, ...], allowed: Mapping[str, float]) -> None:
        """Take a task, whose own numbers are the first, what its plans have charged so far, and what devices say."""
        anew = self.reckoned_for is None or self.reckoned_for.name != task.name
        if not anew and (self.reckoned_for, self.charges, self.allowed) == (task, charges, allowed):
            return
        self.reckoned_for, self.charges, self.allowed = task, charges, allowed
        if anew:
            for name, value in zip(FIELDS, (usual(task).noise, usual(task).rounds, usual(task).rate), strict=True):
                self.query_one(f"#calculate-{name}", Input).value = value
        self.answer()

    def typed(self) -> Typed:
        """What the fields hold."""
        values = {name: self.query_one(f"#calculate-{name}", Input).value.strip() for name in FIELDS}
        return Typed(**values)

    @on(Input.Changed)
    def answer(self) -> None:
        """Reckon, or say which number is none."""
        task = self.reckoned_for
        if task is None:
            return
        typed = self.typed()
        wrong = problems(typed)
        for name, hint in hints(task).items():
            text = toned(f"✕ {wrong[name]}", "$text-error") if name in wrong else muted(hint)
            self.query_one(f"#{name}-hint", Static).update(text)
        told = self.query_one("#answer", Static)
        if wrong:
            told.update(toned(f"✕ set right: {', '.join(FIELDS[name].lower() for name in wrong)}", "$text-error"))
        else:
            width = max(20, self.content_size.width)
            found = reckon(typed, task, self.charges, self.allowed)
            told.update(answer_text(found, typed, task, width, self._home()))

    def on_resize(self) -> None:
        """The bar is as wide as the panel."""
        self.call_after_refresh(self.answer)

    def begin(self) -> None:
        """Give the keyboard to the first field."""
        self.query_one(f"#calculate-{next(iter(FIELDS))}", Input).focus()

    def action_leave(self) -> None:
        """Go back."""
        self.post_message(self.Left())

    def _home(self) -> Path:
        home = getattr(self.app, "home", None)
        return home if isinstance(home, Path) else Path()


def answer_text(found: Reckoned, typed: Typed, task: Task, width: int, home: Path) -> Content:
    """The price, what it leaves of the ceiling, who could pay, what else would fit, and the command."""
    limit = task.privacy.epsilon
    count = f"{MOST_CAMPAIGNS}+" if found.campaigns == MOST_CAMPAIGNS else str(found.campaigns)
    over = found.epsilon > limit
    scale = max(limit, found.epsilon) * 1.02
    rows = [
        line(
            toned(f"ε {found.epsilon:.3f}", f"bold {'$text-error' if over else '$text-success'}"),
            muted(f" each device, by itself; ceiling {plain(limit)} at δ {task.privacy.delta:g}"),
        ),
        segments([(found.epsilon / scale, "━", "$error" if over else "$primary")], width, limit=limit / scale),
        line(strong(count), muted(f" such {'campaign fits' if found.campaigns == 1 else 'campaigns fit'} under it, or one of "),
             strong(plural(found.most_rounds, "round"))),
        *_able(found),
        *_refused(found),
        toned(command_line(command(typed, task), home), "$text-primary"),
        "",
        *grid(found, limit, width),
    ]  # fmt: skip
    return lines(*rows)


def _able(found: Reckoned) -> list[Content]:
    if not found.fleet:
        return [muted("no device is approved yet")]
    tone = "$text-success" if found.able == found.fleet else "$text-warning" if found.able else "$text-error"
    glyph = "✓" if found.able == found.fleet else "▲" if found.able else "✕"
    able = toned(f"{glyph} {found.able} of {plural(found.fleet, 'device')} could pay", tone)
    told = [toned(f"▲ {in_words(found.short)}", "$text-warning")] if found.short else []
    return [line(able, muted(f"; the most spent: then {found.after:.2f}")), *told]


def _refused(found: Reckoned) -> list[Content]:
    if not found.refused:
        return []
    return [
        toned(
            f"✕ devices would refuse: {SIGNED.get(found.refused, found.refused)} outside what was signed", "$text-error"
        )
    ]


def grid(found: Reckoned, limit: float, width: int) -> list[Content]:
    """Epsilon by noise and rounds near these numbers; what passes the ceiling is marked. No line is wider than `width`."""
    rounds = sorted({count for _, count, _ in found.grid})
    noises = sorted({noise for noise, _, _ in found.grid})
    cost = {(noise, count): epsilon for noise, count, epsilon in found.grid}
    here, wide = (found.training.noise_multiplier, found.training.rounds), min(12, (width - CORNER) // len(rounds))
    head = muted(f"{'noise, rounds':<{CORNER}}" + "".join(f"{count:>{wide}}" for count in rounds))
    body = [
        line(
            muted(f"{noise:<{CORNER}g}"),
            *(_cell(cost[noise, count], limit, wide, here=here == (noise, count)) for count in rounds),
        )
        for noise in noises
    ]
    return [row.truncate(width) for row in (head, *body)]


def _cell(epsilon: float, limit: float, width: int, *, here: bool) -> Content:
    text = f"{'✕ ' if epsilon > limit else '▸ ' if here else ''}{epsilon:.2f}"
    tone = "$text-error" if epsilon > limit else "bold $text-primary" if here else "$foreground"
    return toned(f"{text:>{width}}", tone)
