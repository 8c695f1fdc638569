"""What leaves the terminal as a file: the screen as a picture, or a table's rows as CSV or JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from server.tui.query import Value
from shared.errors import InputError
from shared.files import write_whole

FORMATS = {
    "svg": "the screen, as a picture",
    "csv": "the rows shown, for a spreadsheet",
    "json": "the rows shown, for programs",
}
"""What can be written, and what it is."""

Rows = Sequence[Mapping[str, Value]]


def as_csv(rows: Rows) -> str:
    """Rows under the names of their fields; what a row does not say is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue()


def as_json(rows: Rows) -> str:
    """Rows as a list of objects; what a row does not say is null."""
    return (
        json.dumps([{name: row.get(name) for name in names(rows)} for row in rows], indent=2, ensure_ascii=False) + "\n"
    )


def as_lines(rows: Rows) -> str:
    """One line a row, its fields separated by tabs."""
    return "\n".join("\t".join("" if value is None else str(value) for value in row.values()) for row in rows)


def names(rows: Rows) -> list[str]:
    """Every field that a row has, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row))


def file_name(view: str, table: str, form: str, now: float) -> str:
    """Such as `covey-fleet-20260101-000000.csv`; a table that is not its view's only one is named too."""
    about = view.lower() if table in {"", view.lower()} else f"{view.lower()}-{table}"
    return f"covey-{about}-{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}.{form}"


def form_of(words: Sequence[str]) -> tuple[str, str]:
    """The form and the file that `:export` was given; raise `InputError` if it is none."""
    form, file = (words[0].lower() if words else "svg"), " ".join(words[1:])
    if form not in FORMATS:
        raise InputError(f"nothing is exported as {form!r}; there are {', '.join(FORMATS)}")
    return form, file


def write(path: Path, text: str) -> Path:
    """Write a file that is not there yet, whole; raise `InputError` where that cannot be."""
    path = path.expanduser().absolute()
    if path.exists():
        raise InputError(f"{path} is there already; name another file")
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    return path
