"""The operator's guide names commands and options that exist, and every command of its own chapter."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer

from server.__main__ import home_first
from server.cli.program import app
from server.rotation import WHAT

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
GROUP = typer.main.get_command(app)
TYPED = sorted(
    {line.partition(" > ")[0] for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()}
)
COVEY = [re.sub(r"^[A-Z_]+=\S+ ", "", line) for line in TYPED if re.match(r"([A-Z_]+=\S+ )?covey( |$)", line)]


def parsed(line: str) -> click.Context:
    """The command that a line calls, with its options read; raises click's error for one that is not there."""
    assert isinstance(GROUP, click.Group)
    options, rest = home_first(shlex.split(line)[1:])
    with GROUP.make_context("covey", [*options, *rest], resilient_parsing=False) as context:
        name, command, words = GROUP.resolve_command(context, rest)
        assert command is not None
        return command.make_context(name, list(words), parent=context)


@pytest.mark.parametrize("line", [line for line in COVEY if len(home_first(shlex.split(line)[1:])[1]) > 0])
def test_a_command_of_the_page_is_read_as_it_stands(line: str) -> None:
    assert parsed(line).command.name == home_first(shlex.split(line)[1:])[1][0]


def test_every_key_that_can_be_rotated_is_on_the_page() -> None:
    assert {line.split()[-1] for line in COVEY if " rotate " in line} == set(WHAT)


def test_the_page_has_every_command_of_operations() -> None:
    assert isinstance(GROUP, click.Group)
    own = {name for name, command in GROUP.commands.items() if getattr(command, "rich_help_panel", "") == "Operations"}
    assert own == {"doctor", "backup", "restore", "rotate", "unit"}
    assert own <= {home_first(shlex.split(line)[1:])[1][0] for line in COVEY if home_first(shlex.split(line)[1:])[1]}
