"""What an act is, and how its command is run: the terminal does nothing that a person could not type."""

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # the frame is painted before its dialogs are imported
    from textual.screen import ModalScreen


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One command with its consequences, or `also` several, one after the other. `words` follow `covey --home DIR`.

    What cannot be undone has `typed`: the name that a person types first. What can be has `undo`. What can be done in
    several ways has `asks`: the dialog, given the federation's directory, that asks which and answers with another act.
    """

    title: str
    verb: str
    words: tuple[str, ...]
    consequences: tuple[str, ...]
    danger: bool = False
    also: tuple[tuple[str, ...], ...] = ()
    typed: str = ""
    undo: Self | None = None
    asks: "Callable[[Path], ModalScreen[Act | None]] | None" = field(default=None, compare=False)

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The words of every command, in order."""
        return (self.words, *self.also)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended: its exit code, and the last line that it wrote."""

    code: int
    said: str


Runner = Callable[[Sequence[str]], Awaitable[Ran]]
"""Runs `covey` with these arguments; tests put their own here."""


async def run_covey(arguments: Sequence[str]) -> Ran:
    """Run the command line of this very installation in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    said = [text for text in (err if process.returncode else out or err).decode(errors="replace").splitlines() if text]
    return Ran(code=process.returncode or 0, said=said[-1] if said else "")


async def carry_out(act: Act, home: Path, runner: Runner) -> Ran:
    """Run an act's commands until one fails; what the failed one said, or the last."""
    ran = Ran(code=0, said="")
    for done, words in enumerate(act.commands):
        ran = await runner(("--home", str(home), *words))
        if ran.code:
            said = ran.said or f"it ended with code {ran.code} and said nothing"
            rest = f" ({done} of {len(act.commands)} were done before)" if act.also else ""
            return Ran(code=ran.code, said=said + rest)
    return Ran(code=0, said=f"{len(act.commands)} commands done" if act.also else ran.said or "done")


def command_line(words: Sequence[str], home: Path) -> str:
    """The command as a person would type it, and as it is run."""
    return shlex.join(["covey", "--home", str(home), *words])
