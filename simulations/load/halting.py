"""`covey serve` that dies by SIGKILL at a named moment, once: the shipped code, stopped between two of its own calls.

`python -m simulations.load.halting --home HOME serve`. The file `HOME/halt-at` names the moment (`POINTS`); it is
removed as the coordinator dies, so that the next one lives. The run's process dies with its coordinator, as it does.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

POINTS = (
    "queued", "selected", "sent", "half returned", "all returned", "aggregated", "committing", "committed",
    "between rounds", "stopping", "survey merged",
)  # fmt: skip
"""Ten moments of a campaign, in order, and one of a survey."""

_HOME = Path(sys.argv[sys.argv.index("--home") + 1]) if "--home" in sys.argv else Path()
_PATIENCE = 60.0


def arm(home: Path, point: str) -> None:
    """Let the coordinator of the federation at `home` die when it next reaches `point`."""
    assert point in POINTS
    (home / "halt-at").write_text(point)


def main() -> int | None:
    """Be the coordinator, or the process of one of its runs."""
    if "--run" in sys.argv:
        from server.runs import main as run

        watch_run(lambda point: halt(point, os.getppid()))
        return run()
    from server.__main__ import main as serve

    watch_coordinator(lambda point: halt(point, os.getpid()))
    serve()
    return None


def halt(point: str, coordinator: int) -> None:
    """Kill the coordinator if it is to die here, and wait for the end."""
    file = _HOME / "halt-at"
    if file.exists() and file.read_text() == point:
        file.unlink()
        os.kill(coordinator, signal.SIGKILL)
        time.sleep(_PATIENCE)


def watch_coordinator(reached: Callable[[str], None]) -> None:
    """Say when a queued run is about to be taken up, and let the runs' processes be watched too."""
    import asyncio

    from server.conductor import Conductor

    _before(Conductor, "_start", lambda *_: reached("queued"))
    start = asyncio.create_subprocess_exec

    async def watched(program: str, *words: str, **options: Any) -> Any:
        ours = [__spec__.name if word == "server.runs" else word for word in words]
        return await start(program, *ours, **options)

    asyncio.create_subprocess_exec = watched


def watch_run(reached: Callable[[str], None]) -> None:
    """Say where a run is: what it selects, sends, gets back, aggregates and commits."""
    from server import rounds
    from server.store import Store
    from server.wholegrid import WholeGrid

    counts = {"sent": 0, "back": 0, "rounds": 0}

    def pushed(ids: Any) -> None:
        counts["sent"], counts["back"] = len(list(ids)), 0
        reached("sent")

    def pulled(replies: Any) -> None:
        counts["back"] += len(replies)
        if counts["back"]:
            reached("all returned" if counts["back"] >= counts["sent"] else "half returned")

    def ends(_store: object, _run: int, state: str, *_: object) -> None:
        if state == "stopped":
            reached("stopping")

    gather = rounds.gather

    @wraps(gather)
    def watched(*args: Any, **options: Any) -> Any:
        counts["rounds"] += 1
        if counts["rounds"] > 1:
            reached("between rounds")
        chosen = gather(*args, **options)
        reached("selected")
        return chosen

    rounds.gather = watched
    _after(WholeGrid, "push_messages", pushed)
    _after(WholeGrid, "pull_messages", pulled)
    _before(Store, "commit_round", lambda *_: reached("aggregated"))
    _after(Store, "_insert_round", lambda _: reached("committing"))
    _after(Store, "commit_round", lambda _: reached("committed"))
    _before(Store, "add_survey", lambda *_: reached("survey merged"))
    _before(Store, "set_run_state", ends)


def _before(cls: type, name: str, told: Callable[..., object]) -> None:
    inner = getattr(cls, name)

    @wraps(inner)
    def watched(*args: Any, **options: Any) -> Any:
        told(*args)
        return inner(*args, **options)

    setattr(cls, name, watched)


def _after(cls: type, name: str, told: Callable[[Any], object]) -> None:
    inner = getattr(cls, name)

    @wraps(inner)
    def watched(*args: Any, **options: Any) -> Any:
        found = inner(*args, **options)
        told(found)
        return found

    setattr(cls, name, watched)


if __name__ == "__main__":
    sys.exit(main())
