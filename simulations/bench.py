"""`covey-sim bench`: how fast the simulator is, beside its peers, on one workload; the same as rows and as Markdown."""

import json as json_format
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.endings import one_line
from shared.errors import InputError
from shared.files import write_whole
from simulations.benchmarks.machine import Machine, machine, sentence
from simulations.benchmarks.simulation import PARTS, measure

REPORT = Path("reports/bench-simulation.json")
BEGIN, END = "<!-- covey-sim bench: from here -->", "<!-- covey-sim bench: to here -->"

Row = dict[str, Any]


def bench(
    only: Annotated[
        list[str] | None, typer.Option(help=f"A part, repeat it: {', '.join(PARTS)}. All by default.")
    ] = None,
    million: Annotated[
        bool, typer.Option("--million", help="A million devices in the fleet's round, not 20,000: minutes more.")
    ] = False,
    write: Annotated[
        Path | None, typer.Option(help="A Markdown file to put a dated copy in, between its two marks.")
    ] = None,
    report: Annotated[Path, typer.Option(help="Where the rows go, as JSON.")] = REPORT,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Measure the simulator beside the peers that are installed: about six minutes; the extra `peers` brings them."""
    page = _page(write) if write else ""
    about, began = machine(), time.monotonic()

    def say(words: str) -> None:
        typer.echo(f"{time.monotonic() - began:5.0f} s  {words}", err=True)

    report.parent.mkdir(parents=True, exist_ok=True)
    found = measure(only or (), million=million, say=say)
    write_whole(report, json_format.dumps(found, indent=2).encode() + b"\n")
    if write:
        write_whole(write, dated(page, about, found, command(only or (), million=million, write=write)).encode())
    typer.echo(json_format.dumps(found, indent=2) if json else "\n".join(lines(about, found)))


def lines(about: Machine, rows: Sequence[Row]) -> Iterator[str]:
    """The table as a terminal shows it; then what could not run, and how to install it."""
    yield sentence(about)
    for row in rows:
        yield f"  {_title(row):<78}{figure(row):>12} {row['unit']:<15}{verdict(row)}".rstrip()
    if lacking := [row for row in rows if "why" in row]:
        yield "Not run:"
        yield from (f"  {_title(row)}: {row['why']}" for row in lacking)


def figure(row: Row) -> str:
    """A value with as many digits as tell something."""
    value = row["value"]
    if value is None:
        return "not run"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def verdict(row: Row) -> str:
    """What was aimed at, and whether it was reached; a miss is called one."""
    if row.get("meets") is None:
        return f"aimed at {row['target']}" if "target" in row else ""
    words = f"meets {row['target']}" if row["meets"] else f"MISSES {row['target']}"
    if (moonshot := row.get("moonshot")) is None:
        return words
    return f"{words}; moonshot {moonshot:g} {'reached' if row['value'] >= moonshot else 'not reached'}"


def _title(row: Row) -> str:
    return row.get("title", row["name"].removeprefix("simulation."))


def command(only: Sequence[str], *, million: bool, write: Path) -> str:
    """The command that makes a copy."""
    parts = [f"--only {part}" for part in only] + ["--million"] * million
    return " ".join(["covey-sim bench", *parts, f"--write {write}"])


def markdown(about: Machine, rows: Sequence[Row], made_by: str) -> Iterator[str]:
    """The table as a page holds it, with the machine and the command."""
    yield f"Made by `{made_by}`. {sentence(about)}"
    yield ""
    yield "| what | figure | unit | |"
    yield "|---|---|---|---|"
    for row in rows:
        note = row["why"] if "why" in row else verdict(row)
        yield f"| {_title(row)} | {figure(row)} | {row['unit']} | {note.replace('|', '/')} |"


def dated(page: str, about: Machine, rows: Sequence[Row], made_by: str) -> str:
    """A page with a new copy between its marks; the rest of it stays."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, "", *markdown(about, rows, made_by), "", END + after])


def _page(path: Path) -> str:
    """A page that has the marks, or a new one; raise `InputError` before anything is measured if it cannot be had."""
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}")
    if not path.exists():
        return f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    try:
        page = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if page.find(BEGIN) < 0 or page.find(END) < page.find(BEGIN):
        raise InputError(f"{path} has no place for the table; put these two lines where it belongs:\n{BEGIN}\n{END}")
    return page


def main() -> None:
    """Run it; whatever goes wrong is one line on stderr and exit status 1."""
    with one_line("covey-sim bench"):
        typer.run(bench)


if __name__ == "__main__":
    main()
