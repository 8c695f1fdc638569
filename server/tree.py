"""Versions as a tree by parent, oldest first: a line a campaign, and a rail for each branch that is still to come."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.models import ModelVersion, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """What a tree is drawn with: what passes by a branch, what leads to it, and a mark for each stage."""

    rail: str
    branch: str
    marks: dict[Stage, str]


BOXES = Glyphs(
    rail="│ ",
    branch="├─",
    marks={"candidate": "○", "canary": "◐", "released": "●", "halted": "■", "withdrawn": "✕"},
)
ASCII = Glyphs(
    rail="| ",
    branch="|-",
    marks={"candidate": "o", "canary": "c", "released": "*", "halted": "h", "withdrawn": "x"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Versions that follow one another, oldest first: one, or those of one campaign; `rails` are drawn left of them.

    The first line of a branch has `branches` set.
    """

    members: tuple[ModelVersion, ...]
    rails: int
    branches: bool = False

    def drawn(self, glyphs: Glyphs) -> str:
        """The rails and the mark of the newest member's stage."""
        led = glyphs.rail * (self.rails - 1) + glyphs.branch if self.branches else glyphs.rail * self.rails
        return f"{led}{glyphs.marks[self.members[-1].stage]}"


def tree(versions: Sequence[ModelVersion], *, whole: bool = False) -> list[Line]:
    """Every version, each once; with `whole` on a line of its own, else a campaign's as far as nothing happened between.

    A line ends where another branches off, and at each version that was released. Of several children, the one with
    the newest descendant goes on below; the others stand before it, one rail further in.
    """
    children, roots = _families(versions)
    newest = _newest(versions, children)
    lines: list[Line] = []
    for root in roots:
        lines += _below(root, children, newest, rails=0, whole=whole)
    return lines


def _families(versions: Sequence[ModelVersion]) -> tuple[dict[int, list[ModelVersion]], list[ModelVersion]]:
    """The children of each version by number, and the versions whose parent is none of these."""
    numbers = {version.number for version in versions}
    children: dict[int, list[ModelVersion]] = defaultdict(list)
    roots: list[ModelVersion] = []
    for version in sorted(versions, key=lambda each: each.number):
        has_parent = version.parent in numbers and version.parent < version.number
        (children[version.parent] if has_parent else roots).append(version)
    return children, roots


def _newest(versions: Sequence[ModelVersion], children: dict[int, list[ModelVersion]]) -> dict[int, int]:
    """The largest number among each version and its descendants, who are always younger."""
    found: dict[int, int] = {}
    for version in sorted(versions, key=lambda each: -each.number):
        found[version.number] = max([version.number, *(found[child.number] for child in children[version.number])])
    return found


def _below(
    root: ModelVersion, children: dict[int, list[ModelVersion]], newest: dict[int, int], *, rails: int, whole: bool
) -> Iterator[Line]:
    """The line of descent from `root` to its newest descendant, with each branch right after what it begins from."""
    held: list[ModelVersion] = []
    at: ModelVersion | None = root
    first = rails > 0
    while at is not None:
        held.append(at)
        following = sorted(children[at.number], key=lambda child: newest[child.number])
        ahead = following[-1] if following else None
        if whole or len(following) != 1 or at.stage != "candidate" or (ahead and ahead.run_id != at.run_id):
            yield Line(members=tuple(held), rails=rails, branches=first)
            held, first = [], False
        for branch in following[:-1]:
            yield from _below(branch, children, newest, rails=rails + 1, whole=whole)
        at = ahead
