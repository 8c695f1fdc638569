"""Two versions side by side: what differs stands out, and a figure's change comes with its bounds."""

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from server.estimates import Estimate, difference
from server.tui.versionfacts import Fact, Facts
from server.tui.words import line, lines, muted, strong, toned

NAME = 15


class DiffDialog(ModalScreen[None]):
    """Closes with escape, `d` or `q`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,d,q,enter", "dismiss(None)", "Close")]

    def __init__(self, names: tuple[str, str], one: Facts, other: Facts) -> None:
        """Take both versions' names and facts, the older first."""
        super().__init__()
        self.names, self.one, self.other = names, one, other

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = f"{self.names[0]} and {self.names[1]}"
            dialog.border_subtitle = "≠ differs · esc closes"
            yield Static(id="diff")

    def on_mount(self) -> None:
        """Draw once the width is known."""
        self.call_after_refresh(self.draw)

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Both columns, as wide as fits."""
        found = self.query_one("#diff", Static)
        found.update(side_by_side(self.names, self.one, self.other, found.content_size.width))


def side_by_side(names: tuple[str, str], one: Facts, other: Facts, width: int) -> Content:
    """Every fact of both, section by section, no line wider than `width`."""
    column = max(8, (width - NAME - 4) // 2)
    head = line(" " * (NAME + 2), strong(f"{names[0]:<{column}}"), "  ", strong(names[1]))
    rows = [head]
    for section, facts in one.items():
        rows += ["", muted(section)] if section != next(iter(one)) else [muted(section)]
        rows += _section(facts, {fact.name: fact for fact in other[section]}, column)
    return lines(
        *(Content(row).truncate(width) if isinstance(row, str) else row.truncate(width, ellipsis=True) for row in rows)
    )


def _section(facts: tuple[Fact, ...], others: dict[str, Fact], column: int) -> Iterator[Content]:
    names = [*(fact.name for fact in facts), *(name for name in others if name not in {fact.name for fact in facts})]
    known = {fact.name: fact for fact in facts}
    for name in names:
        left, right = known.get(name), others.get(name)
        yield _row(name, left.value if left else "-", right.value if right else "-", column)
        if left and right and left.estimate and right.estimate:
            yield line(" " * (NAME + 2), change(left.estimate, right.estimate))


def _row(name: str, left: str, right: str, column: int) -> Content:
    differs = left != right
    mark = toned("≠ ", "$text-warning") if differs else "  "
    cells = [f"{each[: column - 1] + '…' if len(each) > column else each:<{column}}" for each in (left, right)]
    shown = [strong(cell) if differs else muted(cell) for cell in cells]
    return line(mark, muted(f"{name:<{NAME}}"), shown[0], "  ", shown[1])


def change(one: Estimate, other: Estimate) -> Content:
    """By how much a figure changed, and whether that is more than noise and sampling may do."""
    found = difference(other, one)
    words = f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    if found.low <= 0 <= found.high:
        return muted(f"{words}: no evident difference")
    return toned(f"{words}: evident", "$text-primary")
