"""The one line that an owner sees when the window ends on an error that nobody foresaw; where it was goes to a file."""

import sys
import traceback

from rich.text import Text

from client.config import AgentHome


def keep(home: AgentHome) -> Text:
    """Write where the exception under way came from, without any value of a record, and say so."""
    error = sys.exc_info()[1]
    name, file = type(error).__name__, home.path / f"{home.log.name}.tui"
    try:
        with file.open("a", encoding="utf-8") as log:
            log.writelines(traceback.format_tb(error.__traceback__) if error else [])
            log.write(f"{name}\n\n")
    except OSError:
        return Text(f"covey-agent: this window ended on {name}, and {file} cannot be written. The agent goes on.")
    return Text(f"covey-agent: this window ended on {name}; {file} says where. The agent goes on.")
