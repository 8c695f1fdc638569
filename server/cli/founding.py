"""`covey init`, `covey serve`, `covey task`: a federation, its coordinator, and what it learns."""

import os
from pathlib import Path
from typing import Annotated

import typer

from server.cli.base import AsJson, command_line, opened, print_json, session
from server.config import Federation, Settings
from server.store import Store
from shared import wire
from shared.errors import InputError
from shared.tasks import Task, read_task


def init(
    context: typer.Context,
    directory: Annotated[Path | None, typer.Argument(help="Where to make it.", show_default="--home")] = None,
    name: Annotated[str | None, typer.Option(help="The federation's name.", show_default="the directory's")] = None,
    host: Annotated[str, typer.Option(help="The name or address that devices reach it by.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="The port for devices.", min=1, max=65535)] = 8443,
    admin_port: Annotated[
        int, typer.Option(metavar="N", help="The loopback port for its own runs.", min=1, max=65535)
    ] = 8444,
) -> None:
    """Found a federation: keys, certificates, release repository, store."""
    from server.founding import found

    home = (directory or session(context).federation.home).absolute()
    if port == admin_port:
        raise InputError(f"port and admin-port are both {port}; they must differ")
    options = {"name": name or home.name, "host": host, "port": port, "admin_port": admin_port}
    federation = found(home, wire.decode(Settings, options, what="options"), command=command_line(context))
    typer.echo(f"Federation {name or home.name} is founded in {federation.home}.")
    typer.echo("Its keys are in keys/, readable by you alone: keep a copy of root1, root2 and root3 off this machine.")
    typer.echo(f"Next: covey --home {federation.home} serve")


def serve(
    context: typer.Context,
    test_listener: Annotated[int | None, typer.Option(hidden=True, min=1, max=65535)] = None,
    traces: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write where each round's time goes, a line of JSON a step.")
    ] = None,
) -> None:
    """Run the coordinator until Ctrl-C or SIGTERM."""
    from server import tracing
    from server.service import serve as run_service

    current = session(context)
    if traces is not None:
        os.environ[tracing.FILE] = str(tracing.check_file(traces))
    run_service(
        current.federation,
        verbose=current.verbose,
        test_port=test_listener,
        say=typer.echo,
        command=command_line(context),
    )


def task(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A task file, such as tasks/flights.toml.")],
    as_json: AsJson = False,
) -> None:
    """Publish a task: check it, sign it, keep its untrained weights."""
    from shared.architecture import size

    read = read_task(file)
    with opened(context) as (federation, store):
        number = publish(federation, store, read, command=command_line(context))
        parent = store.version(number).parent
    if as_json:
        print_json(read)
    else:
        network = (
            f"network of {size(read):,} parameters, carried over from version {parent},"
            if parent
            else (f"untrained network of {size(read):,} parameters")
        )
        typer.echo(
            f"Task {read.name}, revision {read.revision}, is signed and published; its {network} is version {number}."
        )


def publish(federation: Federation, store: Store, read: Task, *, command: str = "") -> int:
    """Sign a task and keep it; return the number of its first version. Safe to repeat after a crash."""
    from server.releases import publish_task
    from server.revising import first_weights

    weights, parent = first_weights(store, read)
    publish_task(federation, read)
    begun = read in store.tasks() and read.revision not in {v.revision for v in store.versions(read.name)}
    if not begun:
        store.add_task(read)
    version = store.add_initial_version(read.name, read.revision, weights.astype("<f4").tobytes(), parent=parent)
    store.audit("operator", "task", f"{read.name} revision {read.revision}", command=command)
    return version.number
