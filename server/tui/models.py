"""The Models view: the tree of versions, the gates of the one under the cursor, and all there is to know of it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content

from server.tui import acts, promoting
from server.tui.commands import Act
from server.tui.gatetable import facts_text, gates_text, in_words
from server.tui.table import Table
from server.tui.versiondiff import DiffDialog
from server.tui.versionfacts import Facts, facts
from server.tui.versionrows import VERSIONS, Branching, nodes_of, rows_of
from server.tui.versionstate import Qualities, evaluation_of, releases_of, standing, verdicts_of
from server.tui.view import Panel, View, advice, framed
from server.tui.watcher import Snapshot
from server.tui.words import lines, muted
from shared.models import ModelVersion


class ModelsView(View):
    """The tree on the left or on top; gates and facts follow the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "app.act('promote')", "Promote"),
        Binding("w", "app.act('withdraw')", "Withdraw"),
        Binding("d", "diff", "Compare"),
        Binding("f", "fold", "Fold"),
    ]

    WORDS: ClassVar[dict[str, str]] = {
        "○ candidate": "made by a round, offered to nobody",
        "◐ canary": "a release on its way, on a part of the fleet",
        "● current": "what the fleet runs, or runs outside a canary",
        "■ halted": "a release that was taken away again",
        "? undecided": "a gate whose bounds hold its limit: not passed",
        "≠": "compared versions differ here",
    }

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Begin with every campaign folded."""
        super().__init__(id=id)
        self.unfolded: frozenset[int] = frozenset()
        self.qualities = Qualities()

    def panels(self) -> ComposeResult:
        """One table, two panels; where there is little room `enter` shows what the second would."""
        yield framed(Table(VERSIONS, id="versions"), "Versions")
        with Horizontal(id="about"):
            yield Panel("Gates", id="gates")
            yield Panel("Facts", id="facts")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """A task brings the first version."""
        if snapshot.versions:
            return None
        return advice(
            "There is no model yet.",
            ("covey task tasks/flights.toml", "publishes a task and its untrained first version"),
            ("s", "starts rounds; each committed round makes a version"),
        )

    def fill(self, snapshot: Snapshot) -> None:
        """Newest first, and what is known of the version under the cursor."""
        table = self.query_one("#versions", Table)
        branching = Branching(self.unfolded, frozenset(int(key) for key in table.marked if key.isdecimal()))
        table.show(rows_of(nodes_of(snapshot, branching), snapshot, self.qualities, self.now))
        table.border_subtitle = muted("space marks two for d")
        if version := self.version():
            self._show_about(version, snapshot)

    def version(self) -> ModelVersion | None:
        """The version under the cursor; none on a line of folded rounds."""
        return self._numbered(self.query_one("#versions", Table).key)

    def offer(self, action: str) -> Act | None:
        """Promote a candidate; withdraw the newest release of a version that has one and was not withdrawn."""
        version = self.version()
        if version is None or self.snapshot is None:
            return None
        own = releases_of(version, self.snapshot)
        if action == "promote" and version.stage == "candidate":
            return promoting.promote(version, self.snapshot)
        return (
            acts.withdraw(own[-1], self.snapshot)
            if action == "withdraw" and own and version.stage != "withdrawn"
            else None
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Comparing takes two versions, folding a run."""
        if action == "diff":
            return self.pair() is not None
        if action == "fold":
            return bool(self._run_of(self.query_one("#versions", Table).key)) if self.is_mounted else False
        return super().check_action(action, parameters)

    def on_table_opened(self, message: Table.Opened) -> None:
        """A line of folded rounds unfolds; any other opens its page."""
        if self._numbered(message.key) is None:
            message.prevent_default()
            self.action_fold()

    def on_table_arranged(self, message: Table.Arranged) -> None:
        """A mark keeps a version in sight, and gives something to compare."""
        super().on_table_arranged(message)
        self.refill()

    def action_fold(self) -> None:
        """Show the rounds of the run under the cursor, or fold them away again."""
        run = self._run_of(self.query_one("#versions", Table).key)
        if run:
            self.unfolded ^= {run}
            self.refill()

    def page(self, table: Table, key: str, width: int) -> tuple[str, Content] | None:  # noqa: ARG002 - there is one table
        """All there is to know of a version."""
        version = self._numbered(key)
        if version is None or self.snapshot is None:
            return None
        gates = gates_text(verdicts_of(version, self.snapshot), width, whole=True)
        return f"Version {version.number}", lines(gates, "", facts_text(self._facts(version, self.snapshot), width, 1))

    def action_diff(self) -> None:
        """Show two versions side by side."""
        pair = self.pair()
        if pair and self.snapshot:
            one, other = (self._facts(each, self.snapshot) for each in pair)
            self.app.push_screen(DiffDialog((f"v{pair[0].number}", f"v{pair[1].number}"), one, other))

    def pair(self) -> tuple[ModelVersion, ModelVersion] | None:
        """The two marked versions, the older first; short of two, the one under the cursor and what is current, or its parent."""
        here, snapshot = self.version(), self.snapshot
        if snapshot is None:
            return None
        marked = sorted(int(key) for key in self.query_one("#versions", Table).marked if key.isdecimal())
        wanted = [] if len(marked) == 2 or here is None else [here.number, *_beside(here, snapshot)]
        numbers = list(dict.fromkeys([*marked, *wanted] if len(marked) <= 2 else wanted))[:2]
        found = [version for number in sorted(numbers) if (version := self._numbered(str(number)))]
        return (found[0], found[1]) if len(found) == 2 else None

    def _numbered(self, key: str | None) -> ModelVersion | None:
        return next((v for v in self.snapshot.versions if str(v.number) == key), None) if self.snapshot else None

    def _run_of(self, key: str | None) -> int:
        if self.snapshot is None:
            return 0
        trees = nodes_of(self.snapshot, Branching(self.unfolded, frozenset()))
        return next((node.run_id for nodes in trees.values() for node in nodes if node.key == key), 0)

    def _facts(self, version: ModelVersion, snapshot: Snapshot) -> Facts:
        task = next((task for task in snapshot.tasks if task.name == version.task), None)
        return facts(version, snapshot, self.qualities.of(evaluation_of(version, snapshot), task))

    def _show_about(self, version: ModelVersion, snapshot: Snapshot) -> None:
        gates, about, verdicts = (
            self.query_one("#gates", Panel),
            self.query_one("#facts", Panel),
            verdicts_of(version, snapshot),
        )
        gates.border_title, about.border_title = f"v{version.number} · gates", f"v{version.number} · facts"
        gates.border_subtitle, about.border_subtitle = in_words(verdicts), muted("enter shows all")
        if gates.display:
            gates.update(gates_text(verdicts, gates.content_size.width))
        if about.display:
            about.update(
                facts_text(self._facts(version, snapshot), about.content_size.width, about.content_size.height)
            )


def _beside(version: ModelVersion, snapshot: Snapshot) -> list[int]:
    """What a version is compared with unless somebody says so: what most devices run, or what it was trained from."""
    current = [v.number for v in snapshot.versions if v.task == version.task and standing(v, snapshot) == "current"]
    return [*reversed(current), version.parent]
