"""One round in time: its phases on a line, who answered when, and whom it waited for; pure functions from a record to text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from textual.content import Content

from server.tui.charts import joined
from server.tui.words import FAINT, lasting, line, lines, muted, plural, strong, toned
from shared.rounds import RoundResult

Fate = Literal["returned", "refused", "failed", "silent"]

TONES: dict[Fate, str] = {
    "returned": "$text-success", "refused": "$text-warning", "failed": "$text-error", "silent": "$text-error"
}  # fmt: skip
PHASE_LOOKS = (("━", "$primary"), ("╍", "$secondary"))
"""Neighbouring phases are told apart by these glyphs and tones in turn, and by their names."""

LATE = 2.0
"""A device that took so many times the median is one the round waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One device's part: what became of it, why, and after how many seconds; None where nothing says when."""

    device: str
    fate: Fate
    why: str = ""
    seconds: float | None = None


def answers(result: RoundResult) -> list[Answer]:
    """Every device that was asked, the latest answer first; those that never answered lead."""
    found = [_answer(result, name) for name in result.cohort]
    return sorted(found, key=lambda each: (each.seconds is not None, -(each.seconds or 0.0), each.device))


def _answer(result: RoundResult, name: str) -> Answer:
    seconds = result.answered.get(name)
    if name in result.refusals:
        return Answer(device=name, fate="refused", why=result.refusals[name], seconds=seconds)
    if name in result.failures:
        fate: Fate = "failed" if seconds is not None else "silent"
        return Answer(device=name, fate=fate, why=result.failures[name], seconds=seconds)
    return Answer(device=name, fate="returned" if name in result.returned else "silent", seconds=seconds)


def sentence(result: RoundResult) -> Content:
    """What came of a round, in one line: `4 of 5 returned, 1 refused: battery`."""
    fates = Counter(each.fate for each in answers(result))
    words = [strong(f"{fates['returned']} of {len(result.cohort)} returned")]
    for fate, found in (("refused", result.refusals), ("failed", result.failures)):
        reasons = Counter(reason for name, reason in found.items() if name in result.cohort)
        words += [
            toned(f"{count} {fate}: {reason}", TONES["refused" if fate == "refused" else "failed"])
            for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        ]
    return line(*words, gap=", ")


def phase_track(result: RoundResult, width: int, *, now: float | None = None) -> Content:
    """The phases as stretches of one line, and their names with their lengths below; `now` marks a moment of a replay."""
    whole = max(result.finished_at - result.started_at, 1e-9)
    edges = [(phase.name, phase.at) for phase in result.phases if phase.at <= whole]
    if not edges or width < 2:
        return muted(f"took {lasting(whole)}; this round's phases were not recorded")
    spans = [(name, start, end) for (name, start), (_, end) in pairwise([*edges, ("", whole)])]
    return lines(line(*_stretches(spans, whole, width, now)), *_legend(spans, width))


def _stretches(spans: Sequence[tuple[str, float, float]], whole: float, width: int, now: float | None) -> list[Content]:
    cells = [("━", FAINT)] * width
    for index, (_, start, end) in enumerate(spans):
        first, last = round(start / whole * width), max(round(start / whole * width) + 1, round(end / whole * width))
        cells[first:last] = [PHASE_LOOKS[index % 2]] * (min(last, width) - first)
    if now is not None:
        cells[min(width - 1, max(0, round(now / whole * width)))] = ("●", "$text-accent")
    return [joined(cells[:width])]


def _legend(spans: Sequence[tuple[str, float, float]], width: int) -> list[Content]:
    """Each phase's name and length, as many to a line as fit."""
    found: list[Content] = []
    row: list[Content] = []
    for index, (name, start, end) in enumerate(spans):
        glyph, tone = PHASE_LOOKS[index % 2]
        word = line(toned(f"{glyph} ", tone), f"{name} ", muted(lasting(end - start)))
        if row and line(*row, word, gap="  ").cell_length > width:
            found.append(line(*row, gap="  "))
            row = []
        row.append(word)
    return [*found, line(*row, gap="  ")] if row else found


def straggler_bars(result: RoundResult, width: int, height: int) -> Content:
    """A bar a device, as long as it took to answer, the latest first; what does not fit is counted."""
    found = answers(result)
    if not result.answered:
        return muted("when each device answered was not recorded in this round")
    whole = max(result.finished_at - result.started_at, *result.answered.values(), 1e-9)
    name = min(18, max(len(each.device) for each in found))
    shown = found if len(found) <= height else found[: max(1, height - 1)]
    drawn = [_bar(each, name, whole, width) for each in shown]
    rest = [muted(f"and {plural(len(found) - len(shown), 'earlier answer')}")] if len(shown) < len(found) else []
    return lines(*drawn, *rest)


def _bar(each: Answer, name: int, whole: float, width: int) -> Content:
    word = lasting(each.seconds) if each.seconds is not None else "no answer"
    tail = f" {word}" + (f"  {each.why}" if each.why else "")
    room = max(4, width - name - 1 - 24)
    cells = max(1, round((each.seconds if each.seconds is not None else whole) / whole * room))
    glyph = "─" if each.seconds is None else "━"
    body = line(each.device[:name].ljust(name), " ", toned(glyph * min(cells, room), TONES[each.fate]))
    return line(body, toned(tail, TONES[each.fate] if each.fate != "returned" else "$foreground 60%")).truncate(
        width, ellipsis=True
    )


def stragglers(result: RoundResult) -> list[str]:
    """The devices that a round waited for: twice the median of those that returned, or longer."""
    times = sorted(result.answered[name] for name in result.returned if name in result.answered)
    if not times:
        return []
    median = times[len(times) // 2]
    return [each.device for each in answers(result) if each.seconds is not None and each.seconds >= LATE * median]
