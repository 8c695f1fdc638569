"""`covey rotate`: new keys, while devices follow."""

from typing import Annotated

import typer

from server.cli.base import AsJson, command_line, opened, print_json
from server.cli.progress import teller


def rotate(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="KEY", help="tls, targets, snapshot, timestamp, rollout, root or roster.")
    ],
    as_json: AsJson = False,
) -> None:
    """Put a new key in an old one's place; devices follow by themselves."""
    from server.rotation import known
    from server.rotation import rotate as change

    with opened(context) as (federation, store):
        key, command = known(what), command_line(context)
        teller("changing", quiet=as_json)(what)
        done = change(federation, store, key)
        store.audit("operator", "rotate", f"{what}: {done.says}", command=command)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{done.says}.")
