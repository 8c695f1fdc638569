"""The What left view: the audit log, line by line, and whether its chain holds."""

from textual.app import ComposeResult
from textual.content import Content

from client.audit import AuditLine, Verdict
from client.tui.facts import Snapshot
from client.tui.text import BAD, GOOD, MUTED, WARN, advice, ago, count, fit, plain, size, stack, stamp, text
from client.tui.view import Panel, Rows, View


class LeftView(View):
    """Every line newest first; details of the one under the cursor."""

    def panels(self) -> ComposeResult:
        """The verdict, the lines, and one line whole."""
        yield Panel("Does the record hold?", id="verdict")
        yield Rows("Everything that left this device", id="lines")
        yield Panel("Line", id="line")

    def hint(self, snapshot: Snapshot) -> Content | None:
        """Nothing left yet."""
        if snapshot.left or (snapshot.verdict and snapshot.verdict.why):
            return None
        return advice(
            "Nothing has left this device since this record began. Every message will be listed here, with its size, "
            "its purpose and what it cost, in a chain that shows if a line was changed.",
            {"covey-agent run": "takes part; each reply is written here before it goes"},
        )

    def fill(self, snapshot: Snapshot) -> None:
        """The verdict above, the lines below."""
        total = sum(each.size for each in snapshot.left)
        rows = self.query_one("#lines", Rows)
        rows.border_subtitle = f"{count(len(snapshot.left), 'line')}, {size(total)} in all"
        if snapshot.verdict:
            self.query_one("#verdict", Panel).update(verdict_words(snapshot.verdict))
        rows.show([(str(each.id), line_row(each, self.now, rows.room)) for each in snapshot.left])
        self.detail()

    def detail(self) -> None:
        """Show the line under the cursor whole."""
        key = self.query_one("#lines", Rows).key
        found = next((each for each in self.snapshot.left if str(each.id) == key), None) if self.snapshot else None
        if found:
            self.query_one("#line", Panel).update(line_words(found))

    def on_option_list_option_highlighted(self) -> None:
        """Details follow the cursor."""
        self.detail()


def verdict_words(verdict: Verdict) -> Content:
    """Whether the log holds together, and what no check can show."""
    if verdict.why:
        found = text(("✕ ", BAD), (f"The record does not hold from line {verdict.wrong} on: {verdict.why}.", "bold"))
    else:
        found = text(("✓ ", GOOD), (f"The chain of {count(verdict.entries, 'line')} holds", "bold"), anchor(verdict))
    return stack(found, text(("Not shown by any check: ", MUTED), (f"{verdict.unseen}.", MUTED)))


def anchor(verdict: Verdict) -> Content:
    """How far the coordinator has countersigned it."""
    if verdict.anchored == 0:
        return text((", but no line is countersigned yet.", WARN))
    return text((f"; the coordinator countersigned up to line {verdict.anchored}.", MUTED))


def line_row(each: AuditLine, now: float, width: int) -> Content:
    """One line of the log."""
    room = width - 10 - 16 - 9 - 10
    what = text((plain(each.task), "bold"), "  " if each.task else "", plain(each.purpose))
    return text(
        fit((ago(each.at, now), MUTED), 10), fit(each.kind, 16), fit(what, room),
        fit(size(each.size), 9, right=True), fit(text(("ε ", MUTED), f"{each.epsilon:.3f}"), 10, right=True),
    )  # fmt: skip


def line_words(each: AuditLine) -> Content:
    """Everything about one line."""
    content = each.sha256 or "not kept"
    return stack(
        text((f"{each.kind}", "bold"), f" at {stamp(each.at)} UTC, line {each.id}, {each.size:,} bytes"),
        text(("for       ", MUTED), plain(each.purpose)),
        text(("total ε   ", MUTED), f"{each.epsilon:.4f}", ("  when it left, everything before it included", MUTED)),
        text(("content   ", MUTED), (content, MUTED)),
    )
