"""Commands about what is held here, what left, and what it cost: ledger, audit, consent, export, erase, tui."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from client.cli.base import DEFAULT_HOME, AsJson, Home, print_json
from client.config import AgentHome
from client.levels import LEVEL_NAMES
from client.report import ANY_ROW


def ledger(
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Grant the budget anew over a ledger that is known to be an old copy.")
    ] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """List every charge to this device's privacy budget: what for, at which level, against whom, and the sum of all."""
    place = AgentHome(home)
    if accept_loss:
        _accept_loss(place)
        return
    from client.report import ledger as read

    found = read(place)
    if as_json:
        print_json(found)
        return
    print(f"{'when (UTC)':<20}{'state':<9}{'epsilon':>8}  what for")
    for line in found.lines:
        print(f"{line.at[:19]:<20}{line.state:<9}{line.epsilon_after:>8.3f}  {line.task}: {line.purpose}")
        for event in line.events:
            print(f"{'':<37}  {event.event}: {event.adjacency}, {event.trust}")
        if line.rows != ANY_ROW:
            print(f"{'':<37}  {line.rows}")
    print(f"\nall of it, for ever, at delta {found.delta:g}:")
    for total in found.levels:
        print(f"{LEVEL_NAMES[total.level]:<28}{total.figure:>9}  {total.why}")


def audit(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List everything that left this device, and say whether the list holds together."""
    from client.audit import listing, verify

    place = AgentHome(home)
    lines, verdict = listing(place), verify(place)
    if as_json:
        print_json({"lines": lines, "verdict": verdict})
    else:
        print(f"{'line':>6}  {'when (UTC)':<20}{'bytes':>8}{'epsilon':>9}  what")
        for line in lines:
            about = f"{line.kind}{f' ({line.task})' if line.task else ''}: {line.purpose}"
            print(f"{line.id:>6}  {_when(line.at):<20}{line.size:>8}{line.epsilon:>9.3f}  {about}")
        anchored = (
            f"the coordinator countersigned up to line {verdict.anchored}" if verdict.anchored else "none countersigned"
        )
        print(f"{verdict.entries} lines from {verdict.begins}; {anchored}. {verdict.unseen}")
    if verdict.wrong:
        typer.echo(f"line {verdict.wrong} does not fit: {verdict.why}", err=True)
        raise typer.Exit(1)


def consent(
    withdraw: Annotated[str | None, typer.Option(metavar="TASK", help="End the consent to a task.")] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """List what you agreed to, or end a consent."""
    from client import consent as book

    place = AgentHome(home)
    if withdraw:
        ended = book.withdraw(place, withdraw)
        print(f"withdrawn: this device takes no part in {ended.task!r} until `covey-agent agree`")
        return
    found = book.consents(place)
    if as_json:
        print_json(found)
        return
    for one in found:
        until = f", withdrawn {_when(one.withdrawn_at)}" if one.withdrawn_at else ""
        print(
            f"{one.task}: agreed {_when(one.agreed_at)}{until}, to the task {one.sha256[:12]}, which read:\n\n{one.words}\n"
        )


def export(
    folder: Annotated[Path, typer.Argument(help="A new folder for the copy.")], home: Home = DEFAULT_HOME
) -> None:
    """Copy everything that is held about you, readable, to a folder."""
    from client.gdpr import export as copy

    found = copy(AgentHome(home), folder)
    for name, what in found.files:
        print(f"{name:<28}{what}")
    print(f"all of it is in {found.folder}; README.md there says what each file is")


def erase(
    with_data: Annotated[bool, typer.Option("--with-data", help="Delete your own data files too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Erase without being asked.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Erase data, predictions, fingerprints, keys and releases; keep what was spent."""
    from client import erasure

    place = AgentHome(home)
    mine = [str(file) for file in erasure.own_data(place)] if with_data else []
    if not yes:
        also = f" and your own files {', '.join(mine)}" if mine else ""
        typer.confirm(f"Erase all that {place.path} holds about you{also}? It cannot be undone", abort=True)
    found = erasure.erase(place, with_data=with_data)
    for file in found.own_data:
        print(f"erased: {file}")
    print(f"erased: predictions, outcomes, fingerprints, keys, releases and settings in {place.path}")
    print(f"kept: {found.kept}, so that what was spent stays spent. {found.said}")


def tui(home: Home = DEFAULT_HOME) -> None:
    """Open your own window: budget, consent, what left, rows to label, predictions explained."""
    from client.tui.app import run

    place = AgentHome(home)
    place.settings()
    run(place)


def _accept_loss(place: AgentHome) -> None:
    from client.sequence import accept_loss

    typer.confirm("Charges that this copy of the ledger does not know are given up for lost. Go on?", abort=True)
    print(f"accepted: what was charged up to number {accept_loss(place)} is lost; this device takes part again")


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")[:19]
