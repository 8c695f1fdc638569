"""The gates of a version, each with its verdict in a word, what was expected and what was found."""

from collections.abc import Sequence
from textwrap import wrap

from textual.content import Content

from server.records import GateVerdict
from server.tui.versionfacts import Facts
from server.tui.versionstate import VERDICTS, count
from server.tui.words import Mark, line, lines, muted, strong, toned

SHORT = (("at most ", "≤ "), ("at least ", "≥ "), (" bytes", " B"), (" us", " µs"))
WIDE = 52
"""Cells that one of two columns of facts needs."""

LEAST = 8
"""Cells for what was found, below which the names give way."""


def summary(verdicts: Sequence[GateVerdict]) -> Content:
    """How many gates passed, and how many did not, in a few cells."""
    found = count(verdicts)
    if not found:
        return muted("not run")
    if set(found) == {"passed"}:
        return toned(f"✓ all {found['passed']}", VERDICTS["passed"].tone)
    rest = {state: number for state, number in found.items() if state != "passed"}
    return line(
        *(toned(f"{VERDICTS[state].glyph} {number}", VERDICTS[state].tone) for state, number in rest.items()), gap="  "
    )


def in_words(verdicts: Sequence[GateVerdict]) -> Content:
    """The same for a frame's foot: `2 failed, 1 undecided, 6 passed`."""
    return line(
        *(toned(f"{number} {state}", VERDICTS[state].tone) for state, number in count(verdicts).items()), gap=", "
    )


def gates_text(verdicts: Sequence[GateVerdict], width: int, *, whole: bool = False) -> Content:
    """A line a gate, those that did not pass first; no line wider than `width`.

    What was expected is cut where there is no room for it, or goes on below where the `whole` of it is to be read.
    """
    if not verdicts:
        return lines(
            muted("Its tests have not been run.").truncate(width, ellipsis=True),
            line(strong("covey gate VERSION"), muted("  runs them and signs nothing")).truncate(width, ellipsis=True),
        )
    order = {state: place for place, state in enumerate(("failed", "undecided", "passed"))}
    ranked = sorted(verdicts, key=lambda verdict: order[verdict.state])
    expected = [shortened(verdict.expected) for verdict in ranked]
    names = max(len(verdict.name) for verdict in ranked)
    finds = max(len(shortened(verdict.found)) for verdict in ranked)
    wants = min(max(8, *(len(text) for text in expected)), max(LEAST, width - names - 17 - finds))
    head = muted(f"{'':11}  {'gate':<{names}}  {'expected':<{wants}}  found")
    rows: list[Content] = []
    for verdict, text in zip(ranked, expected, strict=True):
        first, *rest = wrap(text, wants) or [""] if whole else [cut(text, wants)]
        rows.append(line(
            VERDICTS[verdict.state].content().pad_right(11 - cells(VERDICTS[verdict.state])), "  ",
            strong(f"{verdict.name:<{names}}"), "  ", muted(f"{first:<{wants}}"), "  ", shortened(verdict.found),
        ))  # fmt: skip
        rows += [muted(f"{'':{names + 15}}{more}") for more in rest]
    return lines(*(row.truncate(width, ellipsis=True) for row in (head, *rows)))


def cells(mark: Mark) -> int:
    """How wide a verdict's mark and word are."""
    return mark.content().cell_length


def shortened(text: str) -> str:
    """The same in fewer letters."""
    for long, short in SHORT:
        text = text.replace(long, short)
    return text


def cut(text: str, width: int) -> str:
    """Text in at most `width` cells."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def facts_text(facts: Facts, width: int, height: int) -> Content:
    """Facts in one column, or in two where one would not hold them; no line wider than `width`."""
    blocks = [
        [muted(section), *(line(muted(f"  {fact.name:<13} "), fact.value) for fact in known)]
        for section, known in facts.items()
    ]
    rows = [row for block in blocks for row in block]
    if len(rows) <= height or width < 2 * WIDE:
        return lines(*(row.truncate(width, ellipsis=True) for row in rows))
    half = (width - 2) // 2
    split = next(place for place in range(1, len(blocks) + 1) if 2 * sum(map(len, blocks[:place])) >= len(rows))
    left, right = ([row for block in part for row in block] for part in (blocks[:split], blocks[split:]))
    left += [Content("")] * (len(right) - len(left))
    right += [Content("")] * (len(left) - len(right))
    pairs = zip(left, right, strict=True)
    return lines(*(line(_padded(one, half), "  ", other.truncate(half, ellipsis=True)) for one, other in pairs))


def _padded(content: Content, width: int) -> Content:
    short = content.truncate(width, ellipsis=True)
    return short.pad_right(width - short.cell_length)
