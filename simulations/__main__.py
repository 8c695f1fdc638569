"""`covey-sim`: rehearse a federation on one machine before a real device spends budget."""

import os
from typing import Annotated

import typer

from shared.endings import one_line
from simulations.audit.__main__ import audit
from simulations.bench import bench
from simulations.load.__main__ import load
from simulations.pace.__main__ import pace
from simulations.replay.command import drift
from simulations.rollouts.__main__ import rollout
from simulations.running import run
from simulations.sweep.__main__ import sweep
from simulations.year import year

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.callback()
def covey_sim() -> None:
    """Rehearse a federation on one machine: the code that ships, in one process."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")


cli.command()(run)
cli.command()(sweep)
cli.command()(drift)
cli.command()(pace)
cli.command()(bench)
cli.command()(load)
cli.command()(audit)
cli.command()(year)
cli.command()(rollout)


@cli.command()
def modes(
    repeats: Annotated[int, typer.Option(help="Draws of the noise behind each band.", min=2)] = 12,
    workers: Annotated[int, typer.Option(help="Processes side by side.", min=1)] = 2,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Compare privacy modes at equal epsilon: none, local, distributed, central (about three minutes)."""
    from simulations.modes.__main__ import run as compare

    compare(repeats=repeats, workers=workers, as_json=json)


@cli.command()
def compression(
    seeds: Annotated[int, typer.Option(help="Campaigns behind each band.", min=2)] = 8,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Compare what travels: bytes, error, accuracy and time of each compression (about a minute)."""
    from simulations.compression import run as compare

    compare(seeds=seeds, as_json=json)


def main() -> None:
    """Run the command line; whatever goes wrong is one line on stderr and exit status 1."""
    with one_line("covey-sim"):
        cli()


if __name__ == "__main__":
    main()
