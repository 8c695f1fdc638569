"""Options that `covey-sim run` and `covey-sim sweep` have alike, and what they stand for."""

import os
from pathlib import Path
from typing import Annotated

import typer

from shared.modes import Mode
from shared.tasks import Window, parse_window

CORES = os.cpu_count() or 1

INTERRUPTED = 130
"""The exit status of what a person ended."""

TaskFile = Annotated[Path, typer.Argument(help="A task file, such as tasks/flights.toml.")]
Devices = Annotated[
    int | None, typer.Option(help="How many devices.", show_default="all of a natural partition", min=1)
]
Way = Annotated[
    str, typer.Option(metavar="WAY", help="What a device is: aircraft, station; dirichlet:0.3, shards:2, evenly.",
                      show_default="the task's first way"),
]  # fmt: skip
NoiseMode = Annotated[Mode, typer.Option(help="Who adds the noise, as in `covey start`.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Put this in place of the task's.")
]
Learn = Annotated[
    str | None, typer.Option(help="Rows to learn from: START..END, ISO dates.", show_default="the data's")
]
Deadline = Annotated[float, typer.Option(help="Seconds of the fleet's own clock that a round may take.")]
Behaving = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="How devices behave: ideal, phones, desktops, or a TOML file.")
]
Granted = Annotated[float | None, typer.Option(help="What each owner grants.", show_default="the task's ceiling")]
Workers = Annotated[int, typer.Option(help="Processes side by side.", min=1)]
Extensions = Annotated[
    list[Path] | None, typer.Option("--with", metavar="FILE", help="Python that adds a network, a strategy or a rule.")
]


def window_of(text: str | None) -> Window | None:
    """A window as typed; None where nothing was, which is not the same as a window without bounds."""
    return None if text is None else parse_window(text)
