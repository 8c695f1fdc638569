"""A rehearsal's report as one file of HTML: no script, and no font, picture or style from elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from server.records import GateVerdict
from shared.files import write_whole
from simulations.report import prose
from simulations.report.figures import Figure, figures
from simulations.report.summary import summarise
from simulations.report.svg import tag, words
from simulations.report.tables import About, Tables, read_about, read_tables

REPORT = "report.html"
STYLE = Path(__file__).with_name("page.css")


def write(folder: Path) -> Path:
    """Read a rehearsal's result folder, write `report.html` into it, whole, and say where.

    A rehearsal that was cut short has a report too, which says so. Raise `InputError` if the folder holds no result.
    """
    path = folder / REPORT
    write_whole(path, rehearsal(read_about(folder), read_tables(folder)).encode())
    return path


def rehearsal(about: About, tables: Tables) -> str:
    """The whole page."""
    summary = summarise(about, tables)
    title, note = prose.headline(about, summary), prose.notice(about, summary)
    return document(
        title,
        header("Covey rehearsal", title, note, list(prose.abstract(about, summary))),
        tiles(prose.tiles(about, summary)),
        tag("main", *(figure(each) for each in figures(about, tables, summary)), gates(about.gates)),
        footer(_facts(about)),
    )


def document(title: str, *parts: str) -> str:
    """A page around its parts."""
    head = tag(
        "head",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        tag("title", words(title)),
        tag("style", STYLE.read_text(encoding="utf-8")),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *parts), lang='en')}\n"


def header(kind: str, title: str, note: str | None, abstract: Sequence[str]) -> str:
    """What a reader sees first."""
    return tag(
        "header",
        tag("p", words(kind), class_="kind"),
        tag("h1", words(title)),
        tag("p", words(note), class_="notice", role="status") if note else "",
        tag("div", *(tag("p", words(each)) for each in abstract if each), class_="abstract"),
    )


def tiles(found: Iterable[tuple[str, str, str]]) -> str:
    """The figures that stand out."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", words(name)), tag("dd", words(value)), tag("dd", words(beside), class_="beside"))
            for name, value, beside in found
        ),
        class_="tiles",
    )


def figure(one: Figure) -> str:
    """A plot under its sentence, how to read it, and its table."""
    return section(one.name, one.headline, one.note, one.plot, table(one.headers, one.rows, one.headline))


def section(name: str, headline: str, note: str, plot: str, beside: str) -> str:
    """The same from its parts."""
    return tag(
        "section",
        tag("h2", words(headline)),
        tag("p", words(note), class_="note"),
        tag("div", plot, class_="plot"),
        tag("details", tag("summary", "The same as a table"), beside),
        id=f"figure-{name}",
    )


def gates(verdicts: Sequence[GateVerdict]) -> str:
    """What the gates of a release say of the last weights; nothing where there were none to ask."""
    if not verdicts:
        return ""
    failed = [verdict.name for verdict in verdicts if not verdict.passed]
    headline = f"No release: {', '.join(failed)}" if failed else "It would pass the gates of a release"
    rows = [(each.name, each.expected, each.found, "passed" if each.passed else "failed") for each in verdicts]
    return tag(
        "section",
        tag("h2", words(headline)),
        tag(
            "p",
            words("What `covey promote` asks of a version before it is signed; latency is this machine's."),
            class_="note",
        ),
        table(("gate", "expected", "found", "verdict"), rows, "Gates"),
        id="figure-gates",
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, code: bool = False) -> str:
    """Rows of words, the first of each its name; with `code`, the last of each is something to type."""
    styles = ["code" if code and each == len(headers) else None for each in range(1, len(headers) + 1)]
    named = zip(headers, styles, strict=True)
    head = tag("tr", *(tag("th", words(each), scope="col", class_=style) for each, style in named))
    body = [tag("tr", *_cells(row, code=code)) for row in rows]
    return tag(
        "div", tag("table", tag("caption", words(caption)), tag("thead", head), tag("tbody", *body)), class_="wide"
    )


def _cells(row: Sequence[str], *, code: bool) -> Iterator[str]:
    yield tag("th", words(row[0]), scope="row")
    for index, each in enumerate(row[1:], start=2):
        typed = code and index == len(row)
        yield tag("td", tag("code", words(each)) if typed else words(each), class_="code" if typed else None)


def footer(facts: Iterable[tuple[str, str]]) -> str:
    """What it takes to run the same again."""
    kept = [(name, value) for name, value in facts if value]
    return tag(
        "footer",
        tag("h2", "To run the same"),
        tag("dl", *(tag("div", tag("dt", words(name)), tag("dd", tag("code", words(value)))) for name, value in kept)),
    )


def _facts(about: About) -> list[tuple[str, str]]:
    return [
        ("plan, SHA-256", about.plan_sha256),
        ("seeds", ", ".join(map(str, about.seeds))),
        ("rehearse again", about.command),
        ("in deployment", about.start),
        ("machine", about.machine),
        ("tables", "rounds.parquet, devices.parquet, groups.parquet, about.json, beside this page"),
    ]
