"""One prediction whole: its scores, and its record with how much each column moved the answer."""

from collections.abc import Mapping

from textual.content import Content
from textual.geometry import Size

from client.served import Served
from client.tui.explaining import Explained
from client.tui.text import FAINT, MUTED, Part, fit, meter, plain, stack, swing, text, value

VALUE, FIGURE = 12, 7


def scores_of(one: Served, classes: tuple[str, ...], width: int, *, numbered: bool = False) -> Content:
    """Each class with its probability, the likeliest in the accent's colour."""
    best = max(one.scores)
    name = min(24, max(len(plain(each)) for each in classes)) + (3 if numbered else 0)
    bar = max(4, width - name - FIGURE - 2)
    rows: list[Content] = []
    for number, (label, score) in enumerate(zip(classes, one.scores, strict=False), start=1):
        lead = f"{number}  {plain(label)}" if numbered else plain(label)
        tone = "$primary" if score == best else "$foreground 45%"
        said = one.label == label
        rows.append(
            text(
                fit((lead, "bold" if score == best or said else ""), name),
                " ",
                meter(score, bar, tone),
                f"{score:>{FIGURE}.3f}",
            )
        )
    return stack(*rows)


def record_of(one: Served, columns: tuple[str, ...], explained: Explained | None, size: Size) -> Content:
    """Each raw column with its value and a bar; those that moved the answer most come first, as many as there is room."""
    shares = explained.shares if explained else {}
    ranked = sorted(columns, key=lambda name: -abs(shares.get(name, 0.0)))
    top = max((abs(share) for share in shares.values()), default=0.0) or 1.0
    lead = min(max(map(len, columns)), max(16, size.width // 4))
    bar = max(9, size.width - lead - VALUE - FIGURE - 2)
    rows = [text(fit((plain(name), "bold"), lead), " ", _column(name, one.record, shares, top, bar)) for name in ranked]
    room = max(1, size.height - 1)
    if len(rows) > room:
        rest = len(rows) - room + 1
        rows = [*rows[: room - 1], text((f"and {rest} more{', which moved it less' if shares else ''}", MUTED))]
    return stack(_caption(explained, size.width), *rows)


def _caption(explained: Explained | None, width: int) -> Content:
    if explained is None:
        return text(("reading the explanation …", MUTED))
    if explained.why:
        return text((plain(explained.why), MUTED))
    beside = ", beside a record of which nothing is known" if width >= 76 else ""
    return text(
        ("what spoke ", MUTED), ("against", "$text-error"), (" and ", MUTED), ("for", "$text-success"),
        f" {plain(explained.label)!r}", (beside, MUTED),
    )  # fmt: skip


def _column(name: str, record: Mapping[str, object], shares: Mapping[str, float], top: float, width: int) -> Content:
    share = shares.get(name)
    figure: Part = (f"{share:+.3f}" if share is not None else "", MUTED)
    shown: Part = (value(record.get(name)), "" if record.get(name) not in (None, "") else FAINT)
    bar = swing(share / top, width) if share is not None else Content(" " * width)
    return text(fit(shown, VALUE), bar, fit(figure, FIGURE + 1, right=True))
