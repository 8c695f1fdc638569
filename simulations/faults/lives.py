"""What a child of the zygote does: one scripted life that may be cut short, or the start that comes after it."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

from client import audit, erasure, installed
from client.cli.running import run
from client.config import AgentHome
from client.housekeeping import open_log
from client.inference import Predictor
from client.installed import serving
from client.ledger import Ledger
from client.logs import start_logging
from client.membership import Membership
from client.served import Served
from client.store import AgentStore
from server.config import Federation
from shared import failpoints
from shared.errors import CoveyError
from simulations.faults import asked, disks, operations
from simulations.faults.seams import Outside, Wire, put_in_place, updates
from simulations.faults.world import BUDGET, Place
from simulations.machines import RECORDS, TASK

Spec = dict[str, Any]
Found = dict[str, Any]

LONGEST_SECONDS = 60
"""A child that hangs is ended by its alarm, and its case fails."""

PATIENCE_SECONDS = 25.0
PREDICTIONS = 40
HURT_SECONDS = 0.5
DECLINED = ("declined", "no look at the releases")
"""What the log says of these is a sentence too, though no cause for alarm."""


def live(spec: Spec) -> Found:
    """Live one life. `kill`, `fill` and `read_only` say where it is cut short; `record` asks for its operations."""
    signal.alarm(LONGEST_SECONDS)
    place, heard = _place(spec), list[str]()
    kill, fill = spec.get("kill", ""), spec.get("fill", "")

    def hear(name: str) -> None:
        heard.append(name)
        if name == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == fill:
            disks.fill(Path(spec["disk"]))
            outside.hurt.set()

    start_logging(place.folder / "life.log", verbose=False)
    outside = Outside(place, [tuple(ask) for ask in spec.get("asks", [])])
    put_in_place(outside)
    failpoints.hook = hear
    operations.listen(place.home.path, hear)
    if spec.get("read_only"):
        disks.make_read_only(place.home.path)
        outside.hurt.set()
    ended, text = _ending(lambda: LIVES[spec["life"]](place))
    failpoints.hook = None
    meanwhile = _answers_here(place.home) if fill or spec.get("read_only") else []
    return {"ended": ended, "text": text, "operations": heard, "meanwhile": meanwhile}


def start(spec: Spec) -> Found:
    """Start the agent as its command does, ask it, let it update and answer a round, ask again, and stop it."""
    signal.alarm(LONGEST_SECONDS)
    place = _place(spec)
    outside = Outside(place, [("after", "train")])
    put_in_place(outside)
    if spec.get("read_only"):
        disks.make_read_only(place.home.path)
    over, found = Event(), Found(first=[], last=[])
    script = Thread(target=_play, args=(outside, over, found), daemon=True)
    script.start()
    ended, text = _ending(lambda: _run(place.home))
    over.set()
    script.join()
    return found | {"ended": ended, "text": text, "spent": _spent(place.home), **_said(place.home)}


def _run(home: AgentHome) -> None:
    """`covey-agent run`."""
    erasure.finish(home)
    run(home=home.path, update_seconds=1e6)


def _play(outside: Outside, over: Event, found: Found) -> None:
    """What happens around the running agent; ends it with the signal that a service manager sends."""
    socket = outside.place.home.socket
    if asked.wait_for(socket, over, seconds=PATIENCE_SECONDS):
        found["first"] = asked.ask_all(socket)
    outside.may_update.set()
    _wait(lambda: outside.updated.is_set() and (outside.served.is_set() or _is_broken(outside.place.home)), over)
    _wait(lambda: _is_current(outside.place.home, socket), over, seconds=5.0)
    found["last"] = asked.ask_all(socket)
    if not over.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _is_broken(home: AgentHome) -> bool:
    return home.link_file.exists() and home.link_file.read_text() == "broken"


def _is_current(home: AgentHome, socket: Path) -> bool:
    """Whether the endpoint answers with what the directory says serves."""
    there = serving(home.task(TASK.name))
    answers = asked.ask_all(socket)
    return there is not None and bool(answers) and answers[0] is not None and answers[0][0] == there.release.number


def _wait(ready: Callable[[], bool], over: Event, *, seconds: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not over.is_set() and time.monotonic() < until and not ready():
        over.wait(0.02)


def _ending(act: Callable[[], object]) -> tuple[str, str]:
    """How something ended, and its last words: `done`, one `sentence` for a person, or a `trace`, which nobody wants."""
    try:
        act()
    except CoveyError as error:
        return "sentence", str(error)
    except OSError as error:
        return "sentence", f"{error.filename or 'a file'}: {error.strerror or error}"
    except SystemExit:
        return "done", ""
    except Exception as error:  # noqa: BLE001 - the table shows whatever it is
        import traceback

        return "trace", f"{type(error).__name__}: {error} at {traceback.extract_tb(error.__traceback__)[-1]}"
    return "done", ""


def _spent(home: AgentHome) -> float | None:
    """What the ledger says was spent; None where it cannot be read."""
    try:
        with closing(AgentStore(home.database)) as store:
            return Ledger(store).spent(BUDGET.delta).epsilon
    except CoveyError:
        return None


def _said(home: AgentHome) -> Found:
    """The agent's log of this start: sentences of warning, and traces."""
    try:
        lines = [json.loads(line) for line in home.log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        lines = []
    worth = [one for one in lines if one["level"] in ("warning", "error") or one["text"].startswith(DECLINED)]
    return {"log": [line["text"] for line in worth], "traces": [line["trace"] for line in lines if "trace" in line]}


def _answers_here(home: AgentHome) -> list[Any]:
    """What a running agent's predictor would answer now."""
    try:
        predictor = Predictor(home.task(TASK.name))
    except CoveyError:
        return []
    found = [predictor.predict(record) for record in RECORDS]
    return [(one.release, one.model_version, one.scores["stops"]) for one in found]


def _place(spec: Spec) -> Place:
    return Place(Path(spec["folder"]), Federation(Path(spec["federation"])))


def _be_a_node(place: Place) -> None:
    """Take part until every request was answered, or for a moment on a disk that takes nothing any more."""
    outside, stopping = Wire.outside, Event()

    def end() -> None:
        while not outside.served.wait(0.02):
            if outside.hurt.is_set():
                outside.served.wait(HURT_SECONDS)
                break
        stopping.set()

    Thread(target=end, daemon=True).start()
    Membership(place.home, None, stopping=stopping, on_release=lambda _: None, on_link=lambda _: None).run()


def _fall_back(place: Place) -> None:
    installed.fall_back(place.home.task(TASK.name), 2, "it did badly")


def _fall_back_twice(place: Place) -> None:
    _fall_back(place)
    installed.fall_back(place.home.task(TASK.name), 1, "it did badly too")


def _update(place: Place) -> None:
    report = updates(place, place.home).check()
    if reason := report.tasks[0].reason:
        raise CoveyError(reason)


def _retune(place: Place) -> None:
    """As after an upgrade of ONNX Runtime: what was made of the release here is made anew."""
    (place.home.task(TASK.name).releases / "2" / "tuned.json").unlink()
    _update(place)


def _record(place: Place) -> None:
    """What the recorder does about once a second, and an outcome."""
    served = [
        Served(
            id=f"p-{number}", at=time.time(), release=2, version=2, record=dict(RECORDS[0]), scores=(0.5, 0.5),
            label=None, labelled_at=None,
        )
        for number in range(PREDICTIONS)
    ]  # fmt: skip
    with closing(open_log(place.home.task(TASK.name))) as log:
        log.add(served)
        log.outcome("p-0", "runs")


def _note(place: Place) -> None:
    audit.note(place.home, "health report", purpose="how a release did", content=b"fp32, 7 us")


def _erase(place: Place) -> None:
    erasure.erase(place.home, with_data=False)


def _leave(place: Place) -> None:
    from client.enrol import leave

    leave(place.home)


LIVES: dict[str, Callable[[Place], None]] = {
    "update": _update, "first update": _update, "retune": _retune, "round": _be_a_node, "survey": _be_a_node,
    "rollback": _fall_back, "both bad": _fall_back_twice, "predictions": _record, "audit": _note, "erase": _erase,
    "leave": _leave,
}  # fmt: skip
