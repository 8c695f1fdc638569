"""What can be said after `:`, how it is completed, and what is wrong with it; nothing here does anything."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from shared.errors import InputError

if TYPE_CHECKING:  # the frame is painted before the store's modules are imported
    from server.tui.watcher import Snapshot

MOST_REMEMBERED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One command: `takes` names what follows it, `offers` the values that fit, `acts` whether it changes the federation."""

    name: str
    means: str
    takes: str = ""
    offers: "Callable[[Snapshot], Sequence[str]] | None" = None
    acts: bool = False

    def __str__(self) -> str:
        """The word as it is typed."""
        return f"{self.name} {self.takes}".rstrip()


def begun(typed: str) -> tuple[str, str]:
    """The command, and what follows it as it was typed."""
    name, _, rest = typed.strip().removeprefix(":").lstrip().partition(" ")
    return name.lower(), rest.strip()


def split(typed: str) -> list[str]:
    """What follows a command, as a shell splits it; raise `InputError` if a quotation mark stands alone."""
    try:
        return shlex.split(typed)
    except ValueError:
        raise InputError(f"{typed} has a quotation mark without its other") from None


def word_of(name: str, words: Sequence[Word]) -> Word:
    """The command of that name, or the only one that starts so; raise `InputError` if there is none."""
    starting = [word for word in words if word.name.startswith(name)]
    if exact := [word for word in starting if word.name == name]:
        return exact[0]
    if len(starting) == 1:
        return starting[0]
    if starting:
        raise InputError(f"{name!r} may be {' or '.join(word.name for word in starting)}")
    close = get_close_matches(name, [word.name for word in words], n=1)
    raise InputError(
        f"there is no command {name!r}; " + (f"did you mean {close[0]}?" if close else "tab lists them all")
    )


def completions(typed: str, words: Sequence[Word], snapshot: "Snapshot | None") -> list[str]:
    """Whole lines that the typed one may become."""
    name, space, rest = typed.lstrip().removeprefix(":").partition(" ")
    if not space:
        return [f"{word.name} " if word.takes else word.name for word in words if word.name.startswith(name.lower())]
    found = next((word for word in words if word.name == name.lower()), None)
    if found is None or found.offers is None or snapshot is None:
        return []
    before, _, last = rest.rpartition(" ")
    lead = f"{name} {before} " if before else f"{name} "
    return [lead + value for value in found.offers(snapshot) if value.lower().startswith(last.lower())]


def completed(typed: str, lines: Sequence[str]) -> str:
    """The typed line with all that its completions have in common."""
    common = lines[0] if lines else typed
    while not all(each.startswith(common) for each in lines):
        common = common[:-1]
    return common if len(common) > len(typed) else typed


class History:
    """Lines that were said, and where a person is among them."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.lines: list[str] = []
        self.place = 0

    def add(self, said: str) -> None:
        """Remember a line, once; and be past the last."""
        if said:
            self.lines = [*(each for each in self.lines if each != said), said][-MOST_REMEMBERED:]
        self.place = len(self.lines)

    def move(self, step: int) -> str:
        """The line before or after; nothing past the last."""
        self.place = min(max(self.place + step, 0), len(self.lines))
        return self.lines[self.place] if self.place < len(self.lines) else ""
