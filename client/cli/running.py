"""Commands about the agent's process: run, status, update, unit."""

import os
from threading import Event
from typing import Annotated

import typer

from client.cli.base import DEFAULT_HOME, AsJson, Home, OfTask, print_json
from client.config import AgentHome
from client.levels import LEVEL_NAMES
from client.report import Status
from shared.errors import InputError


def run(
    home: Home = DEFAULT_HOME,
    predict_only: Annotated[
        bool, typer.Option("--predict-only", help="Answer predictions, and do nothing else: no network at all.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(help="Answer on this port of loopback too, behind a token.", show_default="the Unix socket alone"),
    ] = None,
    update_seconds: Annotated[float, typer.Option(help="How often to look for a release without a hint.")] = 600.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr too, with details.")] = False,
) -> None:
    """Run the agent until SIGTERM or Ctrl-C."""
    from client.daemon import Agent
    from client.logs import start_logging

    place = AgentHome(home)
    place.settings()
    start_logging(place.log, verbose=verbose)
    agent = Agent(place, update_seconds=update_seconds, port=port, predict_only=predict_only)
    agent.run()
    if agent.busy:
        # A thread in the middle of a request would crash the interpreter's own way out.
        os._exit(0)


def status(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show how this device stands: link, releases, budget, refusals."""
    from client.report import status as read

    found = read(AgentHome(home))
    if as_json:
        print_json(found)
    else:
        print("\n".join(_lines(found)))


def update(home: Home = DEFAULT_HOME) -> None:
    """Look for newer releases now, verify them, try them, and let them serve."""
    from client.updating import run_update

    for one in run_update(AgentHome(home), stopping=Event()).tasks:
        if one.installed:
            travelled = f"{one.fetched} bytes travelled, {one.saved} did not have to"
            print(f"{one.task}: release {one.release} was installed and serves now; {travelled}")
        elif one.reason:
            print(f"{one.task}: stays at release {one.release}: {one.reason}")
        else:
            print(f"{one.task}: there is nothing newer for this device than release {one.release}")


def retry(
    release: Annotated[int, typer.Argument(help="A release that was put aside because it did badly here.")],
    task: OfTask = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Let a release answer again that this device had fallen back from."""
    from client.standing import forgive

    place = AgentHome(home).only_task(task)
    if not forgive(place, release):
        raise InputError(f"release {release} of {place.name} was not put aside; `covey-agent status` shows which were")
    print(f"release {release} of {place.name} may answer again")


def unit(
    kind: Annotated[str, typer.Argument(help="systemd, or launchd.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Print a service definition that keeps this agent running: hardened, and for this directory."""
    from client.units import render

    print(render(kind, AgentHome(home)), end="")


def _lines(found: Status) -> list[str]:
    process = f"process {found.running}, {found.link}" if found.running else "not running"
    spent = f"epsilon {found.epsilon_counted:.3f} of {found.epsilon_granted:g} spent (delta {found.delta:g})"
    rows = [
        ("device", f"{found.name} in {found.federation} at {found.coordinator}"),
        ("agent", f"{process}{', paused' if found.paused else ''}; trains with the {found.trainer} trainer"),
        ("privacy", f"{spent}, {found.charges} charges, {found.unsent} replies unsent"),
        *_renewal(found),
        *(("for ever", f"{LEVEL_NAMES[t.level]}: epsilon {t.figure}, {t.why}") for t in found.levels if found.charges),
    ]
    sequence = found.sequence
    if sequence.countersigned is None:
        rows.append(("sequence", "no charge is countersigned: an old copy of the ledger would go unnoticed"))
    else:
        rows.append(
            ("sequence", f"{sequence.countersigned} of {sequence.number} charges countersigned by the coordinator")
        )
    rows += [("sequence", text) for text in (sequence.declines, sequence.note) if text]
    for task in found.tasks:
        serves = f"release {task.answers} answers" if task.answers else "no release yet"
        words = [f"revision {task.revision}", serves, f"epsilon {task.epsilon_counted:.3f} of {task.epsilon_granted:g}"]
        words += ["switched off"] * (not task.enabled) + ["waits for `covey-agent agree`"] * (not task.agreed)
        rows.append((task.name, ", ".join(words)))
        rows += [(task.name, f"put aside: {why}; `covey-agent retry` lets it answer again") for why in task.put_aside]
    rows += [("declined", f"{one['at']}  {one['category']}: {one['detail']}") for one in found.refusals]
    width = max(len(label) for label, _ in rows) + 2
    return [f"{label:<{width}}{text}" for label, text in rows]


def _renewal(found: Status) -> list[tuple[str, str]]:
    """How a budget for rows that retire renews."""
    if found.row_lifetime_days is None:
        return []
    oldest = f"; the next charge stops counting at {found.renews}" if found.renews else ""
    return [
        ("rows", f"retire {found.row_lifetime_days:g} days after their timestamp, and what they paid with them{oldest}")
    ]
