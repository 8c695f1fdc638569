"""The header's parts, and which of them give way where there is little room: the least important first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from textual.content import Content

from server.tui.words import line, strong, toned

SHORT_NAME, SHORTEST_NAME = 16, 8
"""Cells that a federation's name keeps where there is little room."""
EMPTY = Content("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the header has to say; of a run and an age the longest words first, and the least that tells of a run."""

    federation: str
    badge: Content = EMPTY
    runs: tuple[Content, ...] = (EMPTY,)
    least: tuple[Content, ...] = ()
    cost: Content = EMPTY
    ages: tuple[Content, Content] = (EMPTY, EMPTY)
    service: Content = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One way to say it."""

    logo: str
    name: str
    badge: Content
    run: Content
    right: tuple[Content, ...]

    def drawn(self, width: int) -> Content:
        """All of it: the right side at the right edge."""
        name = strong(self.name)
        left = line(toned(self.logo, "bold $text-primary"), *_there((name, self.badge)), gap=" ")
        begun = line(*_there((left, self.run)), gap="  ")
        right = line(*_there(self.right), gap="   ")
        return line(begun, " " * max(1, width - begun.cell_length - right.cell_length - 1), right, " ")


def fitted(parts: Parts, width: int) -> Content:
    """The first way to say it that fits; the connection's word and the badge are left to the last."""
    found = EMPTY
    for each in _ways(parts):
        found = each.drawn(width)
        if found.cell_length <= width:
            return found
    return found.truncate(width, ellipsis=True)


def _ways(parts: Parts) -> Iterator[_Line]:
    """From the longest to the shortest: each lets go of one thing more."""
    long, short = parts.ages
    said = _Line(
        logo=" ▚ covey", name=parts.federation, badge=parts.badge, run=parts.runs[0],
        right=(parts.cost, long, parts.service),
    )  # fmt: skip
    for run in parts.runs:
        yield (said := replace(said, run=run))
    yield (said := replace(said, name=_cut(parts.federation, SHORT_NAME)))
    yield (said := replace(said, logo=" ▚"))
    yield (said := replace(said, right=(parts.cost, short, parts.service)))
    for run in parts.least:
        yield (said := replace(said, run=run))
    yield (said := replace(said, name=_cut(parts.federation, SHORTEST_NAME)))
    yield (said := replace(said, run=EMPTY))
    yield (said := replace(said, right=(short, parts.service)))
    yield replace(said, right=(parts.service,))


def _cut(name: str, cells: int) -> str:
    return Content(name).truncate(cells, ellipsis=True).plain


def _there(parts: tuple[Content, ...]) -> list[Content]:
    return [part for part in parts if part.plain]
