"""`covey-agent data`: the rows that this device learns from; nothing of it ever leaves."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.cli.base import DEFAULT_HOME, AsJson, Home, OfTask, print_json
from client.config import AgentHome, TaskHome
from shared.errors import InputError

if TYPE_CHECKING:
    from client.snapshots import Snapshots

app = typer.Typer(help="The rows that this device learns from, and which of them taught what.", no_args_is_help=True)


@app.command()
def log(task: OfTask = None, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List which data taught each round: a snapshot's number, its fingerprint, and the version it started from."""
    with closing(_snapshots(AgentHome(home).only_task(task))) as snapshots:
        found = snapshots.log()
    if as_json:
        print_json(found)
        return
    print(f"{'snapshot':>8}  {'when (UTC)':<20}{'run':>5}{'round':>6}{'from':>6}  {'fingerprint':<14}window")
    for one in found:
        row = f"{one.id:>8}  {_when(one.at):<20}{one.run:>5}{one.round_number:>6}{one.version:>6}"
        print(f"{row}  {one.fingerprint[:12]:<14}{one.window}")


@app.command()
def diff(
    before: Annotated[int, typer.Argument(help="A snapshot's number.")],
    after: Annotated[int, typer.Argument(help="Another's.")],
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say which rows came and went between two snapshots."""
    from client.snapshots import difference

    with closing(_snapshots(AgentHome(home).only_task(task))) as snapshots:
        found = difference(snapshots.read(before), snapshots.read(after))
    if as_json:
        print_json(found)
        return
    print(f"{found.added} rows added, {found.removed} removed")
    for sign, rows in (("+", found.added_at), ("-", found.removed_at)):
        for file, row in rows:
            print(f"  {sign} {file}, row {row}")
    for word, files in (("new", found.new_files), ("gone", found.gone_files), ("changed", found.changed_files)):
        for file in files:
            print(f"  {word}: {file}")
    for file in found.unread:
        print(f"  rows not told apart: {file} (too many, or the snapshot is too old)")


@app.command()
def merge(
    other: Annotated[Path, typer.Argument(help="A file of rows to bring in.")],
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Bring another file's rows into this device's data: new ones appended, conflicting ones set aside."""
    from client.merging import merge as bring_in

    place = AgentHome(home).only_task(task)
    found = bring_in(data_of(place), other, place.signed_task())
    if as_json:
        print_json(found)
        return
    print(
        f"{found.appended} rows appended{f' to {found.file}' if found.file else ''}, {found.equal} were there already"
    )
    if found.conflicting:
        print(f"{found.conflicting} say something else than rows here, and were set aside in {found.conflicts}")


@app.command()
def check(task: OfTask = None, home: Home = DEFAULT_HOME) -> None:
    """Count the rows that break the task's contract; they are set aside beside the data, and never teach."""
    from client.dataset import count_rules
    from shared.tasks import Window

    place = AgentHome(home).only_task(task)
    signed = place.signed_task()
    counts = count_rules(data_of(place), signed, Window()).tolist()
    names = (*(rule.name for rule in signed.contract.rules), "keeps the contract")
    for name, rows in zip(names, counts, strict=True):
        print(f"{rows:>9}  {name}")


@app.command()
def useful(
    window: Annotated[str, typer.Option(help="Only rows dated START..END, ISO dates.  [default: all]")] = "..",
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Name rows that the model would be better without; for your eyes only."""
    from client.attributiongraph import released_weights
    from client.installed import accepted, file_of
    from client.usefulness import usefulness
    from shared.errors import ReleaseError
    from shared.tasks import parse_window

    place = AgentHome(home).only_task(task)
    installed = accepted(place)
    if installed is None:
        raise ReleaseError(f"{place.name} has no release yet; `covey-agent update` looks for one")
    fp32 = file_of(place.releases / str(installed.release.number), "fp32").read_bytes()
    weights = released_weights(installed.task, fp32)
    found = usefulness(data_of(place), installed.task, parse_window(window), weights)
    if as_json:
        print_json(found)
        return
    if not found.named:
        print(f"of {found.rows} rows, leaving none out helps (held-out loss {found.before:.4f})")
        return
    print(f"without the {len(found.named)} rows named here, held-out loss goes {found.before:.4f} -> {found.after:.4f}")
    for file, row in found.named[:50]:
        print(f"  {file}, row {row}")


def data_of(place: TaskHome) -> Path:
    """Where the owner keeps a task's rows, or `InputError`."""
    data = place.home.settings().tasks[place.name].data
    if not data:
        raise InputError(f"{place.name} learns from outcomes alone; it has no data file")
    return Path(data)


def _snapshots(place: TaskHome) -> "Snapshots":
    from client.snapshots import Snapshots
    from client.vault import Vault

    place.path.mkdir(parents=True, exist_ok=True)
    return Snapshots(place.snapshots, Vault.open(place.home))


def _when(moment: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")[:19]
