"""The lines of the version tree as rows of a table."""

from dataclasses import dataclass

from textual.content import Content

from server.tui.gatetable import summary
from server.tui.lineagetree import Node, tree
from server.tui.table import Column, Row
from server.tui.versionfacts import plan_of
from server.tui.versionstate import STANDINGS, Qualities, Standing, evaluation_of, releases_of, standing, verdicts_of
from server.tui.watcher import Snapshot
from server.tui.words import ago, line, muted, strong, toned
from shared.models import ModelVersion
from shared.tasks import Window

VERSIONS = (
    Column("Version", 20, grow=True),
    Column("Stands as", 11),
    Column("Release", 7, right=True),
    Column("Runs on", 7, right=True),
    Column("Gates", 9),
    Column("AUC", 11, rank=1),
    Column("Learned from", 22, rank=4, grow=True),
    Column("Weights", 8, rank=3),
    Column("Made", 10, right=True, rank=2),
)


@dataclass(frozen=True, slots=True)
class Branching:
    """Which runs a person opened, and which versions stay in sight whatever is folded."""

    opened: frozenset[int]
    kept: frozenset[int]


def nodes_of(snapshot: Snapshot, branching: Branching) -> dict[str, list[Node]]:
    """The tree of each task that has versions, by the task's name."""
    kept = branching.kept | {release.version for release in snapshot.releases}
    return {
        task: tree([each for each in snapshot.versions if each.task == task], kept=kept, opened=branching.opened)
        for task in sorted({each.task for each in snapshot.versions})
    }


def rows_of(trees: dict[str, list[Node]], snapshot: Snapshot, qualities: Qualities, now: float) -> list[Row]:
    """All lines; a task's name stands above its tree where there are several."""
    rows: list[Row] = []
    for task, nodes in trees.items():
        rows += [_heading(task)] if len(trees) > 1 else []
        for node in nodes:
            found = node.version
            rows.append(_folded(node) if found is None else _version(node, found, snapshot, qualities, now))
    return rows


def _heading(task: str) -> Row:
    return Row(f"task {task}", (strong(task), *[""] * (len(VERSIONS) - 1)))


def _folded(node: Node) -> Row:
    words = line(muted(node.lanes), muted(f"┊ {node.folded} more of run {node.run_id}"))
    return Row(node.key, (words, muted("enter shows"), *[""] * (len(VERSIONS) - 2)))


def _version(node: Node, version: ModelVersion, snapshot: Snapshot, qualities: Qualities, now: float) -> Row:
    stands, own = standing(version, snapshot), releases_of(version, snapshot)
    numbers = {release.number for release in own}
    running = sum(device.release in numbers and device.state == "approved" for device in snapshot.devices)
    task = next((task for task in snapshot.tasks if task.name == version.task), None)
    quality = qualities.of(evaluation_of(version, snapshot), task)
    return Row(node.key, (
        line(muted(node.lanes), dot(stands), strong(f"v{version.number}"), muted(f" {origin(version)}")),
        STANDINGS[stands].content(),
        f"r{own[-1].number}" if own else muted("-"),
        str(running) if running else muted("-"),
        summary(verdicts_of(version, snapshot)),
        str(quality.auc) if quality else muted("-"),
        learned_from(version, snapshot),
        muted(version.weights_sha256[:8]),
        muted(ago(version.created_at, now)),
    ))  # fmt: skip


def learned_from(version: ModelVersion, snapshot: Snapshot) -> str | Content:
    """The rows of the round that made it, as `--window` has them."""
    plan = plan_of(version, snapshot)
    if plan is None:
        return muted("-")
    return f"{plan.window.start}..{plan.window.end}" if plan.window != Window() else "all rows"


def dot(stands: Standing) -> Content:
    """The version's place in its lane: filled once it was released."""
    return muted("○ ") if stands == "candidate" else toned("● ", STANDINGS[stands].tone)


def origin(version: ModelVersion) -> str:
    """Which round made it."""
    return f"run {version.run_id} round {version.round_number}" if version.run_id else "untrained"
