"""Commands about taking part: join, take, agree, pause, resume, leave."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from client.cli.base import DEFAULT_HOME, Home, OfTask, Yes, agree_without_asking, ask
from client.config import AgentHome
from shared.errors import Unreachable


def join(
    invitation: Annotated[
        str, typer.Argument(help="The line that the operator gave you: covey://…; - reads it from standard input.")
    ],
    data: Annotated[
        Path, typer.Option(help="Your rows: a .parquet or .csv file, or a directory of them. They never leave it.")
    ],
    epsilon: Annotated[float, typer.Option(help="The most privacy that this device may ever spend.")],
    delta: Annotated[float | None, typer.Option(help="Delta of that budget.", show_default="the task's")] = None,
    name: Annotated[
        str | None, typer.Option(help="How the operator sees it.", show_default="the machine's name")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Which task, if the federation has several.")] = None,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Join a federation: verify it, say what it asks, enrol if you agree."""
    from client import enrol

    line = sys.stdin.readline().strip() if invitation == "-" else invitation
    settings = enrol.join(
        AgentHome(home), line, data=data, epsilon=epsilon, delta=delta, name=name, task=task,
        agree=agree_without_asking if yes else ask,
    )  # fmt: skip
    print(f"\n{settings.name} asked to join {settings.federation} with the key {enrol.key_of(AgentHome(home))}.")
    print(f"The operator sees the same digits on approving it with\n    covey approve {settings.name}")
    print(f"Start the agent now, it waits for that:\n    covey-agent run --home {home}")


def take(
    task: Annotated[str, typer.Argument(help="One more task of the federation that this device joined.")],
    data: Annotated[
        Path | None, typer.Option(help="Your rows for it.", show_default="none: it learns from outcomes alone")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Its share of this device's budget.", show_default="all")
    ] = None,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Take part in one more task."""
    from client import enrol

    taken = enrol.take(
        AgentHome(home), task, data=data, epsilon=epsilon, agree=agree_without_asking if yes else ask
    )  # fmt: skip
    print(f"\nthis device takes part in {taken.name!r}, revision {taken.revision}; a running agent picks it up")


def agree(yes: Yes = False, task: OfTask = None, home: Home = DEFAULT_HOME) -> None:
    """Agree to the task as it is signed now, after its revision rose."""
    from client import enrol

    place = AgentHome(home).only_task(task)
    try:
        enrol.renew_task(place)
    except Unreachable as error:
        print(f"{error}\nSo this is the task as it was signed when this device last asked.")
    enrol.agree(place, ask=agree_without_asking if yes else ask)
    print(f"\nagreed: this device takes part in {place.name!r} as it is signed now")


def pause(home: Home = DEFAULT_HOME) -> None:
    """Decline every request from now on; predictions go on."""
    from client.policyfile import set_paused

    set_paused(AgentHome(home), paused=True)
    print("paused: this device declines to train and to count; `covey-agent resume` ends that")


def resume(home: Home = DEFAULT_HOME) -> None:
    """Take part again."""
    from client.policyfile import set_paused

    set_paused(AgentHome(home), paused=False)
    print("resumed: this device takes part again")


def leave(
    yes: Annotated[bool, typer.Option("--yes", help="Leave without being asked.")] = False, home: Home = DEFAULT_HOME
) -> None:
    """Leave: erase keys, trust and releases; keep what was spent."""
    from client import enrol

    place = AgentHome(home)
    settings = place.settings()
    if not yes:
        typer.confirm(f"Leave {settings.federation} and erase this device's keys and releases?", abort=True)
    enrol.leave(place)
    print(f"left {settings.federation}; keys, trust and releases are erased")
    print(f"kept: {place.database}, so that what was spent stays spent. Models that were released do not unlearn.")
