"""What a person sees when the terminal UI meets an error that nobody foresaw: one line; the rest goes to a file."""

import sys
import traceback
from pathlib import Path

from rich.text import Text


def keep(logs: Path) -> Text:
    """Write the exception under way to `terminal.log`, with its place in the code, and say so in one line."""
    error = sys.exc_info()[1]
    file = logs / "terminal.log"
    try:
        with file.open("a", encoding="utf-8") as log:
            log.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        return Text(f"covey: the terminal UI ended on {type(error).__name__}, and {file} cannot be written")
    return Text(f"covey: the terminal UI ended on {type(error).__name__}; {file} says where. Nothing else was touched.")
