"""The commands of `covey-agent`, in the groups that its help shows."""

import typer

from client.cli import asking, data, honesty, running, taking_part

app = typer.Typer(
    help="Take part in a federation, predict offline, and count everything that leaves this device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for group, commands in {
    "Taking part": (
        taking_part.join, taking_part.take, taking_part.agree, taking_part.pause, taking_part.resume, taking_part.leave,
    ),
    "The agent": (running.run, running.status, running.update, running.retry, running.unit),
    "Predictions": (asking.predict, asking.score, asking.outcome, asking.outcomes, asking.quality),
    "What is held here, and what left": (
        honesty.ledger, honesty.audit, honesty.consent, honesty.export, honesty.erase,
        honesty.tui,
    ),
}.items():  # fmt: skip
    for command in commands:
        app.command(rich_help_panel=group)(command)

app.add_typer(data.app, name="data", rich_help_panel="Your rows")
