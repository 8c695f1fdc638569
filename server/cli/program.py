"""The commands of `covey`, in the groups that its help shows."""

from pathlib import Path
from typing import Annotated

import typer

from server.cli import devices, founding, labelling, planning, reading, releasing, running
from server.cli.base import Session
from server.config import Federation, default_home

app = typer.Typer(
    help="Coordinate a fleet that learns together; its data stays where it was made.\n\n"
    "Without a command it opens the terminal UI.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def covey(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The federation's directory.", show_default="$COVEY_HOME or ./federation"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr too, with details.")] = False,
) -> None:
    """Open the session that every command works in."""
    context.obj = Session(federation=Federation((home or default_home()).absolute()), verbose=verbose)


for group, commands in {
    "The federation": (founding.init, founding.serve, founding.task, labelling.fit_labels),
    "The fleet": (devices.invite, devices.approve, devices.revoke, devices.roster, devices.fleet, devices.audit),
    "Learning": (planning.plan, running.start, running.stop, running.survey, running.rounds),
    "Models": (
        releasing.models,
        releasing.promote,
        releasing.withdraw,
        releasing.renew,
        reading.drift,
        reading.privacy,
    ),
}.items():
    for command in commands:
        app.command(rich_help_panel=group)(command)
