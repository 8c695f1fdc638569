"""A progress bar on stderr while something long goes on; nothing where nobody watches."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def bar(what: str, total: float) -> Generator[Callable[[float], None]]:
    """Show how many of `total` are done; the context hands out what is to be told."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)


def told_on_stderr(what: str) -> None:
    """Say what begins now, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} ...\n")
