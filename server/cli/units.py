"""`covey unit`: what makes systemd run the coordinator."""

import getpass
from typing import Annotated

import typer

from server.cli.base import session
from server.units import systemd
from shared.errors import InputError


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
    typer.echo(systemd(federation.home.resolve(), user="" if own else user or getpass.getuser()), nl=False)
