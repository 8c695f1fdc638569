"""Jobs shared out over processes of their own, the longest first; what each returns, by name."""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

Job = tuple[Callable[..., Any], tuple[Any, ...]]
Say = Callable[[str], None]

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


def work(jobs: Mapping[str, Job], *, workers: int, say: Say) -> dict[str, Any]:
    """Do all jobs, in their order and here if there is one worker; says after each how far it is."""
    began, found = time.monotonic(), dict[str, Any]()

    def note(name: str, result: Any) -> None:
        found[name] = result
        say(f"{len(found)} of {len(jobs)} done after {time.monotonic() - began:.0f} s: {name}")

    if workers == 1:
        for name, (act, arguments) in jobs.items():
            note(name, act(*arguments))
        return found
    for variable in _ONE_THREAD:
        os.environ.setdefault(variable, "1")
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        named = {pool.submit(act, *arguments): name for name, (act, arguments) in jobs.items()}
        for done in as_completed(named):
            note(named[done], done.result())
    return found
