"""Named moments at which a crash matters; a harness that kills the process there sets `hook`, and nothing else does."""

from collections.abc import Callable

hook: Callable[[str], None] | None = None


def reached(name: str) -> None:
    """Say that the moment called `name` has come."""
    if hook is not None:
        hook(name)
