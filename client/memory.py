"""Keeps the agent's own process small: few pools of memory for its threads, and none kept that nobody uses."""

import contextlib
import ctypes

_M_ARENA_MAX = -8
ARENAS = 2


def spare_memory() -> None:
    """Let glibc keep two pools, not eight a processor: each thread would else hold on to memory of its own."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return to the system what glibc holds and nobody uses."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
