"""The commands of `covey`, in the groups that its help shows."""

from pathlib import Path
from typing import Annotated

import typer

from server.cli import (
    auditing,
    backups,
    devices,
    doctoring,
    evaluating,
    founding,
    gating,
    labelling,
    models,
    planning,
    reading,
    releasing,
    retraining,
    rollouts,
    rotating,
    running,
    units,
)
from server.cli.base import Session, refuse_acting
from server.config import READ_ONLY, Federation, default_home

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
    read_only: Annotated[
        bool, typer.Option("--read-only", envvar=READ_ONLY, help="Show things, and refuse whatever changes any.")
    ] = False,
    ascii_only: Annotated[  # noqa: ARG001 - `server/__main__.py` reads it where no command follows
        bool,
        typer.Option(
            "--ascii", help="Without a command: draw the terminal UI with ASCII alone, as COVEY_ASCII=1 does."
        ),
    ] = False,
) -> None:
    """Open the session that every command works in."""
    federation = Federation((home or default_home()).absolute())
    context.obj = Session(federation=federation, verbose=verbose, read_only=read_only)
    if read_only and context.invoked_subcommand in ACTING:
        refuse_acting(context.invoked_subcommand)


ACTING = frozenset(
    {
        *("init", "serve", "task", "invite", "approve", "revoke", "roster", "start", "stop", "survey", "evaluate"),
        *("gate", "promote", "withdraw", "renew", "backup", "restore", "rotate"),
    }
)
"""Commands that change something whatever follows them; `rollout`, `retrain` and `models gc` refuse by themselves."""


for group, commands in {
    "The federation": (founding.init, founding.serve, founding.task, labelling.fit_labels),
    "The fleet": (devices.invite, devices.approve, devices.revoke, devices.roster, devices.fleet, auditing.audit),
    "Learning": (planning.plan, running.start, running.stop, running.survey, evaluating.evaluate, running.rounds),
    "Models": (
        gating.gate,
        gating.scorecard,
        releasing.promote,
        rollouts.rollout,
        releasing.withdraw,
        releasing.renew,
        reading.drift,
        retraining.retrain,
        evaluating.fairness,
        reading.privacy,
    ),
    "Operations": (doctoring.doctor, backups.backup, backups.restore, rotating.rotate, units.unit),
}.items():
    for command in commands:
        app.command(rich_help_panel=group)(command)

app.add_typer(models.app, name="models", rich_help_panel="Models")
