"""Options that many commands share, and how an owner is asked."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

Home = Annotated[
    Path, typer.Option("--home", envvar="COVEY_AGENT_HOME", help="The agent's directory.", show_default=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OfTask = Annotated[str | None, typer.Option("--task", help="Which task, if this device has several.")]
Yes = Annotated[bool, typer.Option("--yes", help="Agree without being asked; for scripts.")]
DEFAULT_HOME = Path("agent")


def print_json(found: Any) -> None:
    """Print what dataclasses, and lists and tables of them, hold as JSON."""
    print(json.dumps(_plain(found), indent=2, default=str))


def _plain(found: Any) -> Any:
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        return dataclasses.asdict(found)
    if isinstance(found, dict):
        return {name: _plain(one) for name, one in cast(dict[str, Any], found).items()}
    return [_plain(one) for one in cast(list[Any], found)] if isinstance(found, (list, tuple)) else found


def ask(explanation: str) -> bool:
    """Show an explanation and ask for a yes."""
    print(f"{explanation}\n")
    return typer.confirm("Do you agree?", default=False)


def agree_without_asking(explanation: str) -> bool:
    """Show an explanation to whoever reads the script's output."""
    print(explanation)
    return True
