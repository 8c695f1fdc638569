"""How far something long is, on stderr: a bar in a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY = 10.0
"""Seconds between two lines."""


@contextmanager
def bar(what: str, total: float) -> Generator[Callable[[float], None]]:
    """Show how many of `total` are done; the context hands out what is to be told."""
    if not sys.stderr.isatty():
        yield _told(what, total)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)


def _told(what: str, total: float) -> Callable[[float], None]:
    """Say in a line how far it is, `EVERY` seconds apart."""
    said = [time.monotonic()]

    def tell(done: float) -> None:
        if time.monotonic() - said[0] >= EVERY:
            said[0] = time.monotonic()
            sys.stderr.write(f"{what}: {int(done)} of {total:g}\n")

    return tell


def told_on_stderr(what: str) -> None:
    """Say what begins now, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} ...\n")
