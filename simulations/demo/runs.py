"""Follows a run to its end, and counts what its rounds took of the network."""

import time

from server.records import Run
from server.store import Store
from simulations.demo.screen import Screen
from simulations.demo.stage import Stage

ENDED = ("finished", "stopped", "failed")
PATIENCE_SECONDS = 1800.0
"""How long a campaign may take on a machine that has other things to do."""

Traffic = dict[str, int]
"""Bytes of all devices, `up` and `down`."""


def finish(stage: Stage, screen: Screen) -> Run:
    """Follow the newest run to its end; raise `RuntimeError` unless it finished."""
    store = stage.store
    run_id = store.runs()[-1].id

    def ended() -> bool:
        _say(screen, store, run_id)
        return store.run(run_id).state in ENDED

    stage.wait(f"the end of run {run_id}", ended, seconds=PATIENCE_SECONDS)
    run = store.run(run_id)
    if run.state != "finished":
        raise RuntimeError(f"run {run_id} {run.state}: {run.detail}")
    return run


def traffic(stage: Stage) -> Traffic:
    """What the coordinator has counted so far, once it wrote that down."""
    time.sleep(0.5)
    devices = stage.store.devices()
    return {"up": sum(d.bytes_up for d in devices), "down": sum(d.bytes_down for d in devices)}


def by_round(before: Traffic, after: Traffic, *, rounds: int, devices: int) -> Traffic:
    """The bytes of one device and round."""
    return {way: (after[way] - before[way]) // (rounds * devices) for way in before}


def _say(screen: Screen, store: Store, run_id: int) -> None:
    if progress := store.progress(run_id):
        refused = f", {progress.refused} refused" if progress.refused else ""
        screen.say(
            f"round {progress.round_number} of {progress.rounds}: {progress.phase}, "
            f"{progress.returned} of {progress.cohort} returned{refused}"
        )
