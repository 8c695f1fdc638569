"""`covey-agent`: what a device's owner can do with the agent."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

import typer

from client.config import AgentHome
from shared.endings import one_line

app = typer.Typer(
    help="Take part in a federation, predict offline, and count everything that leaves this device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Home = Annotated[
    Path, typer.Option("--home", envvar="COVEY_AGENT_HOME", help="The agent's directory.", show_default=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_HOME = Path("agent")


@app.command()
def join(
    invitation: Annotated[
        str, typer.Argument(help="The line that the operator gave you: covey://…; - reads it from standard input.")
    ],
    data: Annotated[Path, typer.Option(help="Your rows: a .parquet or .csv file. They never leave it.")],
    epsilon: Annotated[float, typer.Option(help="The most privacy that this device may ever spend.")],
    delta: Annotated[float | None, typer.Option(help="Delta of that budget.", show_default="the task's")] = None,
    name: Annotated[
        str | None, typer.Option(help="How the operator sees it.", show_default="the machine's name")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Which task, if the federation has several.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked; for scripts.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Join a federation: verify it, say what it asks, enrol if you agree."""
    from client import enrol

    line = sys.stdin.readline().strip() if invitation == "-" else invitation
    settings = enrol.join(
        AgentHome(home), line, data=data, epsilon=epsilon, delta=delta, name=name, task=task,
        agree=_agree_without_asking if yes else _ask,
    )  # fmt: skip
    print(f"\n{settings.name} asked to join {settings.federation} with the key {enrol.key_of(AgentHome(home))}.")
    print(f"The operator sees the same digits on approving it with\n    covey approve {settings.name}")
    print(f"Start the agent now, it waits for that:\n    covey-agent run --home {home}")


@app.command()
def run(
    home: Home = DEFAULT_HOME,
    update_seconds: Annotated[float, typer.Option(help="How often to look for a release without a hint.")] = 600.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr too, with details.")] = False,
) -> None:
    """Run the agent until SIGTERM or Ctrl-C."""
    from client.daemon import Agent
    from client.logs import start_logging

    place = AgentHome(home)
    place.settings()
    start_logging(place.log, verbose=verbose)
    agent = Agent(place, update_seconds=update_seconds)
    agent.run()
    if agent.busy:
        # A thread in the middle of a training step would crash the interpreter's own way out.
        os._exit(0)


@app.command()
def status(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show how this device stands: link, release, budget, refusals."""
    from client.report import status as read

    found = read(AgentHome(home))
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=2))
        return
    process = f"process {found.running}, {found.link}" if found.running else "not running"
    rows = {
        "device": f"{found.name} in {found.federation} at {found.coordinator}",
        "agent": f"{process}{', paused' if found.paused else ''}",
        "task": f"{found.task}, revision {found.revision}",
        "release": f"{found.release} serves" if found.release else "none yet",
        "privacy": f"epsilon {found.epsilon_spent:.3f} of {found.epsilon_granted:g} spent (delta {found.delta:g}, "
        f"{found.charges} charges, {found.unsent} replies unsent)",
    }
    for label, text in rows.items():
        print(f"{label:<9}{text}")
    for refusal in found.refusals:
        print(f"{'declined':<9}{refusal['at']}  {refusal['category']}: {refusal['detail']}")


@app.command()
def ledger(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List every charge to this device's privacy budget."""
    from client.report import ledger as read

    lines = read(AgentHome(home))
    if as_json:
        print(json.dumps([dataclasses.asdict(line) for line in lines], indent=2))
        return
    print(f"{'when (UTC)':<20}{'state':<9}{'epsilon':>8}  what for")
    for line in lines:
        print(f"{line.at[:19]:<20}{line.state:<9}{line.epsilon_after:>8.3f}  {line.purpose}")


@app.command()
def predict(
    record: Annotated[str | None, typer.Option(help='One record, as JSON: \'{"hour": 17, "carrier": "UA"}\'.')] = None,
    file: Annotated[Path | None, typer.Option(help="Many records: one JSON object a line.")] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Ask the release that serves on this device; nothing leaves it."""
    from client.records import read_records

    records = read_records(record, file)
    from client.inference import Predictor

    predictor = Predictor(AgentHome(home))
    for one in records:
        answer = predictor.predict(one)
        if as_json:
            print(json.dumps(dataclasses.asdict(answer)))
        else:
            scores = ", ".join(f"{name} {score:.3f}" for name, score in answer.scores.items())
            print(f"{answer.label}  ({scores}; release {answer.release}, {answer.latency_us:.0f} us)")


@app.command()
def score(
    window: Annotated[str, typer.Option(help="Only rows dated START..END, ISO dates.  [default: all]")] = "..",
    out: Annotated[Path, typer.Option(help="Where the scores go.")] = Path("scores.parquet"),
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Predict your own rows offline, and keep the scores in a Parquet file."""
    from client.scoring import score as predict_rows
    from shared.tasks import parse_window

    found = predict_rows(AgentHome(home), parse_window(window), out)
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        print(f"{found.rows} rows scored by release {found.release} into {found.file}")
        print(f"one raw record takes {found.p50_us:.0f} us (p50), {found.p99_us:.0f} us (p99)")


@app.command()
def update(home: Home = DEFAULT_HOME) -> None:
    """Look for a newer release now, verify it, try it, and let it serve."""
    from client.updates import Updates

    number = Updates(AgentHome(home)).check()
    print(f"release {number} was installed and serves now" if number else "there is nothing newer for this device")


@app.command()
def agree(
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked; for scripts.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Read the task as it is signed now, and agree to its revision."""
    from client import enrol

    enrol.agree(AgentHome(home), ask=_agree_without_asking if yes else _ask)
    print("agreed; this device takes part in this revision of the task")


@app.command()
def pause(home: Home = DEFAULT_HOME) -> None:
    """Decline every request from now on; predictions go on."""
    from client.settings import set_paused

    set_paused(AgentHome(home), paused=True)
    print("paused: this device declines to train and to count; `covey-agent resume` ends that")


@app.command()
def resume(home: Home = DEFAULT_HOME) -> None:
    """Take part again."""
    from client.settings import set_paused

    set_paused(AgentHome(home), paused=False)
    print("resumed: this device takes part again")


@app.command()
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


def _ask(explanation: str) -> bool:
    print(f"{explanation}\n")
    return typer.confirm("Do you agree?", default=False)


def _agree_without_asking(explanation: str) -> bool:
    print(explanation)
    return True


def main() -> None:
    """Run a command; whatever goes wrong is one line on stderr and exit status 1."""
    with one_line("covey-agent"):
        app(prog_name="covey-agent")


if __name__ == "__main__":
    main()
