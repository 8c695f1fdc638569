"""What the retraining policy made of the surveys, and why: its terms, its newest word, and the words before."""

from collections.abc import Sequence
from textwrap import wrap

from textual.content import Content

from server.records import Decision
from server.tui.words import Mark, ago, line, lines, muted, plain, plural, strong, toned
from shared.lifecycle import Retraining
from shared.tasks import Task

ACTS: dict[str, Mark] = {
    "wait": Mark("◌", "waits", "$foreground 60%"),
    "ask": Mark("?", "asks", "$text-warning"),
    "start": Mark("▸", "started a campaign", "$text-primary"),
    "decline": Mark("✕", "was told no", "$foreground 60%"),
}
MUTED = "$foreground 60%"
NO_TERMS = "The task has no [retraining] table, so surveys inform people and start nothing. s starts rounds."
DETECTORS = {"psi": "score PSI", "cusum": "daily loss, CUSUM", "adwin": "daily loss, ADWIN"}


def asking(task: Task, decisions: Sequence[Decision]) -> Decision | None:
    """The question that waits for an answer: the newest decision, if it asks."""
    own = [decision for decision in decisions if decision.task == task.name]
    return own[-1] if own and own[-1].act == "ask" else None


def policy_text(task: Task, decisions: Sequence[Decision], width: int, height: int, now: float) -> Content:
    """The newest decision with its reasons, the terms, then earlier decisions as far as there is room.

    Where not even the terms have room, what was decided and why come first, then each other fact that fits into a line.
    """
    rows = said(task, decisions, width, now)
    own = [decision for decision in decisions if decision.task == task.name]
    if len(rows) > height and task.retraining is not None and own:
        return lines(
            *(row.truncate(width, ellipsis=True) for row in _short(own[-1], task.retraining, width, height, now))
        )
    room = height - len(rows) - 1
    earlier = own[-2::-1][:room] if room > 0 else []
    past = [Content(""), *(_past(decision, now) for decision in earlier)] if earlier else []
    return lines(*(row.truncate(width, ellipsis=True) for row in (*rows, *past)))


def said(task: Task, decisions: Sequence[Decision], width: int, now: float) -> list[Content]:
    """The newest decision and the terms in full, or what stands for them where there are none."""
    if task.retraining is None:
        return hung("", NO_TERMS, width, tone=MUTED)
    own = [decision for decision in decisions if decision.task == task.name]
    if not own:
        head = hung("", "It has decided nothing yet: the next survey is its first.", width, tone=MUTED)
        return [*head, *_terms(task.retraining, width)]
    return [*_newest(own[-1], width, now), *_terms(task.retraining, width)]


def _newest(decision: Decision, width: int, now: float) -> list[Content]:
    rows = [*_decided(decision, width, now), *hung("why    ", decision.why, width, tone="bold")]
    if decision.informed:
        rows += hung("saw    ", f"{', '.join(decision.informed)} moved: that informs only", width)
    return rows


def _decided(decision: Decision, width: int, now: float) -> list[Content]:
    """What the policy did and when, and the keys that answer it where it asks."""
    mark, when = ACTS[decision.act], f" · {ago(decision.at, now)}"
    run = f" · run {decision.run_id}" if decision.run_id else ""
    head = line(mark.content(), muted(run + when))
    if head.cell_length > width:
        word = mark.word.replace("a campaign", f"run {decision.run_id}")
        head = line(toned(f"{mark.glyph} {word}", mark.tone), muted(when))
    keys = line(muted("you    "), strong("a"), " accepts, ", strong("n"), " declines")
    return [head, keys] if decision.act == "ask" else [head]


def _short(decision: Decision, terms: Retraining, width: int, height: int, now: float) -> list[Content]:
    rows = [*_decided(decision, width, now), *hung("why    ", decision.why, width, tone="bold")]
    if len(rows) > height:
        return [*rows[: height - 1], line(rows[height - 1].truncate(width - 1), "…")] if height > 0 else []
    moved = plural(len(decision.informed), "feature")
    limit = f", ε up to {plain(terms.max_epsilon)}" if terms.max_epsilon else ""
    facts = [
        *([line(muted("saw    "), f"{moved} moved too")] if decision.informed else []),
        line(muted("when   "), f"{_detectors(terms)}; {_asks(terms)}"),
        line(muted("then   "), f"{plural(terms.window_days, 'day')}{limit}"),
    ]
    return [*rows, *[fact for fact in facts if fact.cell_length <= width][: height - len(rows)]]


def _terms(terms: Retraining, width: int) -> list[Content]:
    limit = f", up to ε {plain(terms.max_epsilon)}" if terms.max_epsilon else ""
    days = plural(terms.window_days, "day")
    return [
        *hung("when   ", f"{_detectors(terms)} alarms; {_asks(terms)}", width),
        *hung("then   ", f"learns {days}, every {plural(terms.pause_days, 'day')} at most{limit}", width),
    ]


def _detectors(terms: Retraining) -> str:
    return " or ".join(DETECTORS[name] for name in terms.alarms)


def _asks(terms: Retraining) -> str:
    return "asks first" if terms.ask_first else "starts by itself"


def _past(decision: Decision, now: float) -> Content:
    return line(muted(f"{ago(decision.at, now):<9} "), ACTS[decision.act].content(), muted(f" · {decision.why}"))


def hung(label: str, text: str, width: int, *, tone: str = "$foreground") -> list[Content]:
    """A label and its text, further lines below the text's own beginning."""
    parts = wrap(text, max(8, width - len(label))) or [""]
    return [
        line(muted(label if place == 0 else " " * len(label)), toned(part, tone)) for place, part in enumerate(parts)
    ]
