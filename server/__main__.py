"""`covey`: the terminal UI, or one of the operator's commands. Only what is asked for is imported."""

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from server.config import Federation, default_home, only_reads
from shared.endings import one_line
from shared.errors import InputError


def main() -> None:
    """Run `covey`; whatever goes wrong is one line on stderr and exit status 1."""
    options, command = home_first(sys.argv[1:])
    with one_line("covey"):
        if command:
            run_command([*options, *command])
        else:
            open_terminal(options)


def run_command(arguments: Sequence[str]) -> None:
    """Run one command of the command line."""
    from server.cli.program import app

    app(args=list(arguments), prog_name="covey")


def open_terminal(options: Sequence[str]) -> None:
    """Open the terminal UI on the federation that the options name; raise `InputError` without one, or without a terminal."""
    federation = Federation(named_home(options).absolute())
    federation.settings()
    if not sys.stdin.isatty() and "TEXTUAL_DRIVER" not in os.environ:  # a page in a browser is no terminal either
        raise InputError("the terminal UI needs a terminal to read keys from; `covey --help` lists what prints instead")

    # How long a key waits for its frame at most: half of what Textual takes by itself, read as it is imported.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    gc.disable()  # modules make no garbage, and looking for it costs a tenth of their time
    from server.tui.app import run

    gc.enable()
    run(
        federation,
        read_only="--read-only" in options or only_reads(),
        ascii_only=True if "--ascii" in options else None,
    )


def home_first(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """`--home DIR` and the other options before a command, wherever they were typed; and the command with what is its own."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--home":
            first += [word, next(words, "")]
        # After a command, --ascii is the command's own.
        elif word.startswith("--home=") or word in {"-v", "--verbose", "--read-only", *(() if rest else ("--ascii",))}:
            first.append(word)
        else:
            rest.append(word)
    return first, rest


def named_home(options: Sequence[str]) -> Path:
    """The directory that the options name last, or the default; raise `InputError` if it has no name."""
    home = str(default_home())
    for option, value in zip(options, [*options[1:], ""], strict=True):
        if option == "--home":
            home = value
        elif option.startswith("--home="):
            home = option.removeprefix("--home=")
    if not home:
        raise InputError("--home needs a directory, such as `covey --home federation`")
    return Path(home)


if __name__ == "__main__":
    main()
