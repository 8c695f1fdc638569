"""A program in a terminal of its own: what it writes, when, and what a key makes it write."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ASKS_SYNC, HAS_SYNC = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
"""A program asks whether frames can be bracketed; this terminal can, so that redraws can be counted."""
FRAME = b"\x1b[?2026h"
"""Begins a frame."""


class Terminal:
    """A child process on a pseudo-terminal; leaving the block ends it."""

    def __init__(
        self, command: Sequence[str], *, size: tuple[int, int] = (120, 40), environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:  # fmt: skip
        """Start `command` in a terminal of `size` columns and lines."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before: list[object] = termios.tcgetattr(slave)
        self.started = time.monotonic()
        # A size in the environment would stand above the terminal's own.
        inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        self._child = subprocess.Popen(  # noqa: S603 - the caller's command
            command, stdin=slave, stdout=slave, stderr=slave, close_fds=True, start_new_session=True, cwd=cwd,
            env={**inherited, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})},
        )  # fmt: skip
        self._slave, self.written, self.answered = slave, b"", False

    def __enter__(self) -> Self:
        """The terminal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child, and close both ends."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        os.close(self._slave)
        os.close(self._master)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size, as dragging a window's edge does."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.killpg(self._child.pid, signal.SIGWINCH)

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._child.pid

    def send(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self._child.send_signal(number)

    def modes(self) -> list[object]:
        """The terminal's modes now, to compare with those before the program."""
        return termios.tcgetattr(self._slave)

    def read(self, seconds: float) -> bytes:
        """What is written within a time."""
        start, until = len(self.written), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._take(left)
        return self.written[start:]

    def until(self, *wanted: bytes, seconds: float = 30.0, start: int | None = None) -> float:
        """Wait until everything wanted was written, from `start` on (by default from now); the moment of the last.

        Raise `TimeoutError` if it never is.
        """
        begin = len(self.written) if start is None else start
        limit = time.monotonic() + seconds
        while not all(each in self.written[begin:] for each in wanted):
            if time.monotonic() > limit:
                raise TimeoutError(f"the terminal never showed {wanted!r}")
            self._take(limit - time.monotonic())
        return time.monotonic()

    def ended(self, seconds: float = 20.0) -> int:
        """The exit status, once the program ended; its last words are read meanwhile."""
        limit = time.monotonic() + seconds
        while self._child.poll() is None and time.monotonic() < limit:
            self._take(0.05)
        self.read(0.1)
        return self._child.wait(1)

    def _take(self, seconds: float) -> None:
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return
        self.written += os.read(self._master, 1 << 16)
        if not self.answered and ASKS_SYNC in self.written:
            self.answered = True
            os.write(self._master, HAS_SYNC)
