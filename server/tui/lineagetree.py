"""The versions of a task as a tree, newest first: a lane for each line of descent, and campaigns folded to what matters."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.models import ModelVersion

MOST_LANES = 6
"""Beyond so many branches side by side, further ones share the last lane: a line must stay readable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One line of the tree: a version, or how many rounds of a run are folded away here. `lanes` is what is drawn left of it."""

    lanes: str
    version: ModelVersion | None = None
    run_id: int = 0
    folded: int = 0
    newest: int = 0

    @property
    def key(self) -> str:
        """The version's number; of folded rounds their run and the newest of them."""
        return str(self.version.number) if self.version else f"run {self.run_id} to {self.newest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of descent, newest first, that begins below one of another line's versions."""

    members: tuple[ModelVersion, ...]
    depth: int


def tree(versions: Sequence[ModelVersion], *, kept: Collection[int] = (), opened: Collection[int] = ()) -> list[Node]:
    """Every version of one task, with the rounds of each run folded unless the run is in `opened`.

    What stays is the newest version of each line and of each run, those in `kept`, and those that others begin from.
    """
    children: dict[int, list[ModelVersion]] = defaultdict(list)
    numbers = {version.number for version in versions}
    for version in versions:
        children[version.parent if version.parent in numbers else 0].append(version)
    newest = _newest(versions, children)
    nodes: list[Node] = []
    for root in sorted(children[0], key=lambda version: -newest[version.number]):
        nodes += _line(root, children, newest, depth=0, kept=kept, opened=opened)
    return nodes


def _newest(versions: Iterable[ModelVersion], children: dict[int, list[ModelVersion]]) -> dict[int, int]:
    """The largest number among each version and what descends from it; a parent is older than its children."""
    found: dict[int, int] = {}
    for version in sorted(versions, key=lambda version: -version.number):
        found[version.number] = max(
            [version.number, *(found.get(child.number, 0) for child in children[version.number])]
        )
    return found


def _line(
    root: ModelVersion, children: dict[int, list[ModelVersion]], newest: dict[int, int], *, depth: int,
    kept: Collection[int], opened: Collection[int],
) -> Iterator[Node]:  # fmt: skip
    """A line from its newest version down to `root`, each branch right above the version that it begins from."""
    members, branches = _descend(root, children, newest)
    indent = "│ " * min(depth, MOST_LANES)
    below = "│ " * (min(depth, MOST_LANES) - 1) + "├─" if depth else ""
    folded: list[ModelVersion] = []
    for place, version in enumerate(reversed(members)):
        for branch in branches.get(version.number, ()):
            yield from _fold(folded, indent)
            folded = []
            yield from _line(branch, children, newest, depth=depth + 1, kept=kept, opened=opened)
        above = members[len(members) - place] if place else None
        if _stands(version, above, branches, kept, opened):
            yield from _fold(folded, indent)
            folded = []
            lanes = below if version is root and depth else indent
            yield Node(lanes=lanes, version=version, run_id=version.run_id)
        else:
            folded.append(version)
    yield from _fold(folded, below if depth else indent)


def _descend(
    root: ModelVersion, children: dict[int, list[ModelVersion]], newest: dict[int, int]
) -> tuple[list[ModelVersion], dict[int, list[ModelVersion]]]:
    """The line from `root` to its newest descendant, and what branches off each of its versions."""
    members, branches = [root], dict[int, list[ModelVersion]]()
    while following := sorted(children[members[-1].number], key=lambda version: -newest[version.number]):
        if len(following) > 1:
            branches[members[-1].number] = following[1:]
        members.append(following[0])
    return members, branches


def _stands(
    version: ModelVersion, above: ModelVersion | None, branches: Collection[int], kept: Collection[int],
    opened: Collection[int],
) -> bool:  # fmt: skip
    """Whether a version has a line of its own."""
    ends = above is None or above.run_id != version.run_id
    return (
        ends or version.number in kept or version.number in branches or version.run_id in opened or not version.run_id
    )


def _fold(folded: Sequence[ModelVersion], indent: str) -> Iterator[Node]:
    if folded:
        yield Node(lanes=indent, run_id=folded[0].run_id, folded=len(folded), newest=folded[0].number)
