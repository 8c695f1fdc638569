"""`covey`: the operator's command line, and the terminal UI when no command is named."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from server.cli import devices, founding, reading, releasing, running
from server.cli.base import Session
from server.config import Federation, default_home
from shared.errors import CoveyError

app = typer.Typer(
    help="Coordinate a fleet that learns together while its data stays where it was made.",
    epilog="Without a command it opens the terminal UI.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def covey(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="The federation's directory.  [default: $COVEY_HOME or ./federation]"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr too, with details.")] = False,
) -> None:
    """Open the session that every command works in; without one, open the terminal UI."""
    context.obj = Session(federation=Federation((home or default_home()).absolute()), verbose=verbose)
    if context.invoked_subcommand is None:
        from server.tui.app import run

        context.obj.federation.settings()
        run(context.obj.federation)


for group, commands in {
    "The federation": (founding.init, founding.serve, founding.task),
    "The fleet": (devices.invite, devices.approve, devices.revoke, devices.fleet, devices.audit),
    "Learning": (running.start, running.stop, running.survey, running.rounds),
    "Models": (releasing.models, releasing.promote, releasing.withdraw, reading.drift, reading.privacy),
}.items():
    for command in commands:
        app.command(rich_help_panel=group)(command)


def main() -> None:
    """Run `covey`; whatever Covey raises on purpose is one line on stderr and exit status 1."""
    try:
        app(args=home_first(sys.argv[1:]), prog_name="covey")
    except CoveyError as error:
        typer.echo(f"covey: {error}", err=True)
        raise SystemExit(1) from None


def home_first(arguments: Sequence[str]) -> list[str]:
    """`--home DIR` and `-v` before the command, wherever they were typed."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--home":
            first += [word, next(words, "")]
        elif word.startswith("--home=") or word in {"-v", "--verbose"}:
            first.append(word)
        else:
            rest.append(word)
    return first + rest


if __name__ == "__main__":
    main()
