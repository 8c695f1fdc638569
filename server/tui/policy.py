"""What the retraining policy made of the surveys, and why: its terms, its newest word, and the words before."""

from collections.abc import Sequence
from textwrap import wrap

from textual.content import Content

from server.records import Decision
from server.tui.words import Mark, ago, line, lines, muted, plural, strong, toned
from shared.lifecycle import Retraining
from shared.tasks import Task

ACTS: dict[str, Mark] = {
    "wait": Mark("◌", "waits", "$foreground 60%"),
    "ask": Mark("?", "asks", "$text-warning"),
    "start": Mark("▸", "started a campaign", "$text-primary"),
    "decline": Mark("✕", "was told no", "$foreground 60%"),
}
DETECTORS = {"psi": "score PSI", "cusum": "daily loss, CUSUM", "adwin": "daily loss, ADWIN"}


def asking(task: Task, decisions: Sequence[Decision]) -> Decision | None:
    """The question that waits for an answer: the newest decision, if it asks."""
    own = [decision for decision in decisions if decision.task == task.name]
    return own[-1] if own and own[-1].act == "ask" else None


def policy_text(task: Task, decisions: Sequence[Decision], width: int, height: int, now: float) -> Content:
    """The newest decision with its reasons, the terms, then earlier decisions as far as there is room."""
    if task.retraining is None:
        return lines(
            muted("The task has no [retraining] table, so surveys inform"),
            muted("people and start nothing. s starts rounds."),
        )
    own = [decision for decision in decisions if decision.task == task.name]
    rows = [*_newest(own[-1], width, now), *_terms(task.retraining, width)] if own else _terms(task.retraining, width)
    head = [] if own else [muted("It has decided nothing yet: the next survey is its first.")]
    rows = [*head, *rows]
    room = height - len(rows) - 1
    earlier = own[-2::-1][:room] if room > 0 else []
    past = [Content(""), *(_past(decision, now) for decision in earlier)] if earlier else []
    return lines(*(row.truncate(width, ellipsis=True) for row in (*rows, *past)))


def _newest(decision: Decision, width: int, now: float) -> list[Content]:
    run = f" · run {decision.run_id}" if decision.run_id else ""
    rows = [
        line(ACTS[decision.act].content(), muted(f"{run} · {ago(decision.at, now)}")),
        *(
            [line(muted("you    "), strong("a"), " accepts, ", strong("n"), " declines")]
            if decision.act == "ask"
            else []
        ),
        *hung("why    ", decision.why, width, tone="bold"),
    ]
    if decision.informed:
        rows += hung("saw    ", f"{', '.join(decision.informed)} moved: that informs only", width)
    return rows


def _terms(terms: Retraining, width: int) -> list[Content]:
    alarms = " or ".join(DETECTORS[name] for name in terms.alarms)
    limit = f", up to ε {terms.max_epsilon:g}" if terms.max_epsilon else ""
    days = plural(terms.window_days, "day")
    asks = "asks first" if terms.ask_first else "starts by itself"
    return [
        *hung("when   ", f"{alarms} alarms; {asks}", width),
        *hung("then   ", f"learns {days}, every {plural(terms.pause_days, 'day')} at most{limit}", width),
    ]


def _past(decision: Decision, now: float) -> Content:
    return line(muted(f"{ago(decision.at, now):<9} "), ACTS[decision.act].content(), muted(f" · {decision.why}"))


def hung(label: str, text: str, width: int, *, tone: str = "$foreground") -> list[Content]:
    """A label and its text, further lines below the text's own beginning."""
    parts = wrap(text, max(8, width - len(label))) or [""]
    return [
        line(muted(label if place == 0 else " " * len(label)), toned(part, tone)) for place, part in enumerate(parts)
    ]
