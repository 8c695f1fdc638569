"""What a person sees while the story runs: live on a terminal, plain lines everywhere else."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text


class Screen:
    """Chapters, the time each took, and one line that says what happens now."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self.seconds: dict[str, float] = {}
        self._console = console
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._done: list[Text] = []
        self._now = ""

    def __enter__(self) -> Self:
        """Start painting."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop painting; what was shown stays."""
        if self._live:
            self._live.update(Group(*self._done))
            self._live.stop()

    @contextmanager
    def chapter(self, name: str, title: str) -> Generator[None]:
        """Time a chapter under `name` and show it as done when it ends."""
        started = time.monotonic()
        self._title, self._now = title, ""
        self.say("…")
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
        took = f"{time.monotonic() - started:6.1f} s"
        line = Text.assemble(("  ✓ ", "green"), f"{title:<54}", (took, "dim"), "  ", (self._now, "cyan"))
        self._done.append(line)
        if not self._live:
            self._console.print(line, soft_wrap=True)

    def say(self, text: str) -> None:
        """Say what happens now."""
        if text == self._now and self._live is None:
            return
        self._now = text
        if self._live:
            spinner = Spinner("dots", Text.assemble(f" {self._title}  ", (text, "cyan")))
            self._live.update(Group(*self._done, spinner))
        elif text:
            self._console.print(f"    {text}", markup=False, highlight=False, soft_wrap=True)
