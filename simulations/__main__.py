"""`covey-sim`: rehearse a federation on one machine before a real device spends budget."""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared import wire
from shared.endings import one_line
from shared.errors import InputError
from shared.modes import Mode
from shared.privacy import TRUST, PrivacyBudget
from shared.tasks import Task, Window, parse_window, read_task
from simulations.audit.__main__ import audit
from simulations.year import year

if TYPE_CHECKING:
    from flwr.app import Message

    from server.records import Run
    from server.store import Store

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.callback()
def covey_sim() -> None:
    """Rehearse a federation on one machine: the code that ships, in one process."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")


cli.command()(audit)
cli.command()(year)


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


@cli.command()
def run(
    task_file: Annotated[Path, typer.Argument(help="A task file, such as tasks/flights.toml.")],
    data: Annotated[
        list[Path] | None, typer.Option(help="One Parquet or CSV file a device; repeat it.", exists=True)
    ] = None,
    devices: Annotated[
        int, typer.Option(help="Without --data: how many of the largest flight stations.", min=1, max=35)
    ] = 8,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds to commit; the task says how many by default.", min=1)
    ] = None,
    window: Annotated[str, typer.Option(help="START..END, ISO dates; all rows by default.")] = "..",
    mode: Annotated[
        Mode, typer.Option(help="Who adds the noise: each device, each a share, or the coordinator.")
    ] = "local",
    json: Annotated[bool, typer.Option("--json", help="Print the rounds as JSON.")] = False,
) -> None:
    """Run one campaign over devices in this process and print its rounds."""
    from server.store import Store

    task = read_task(task_file)
    span = parse_window(window)
    with tempfile.TemporaryDirectory(prefix="covey-sim-") as folder:
        files = _name(data) if data else _stations(Path(folder), devices)
        store = Store(Path(folder) / "covey.db")
        finished = _rehearse(store, task, files, Path(folder), rounds, span, mode)
        _print(store, finished, task, as_json=json)


def _rehearse(
    store: "Store", task: Task, files: dict[str, Path], folder: Path, asked: int | None, window: Window, mode: Mode
) -> "Run":
    import logging

    from client.app import app
    from server.app import conduct
    from server.planning import training_in
    from server.records import CampaignRequest
    from simulations.cohort import rehearse
    from simulations.loopback import LoopbackGrid

    logging.getLogger("flwr").setLevel(logging.ERROR)
    budget = PrivacyBudget(epsilon=task.privacy.epsilon, delta=task.privacy.delta)
    training = training_in(task, mode)
    rounds = asked or training.rounds
    trust = "coordinator" if mode == "central" else "sums"
    agents = rehearse(store, task, files, folder / "agents", budget=budget, trust=trust)
    request = CampaignRequest(
        task=task.name,
        window=window,
        training=replace(training, rounds=rounds),
        base_version=1,
        quorum=1,
        cohort=len(agents),
        deadline_seconds=600.0,
        mode=mode,
    )
    queued = store.run(store.queue_run(task.name, "train", request))
    last = [time.monotonic()]

    def tell(_: int, reply: "Message") -> "Message":
        if sys.stderr.isatty() and time.monotonic() - last[0] > 0.2:
            last[0] = time.monotonic()
            sys.stderr.write(f"\rround {len(store.rounds(queued.id)) + 1} of {rounds} ")
        return reply

    conduct(LoopbackGrid(app, agents, tamper=tell), store, queued)
    return store.run(queued.id)


def _print(store: "Store", finished: "Run", task: Task, *, as_json: bool) -> None:
    from shared.accounting import epsilon

    results = store.rounds(finished.id)
    if as_json:
        typer.echo("[" + ",\n ".join(wire.to_json(result).decode() for result in results) + "]")
        return
    for result in results:
        refused = "".join(f", {name} refused ({reason})" for name, reason in result.refusals.items())
        seconds = result.finished_at - result.started_at
        typer.echo(
            f"round {result.plan.number:3d}  {result.outcome}  {len(result.returned)} of {len(result.cohort)}  {seconds:.2f} s{refused}"
        )
    spent = epsilon([event for result in results for event in result.plan.cost.record], delta=task.privacy.delta)
    against = TRUST[results[-1].plan.cost.trust] if results else TRUST["everyone"]
    typer.echo(
        f"run {finished.state}; a device in every round spent epsilon {spent:.2f} at delta {task.privacy.delta:g} a row, {against}"
    )


def _name(data: list[Path]) -> dict[str, Path]:
    if len({path.stem for path in data}) != len(data):
        raise InputError("two data files have the same name; each names its device, so rename one")
    return {path.stem: path.resolve() for path in data}


def _stations(folder: Path, devices: int) -> dict[str, Path]:
    from simulations import flights

    files = {name: folder / f"{name}.parquet" for name in flights.stations()[:devices]}
    for name, path in files.items():
        flights.write_station(name, range(1, 13), path)
    return files


def main() -> None:
    """Run the command line; whatever goes wrong is one line on stderr and exit status 1."""
    with one_line("covey-sim"):
        cli()


if __name__ == "__main__":
    main()
