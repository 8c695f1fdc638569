"""What every command shares: the federation that it is about, its store, and how it shows things."""

import json
import shlex
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from server.config import READ_ONLY, Federation
from server.store import Store
from shared import wire
from shared.errors import InputError
from shared.tasks import Task

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TaskName = Annotated[str | None, typer.Argument(help="The task.", show_default="the only one")]


def count(text: str, *names: str, default: str) -> Any:
    """An option that takes a number from 1 on; `default` says what it is when it is not given."""
    return typer.Option(*names, metavar="N", help=text, min=1, show_default=default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the options before the command said."""

    federation: Federation
    verbose: bool
    read_only: bool = False


def session(context: typer.Context) -> Session:
    """The session that `covey`'s own options opened."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("a command ran without its session")
    return found


def command_line(context: typer.Context) -> str:
    """The command as a person typed it, or as the terminal UI ran it: what the audit log and a version's lineage keep.

    Whoever asks for it is about to change something: raise `InputError` where the session is read-only.
    """
    if session(context).read_only:
        refuse_acting(context.command_path.partition(" ")[2])
    return shlex.join([context.find_root().info_name or "covey", *sys.argv[1:]])


def refuse_acting(command: str) -> NoReturn:
    """Raise `InputError`: this command changes something, and its session is read-only."""
    raise InputError(
        f"`covey {command}` changes something, and this session is read-only; leave --read-only and {READ_ONLY} out, or "
        "ask the operator to do it"
    )


@contextmanager
def opened(context: typer.Context) -> Generator[tuple[Federation, Store]]:
    """The federation and its store; raise `InputError` if there is none here."""
    federation = session(context).federation
    federation.settings()
    store = Store(federation.database, read_only=session(context).read_only, create=False)
    try:
        yield federation, store
    finally:
        store.close()


def the_task(store: Store, name: str | None) -> Task:
    """The task called `name`, or the only one; raise `InputError` if it is not clear which."""
    tasks = store.tasks()
    if name is None and len(tasks) == 1:
        return tasks[0]
    if name is None and not tasks:
        raise InputError("there is no task yet; publish one with `covey task FILE`")
    if name is None:
        raise typer.BadParameter(f"name a task: {', '.join(task.name for task in tasks)}")
    return store.task(name)


def print_json(value: object) -> None:
    """Print a record, or a list of records, as indented JSON."""
    document = [wire.encode(item) for item in value] if isinstance(value, (list, tuple)) else wire.encode(value)
    typer.echo(json.dumps(document, indent=2, default=_text))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print aligned columns, numbers to the right; or the sentence `empty`."""
    cells = [[str(cell) for cell in row] for row in rows]
    if not cells:
        typer.echo(empty)
        return
    widths = [max(len(line[column]) for line in [list(headers), *cells]) for column in range(len(headers))]
    right = [all(_is_number(line[column]) for line in cells) for column in range(len(headers))]
    for line in [list(headers), *cells]:
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        typer.echo("  ".join(padded).rstrip())


def ago(moment: float | None, now: float) -> str:
    """How long ago something was, in the largest unit that fits."""
    if moment is None:
        return "never"
    seconds = max(0, int(now - moment))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def size(count: int) -> str:
    """Bytes as a person reads them."""
    for unit, length in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} B"


def _text(value: object) -> str:
    """Bytes in a record are PEM."""
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdigit() or text in {"", "-"} or text.endswith(("B", " ago"))
