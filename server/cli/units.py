"""`covey unit`: what makes systemd run the coordinator."""

import getpass
import re
from typing import Annotated

import typer

from server.cli.base import session
from server.units import systemd
from shared.errors import InputError

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?", re.ASCII | re.IGNORECASE)


def unit(
    context: typer.Context,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="Who runs it, in a unit of the machine's.", show_default="you")
    ] = "",
    own: Annotated[bool, typer.Option("--user-unit", help="Print a unit of your own instead.")] = False,
) -> None:
    """Print a systemd service that runs the coordinator, kept in its place."""
    federation = session(context).federation
    federation.settings()
    if user and own:
        raise InputError("--user-unit runs as whoever starts it; leave --user out")
    if user and not _USER.fullmatch(user):
        raise InputError(
            f"{user!r} is no user's name; it begins with a letter or _, then letters, digits, _ and - follow"
        )
    typer.echo(systemd(federation.home.resolve(), user="" if own else user or getpass.getuser()), nl=False)
