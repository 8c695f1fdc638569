"""Rounds as columns: who answered, who declined and why, how long it took; and the rounds still to come."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from server.tui.charts import BLOCK, KEY, Part, columns, stacks
from server.tui.words import FAINT, brief, line, lines, muted, plural, toned
from shared.rounds import RoundResult

MARGIN = 8
"""Cells left of a chart, for its scale."""
Look = tuple[str, str]
"""A part's glyph and its tone: every part has a glyph of its own, so that none is told by its colour alone."""
RETURNED: Look = (BLOCK, "$success")
REASONS: tuple[Look, ...] = (("▒", "$warning"), ("▞", "$secondary"), ("◆", "$accent"))
FAILED: Look = ("!", "$error")
UNUSED: Look = ("░", "$foreground 45%")
"""For the answers of an abandoned round, which changed nothing."""
WIDEST = 6
"""Cells that a round takes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where columns stand: `cell` cells each with `gap` between, `shown` of them, `coming` more without a value."""

    cell: int
    gap: int
    shown: int
    coming: int

    @property
    def step(self) -> int:
        """From one column to the next."""
        return self.cell + self.gap


def frame(done: int, total: int, width: int) -> Frame:
    """As wide as fits all rounds of the run, else one cell a round and only the newest of them."""
    room = max(1, width - MARGIN)
    each = min(WIDEST, max(1, room // max(1, total, done)))
    gap = 1 if each > 1 else 0
    shown = min(done, room // each)
    return Frame(cell=each - gap, gap=gap, shown=shown, coming=max(0, min(total - done, room // each - shown)))


def round_chart(rounds: Sequence[RoundResult], total: int, width: int, height: int) -> Content:
    """Answers above, seconds below, on one axis of rounds; `total` is how many the run is to have."""
    if width < MARGIN + 2 or height < 6:
        return Content("")
    if not rounds:
        return muted("the first round has not ended yet")
    coming = max(0, total - sum(result.outcome == "committed" for result in rounds))
    place = frame(len(rounds), len(rounds) + coming, width)
    shown = rounds[len(rounds) - place.shown :]
    below = max(2, (height - 3) // 3)
    looks = looks_of(shown)
    return lines(
        legend(shown, looks, coming),
        *answers(shown, looks, place, height - 3 - below),
        axis(shown, place),
        *seconds(shown, place, below),
        muted(f"{'':{MARGIN}}seconds a round"),
    )


def looks_of(rounds: Sequence[RoundResult]) -> dict[str, Look]:
    """How each reason that was given is drawn, the most frequent first; the rare ones share one look."""
    reasons = Counter(reason for result in rounds for reason in result.refusals.values())
    ranked = [reason for reason, _ in reasons.most_common()]
    return {reason: REASONS[min(place, len(REASONS) - 1)] for place, reason in enumerate(ranked)}


def legend(rounds: Sequence[RoundResult], looks: dict[str, Look], coming: int) -> Content:
    """What the glyphs mean, as far as they occur, and how many rounds are still to come."""
    words = [named(RETURNED, "returned"), *(named(look, f"refused: {reason}") for reason, look in looks.items())]
    if any(result.returned and result.outcome == "abandoned" for result in rounds):
        words.append(named(UNUSED, "returned too few"))
    if any(result.failures for result in rounds):
        words.append(named(FAILED, "failed"))
    if coming > 0:
        words.append(muted(f"· {plural(coming, 'round')} to come"))
    return line(" " * MARGIN, line(*words, gap="   "))


def named(look: Look, word: str) -> Content:
    """A glyph and what it stands for."""
    glyph, tone = look
    return line(toned(f"{KEY if glyph == BLOCK else glyph} ", tone), muted(word))


def answers(rounds: Sequence[RoundResult], looks: dict[str, Look], place: Frame, height: int) -> list[Content]:
    """Each round as a column of the devices asked: returned at the foot, then refused, then failed."""
    top = max(1, *(len(result.cohort) for result in rounds))
    drawn = stacks([parts(result, looks) for result in rounds], height=height, top=top, cell=place.cell, gap=place.gap)
    return scaled(drawn, f"{top}")


def parts(result: RoundResult, looks: dict[str, Look]) -> list[Part]:
    """A round's answers from the foot of its column up."""
    refused = Counter(result.refusals.values())
    return [
        (len(result.returned), *(RETURNED if result.outcome == "committed" else UNUSED)),
        *((refused[reason], *look) for reason, look in looks.items()),
        (len(result.failures), *FAILED),
    ]


def seconds(rounds: Sequence[RoundResult], place: Frame, height: int) -> list[Content]:
    """How long each round took."""
    took = [result.finished_at - result.started_at for result in rounds]
    drawn = columns(took, height=height, top=max(took), tone="$primary", cell=place.cell, gap=place.gap)
    return scaled(drawn, brief(max(took)))


def scaled(drawn: Sequence[Content], top: str) -> list[Content]:
    """Lines with their scale on the left: the largest value above, zero at the foot."""
    marks = [top, *[""] * (len(drawn) - 1)]
    marks[-1] = "0" if len(drawn) > 1 else top
    return [
        line(muted(f"{mark:>{MARGIN - 2}} "), toned("▏", FAINT), row) for mark, row in zip(marks, drawn, strict=True)
    ]


def axis(rounds: Sequence[RoundResult], place: Frame) -> Content:
    """The numbers of the rounds under their columns, and a faint mark for each that is still to come."""
    text = ""
    for index, result in enumerate(rounds):
        number, start = str(result.plan.number), index * place.step
        if (index == 0 or result.plan.number % 5 == 0) and (not text or start > len(text)):
            text = text.ljust(start) + number
    come = "".join("·".ljust(place.step) for _ in range(place.coming))
    room = place.shown * place.step
    return line(" " * MARGIN, muted(text.ljust(room)[: max(room, len(text))]), toned(come.rstrip(), FAINT))
