"""`covey fit-labels`: the parameters of a task's label model, before the task is published."""

from pathlib import Path
from typing import Annotated

import typer


def fit_labels(
    file: Annotated[Path, typer.Argument(metavar="TASK", help="A task file with labelling rules.")],
    rows: Annotated[Path, typer.Argument(help="Your own public or made-up rows: a .parquet or .csv file.")],
) -> None:
    """Fit a task's label model on rows of your own, and print the table for its file."""
    from server import labelling

    typer.echo(labelling.fit_labels(file, rows), nl=False)
