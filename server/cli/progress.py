"""How a command that takes a while says where it is: on stderr, on a terminal, and nowhere else."""

import sys
from collections.abc import Callable

import typer


def teller(verb: str, *, quiet: bool) -> Callable[[str], None]:
    """Says what is being done, each time it changes; nothing where a program reads."""
    last: list[str] = []

    def say(what: str) -> None:
        if sys.stderr.isatty() and not quiet and last != [what]:
            last[:] = [what]
            typer.echo(f"{verb} {what} …", err=True)

    return say
