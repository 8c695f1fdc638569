"""Contenders take turns: each waits in its own process until it is its turn, so that one works at a time."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from shared.errors import InputError
from simulations.benchmarks.peers.lineup import Contender, Group
from simulations.benchmarks.peers.turns import Turn

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
PATIENCE = 5.0
"""Seconds that a contender has to end by itself."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The turns of each contender that ran, and why others did not."""

    turns: dict[str, tuple[Turn, ...]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def meet(group: Group, names: Sequence[str], *, say: Say) -> Scores:
    """Let the named contenders of a group take their turns; one that fails is absent with its reason."""
    wanted = [each for each in group.contenders if each.name in names]
    absent = {each.name: lacking(each) for each in wanted if each.missing}
    turns: dict[str, list[Turn]] = {}
    with ExitStack() as stack:
        ready: dict[str, Callable[[], Turn]] = {}
        for each in wanted:
            if each.name in absent:
                continue
            say(f"{each.title}: getting ready")
            _try(each.name, absent, lambda each=each: ready.update({each.name: stack.enter_context(seat(each.act))}))
        for number in range(group.turns):
            for name in [name for name in ready if name not in absent]:
                say(f"{group.name}: turn {number + 1} of {group.turns}, {name}")
                _try(name, absent, lambda name=name: turns.setdefault(name, []).append(ready[name]()))
    whole = {name: tuple(found) for name, found in turns.items() if name not in absent}
    return Scores(turns=whole, absent=absent)


def lacking(contender: Contender) -> str:
    """Why a contender cannot run here, and how to install what it needs."""
    verb = "is" if len(contender.missing) == 1 else "are"
    return f"{', '.join(contender.missing)} {verb} not installed: {contender.install}"


def _try(name: str, absent: dict[str, str], act: Callable[[], object]) -> None:
    try:
        act()
    except InputError as error:
        absent[name] = str(error)


@contextmanager
def seat(act: str) -> Generator[Callable[[], Turn]]:
    """A contender's process, warmed up; what it gives does a turn. Raise `InputError` with the last that it said."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-m", "simulations.benchmarks.peers.child", act],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment(),
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        told, heard = process.stdin, process.stdout
        try:
            _answer(heard, complaints)

            def turn() -> Turn:
                with contextlib.suppress(BrokenPipeError):
                    told.write("\n")
                    told.flush()
                return Turn(**_answer(heard, complaints))

            yield turn
        finally:
            _end(process)


def environment() -> dict[str, str]:
    """One thread a process, and the path by which this one found its modules."""
    path = os.pathsep.join(entry for entry in (os.getcwd(), *sys.path) if entry)  # noqa: PTH109 - text, as the path is
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


def _answer(heard: Iterable[str], complaints: TextIO) -> Mapping[str, Any]:
    for line in heard:
        if line.startswith("@"):
            return json.loads(line[1:])
    complaints.seek(0)
    said = [line.strip() for line in complaints if line.strip()]
    raise InputError(f"it ended early: {said[-1] if said else 'it said nothing'}")


def _end(process: "subprocess.Popen[str]") -> None:
    """Let it go; its input ends, and so does it."""
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
