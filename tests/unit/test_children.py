"""The processes of runs: one that ended by itself a moment ago does not trouble whoever wants it to leave."""

import asyncio
import sys
from pathlib import Path

from server.children import Child, Children
from server.config import Federation


async def ended_process() -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
    await process.wait()
    return process


async def test_a_process_that_has_ended_may_be_told_to_leave(tmp_path: Path) -> None:
    children = Children(Federation(tmp_path), verbose=False)
    children._children[7] = Child(run_id=7, flower_run=1, process=await ended_process())
    children.terminate(7)
    (left,) = await children.stop_all(patience=1.0)
    assert left.run_id == 7
    assert 7 not in children


async def test_a_process_that_will_not_leave_is_ended(tmp_path: Path) -> None:
    stubborn = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); sys.stdout.flush(); time.sleep(60)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", stubborn, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    children = Children(Federation(tmp_path), verbose=False)
    children._children[8] = Child(run_id=8, flower_run=1, process=process)
    await children.stop_all(patience=0.2)
    assert process.returncode == -9
