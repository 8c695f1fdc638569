"""The owner's window reads when a file moved and only then, and starts without the heavy libraries."""

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from screens.owner import story
from textual.message import Message

from client.config import AgentHome
from client.policy import fingerprint
from client.policyfile import set_paused
from client.store import AgentStore
from client.tui import acts
from client.tui.watcher import LOOK_SECONDS, Changed, Unreadable, watch
from shared import wire

HEAVY = (
    "click", "dp_accounting", "flwr", "httpx", "onnx", "onnxruntime", "opacus", "opendp", "polars", "torch", "tuf",
    "typer", "uvicorn",
)  # fmt: skip


class Listener:
    """Hears what a watcher tells, and waits for it."""

    def __init__(self, home: AgentHome) -> None:
        self.said: list[Message] = []
        self._news = threading.Condition()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=watch, args=(home, self.tell, self.stop))
        self.thread.start()

    def tell(self, message: Message) -> None:
        with self._news:
            self.said.append(message)
            self._news.notify_all()

    def wait_for(self, heard: Callable[[Message], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: any(map(heard, self.said)), timeout=30)

    def end(self) -> None:
        self.stop.set()
        self.thread.join()


def test_the_window_imports_none_of_the_heavy_libraries() -> None:
    views = ", ".join(f"client.tui.{name}" for name in ("app", "budget", "consent", "left", "labels", "predictions"))
    program = f"import {views}, sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_it_reads_once_until_somebody_writes(told: AgentHome) -> None:
    listener = Listener(told)
    listener.wait_for(agreed)
    listener.stop.wait(LOOK_SECONDS * 5)
    assert len(listener.said) == 1
    with closing(AgentStore(told.database)) as store:
        store.withdraw("flights")
    listener.wait_for(lambda message: not agreed(message))
    listener.end()


def agreed(message: Message) -> bool:
    assert isinstance(message, Changed)
    return message.snapshot.tasks[0].agreed


def test_policy_that_was_edited_is_read(told: AgentHome) -> None:
    listener = Listener(told)
    listener.wait_for(agreed)
    set_paused(told, paused=True)
    listener.wait_for(lambda message: isinstance(message, Changed) and message.snapshot.paused)
    listener.end()


def test_it_says_once_that_there_is_no_agent_and_makes_nothing(tmp_path: Path) -> None:
    listener = Listener(AgentHome(tmp_path))
    listener.stop.wait(LOOK_SECONDS * 4)
    listener.end()
    [only] = listener.said
    assert isinstance(only, Unreadable)
    assert "holds no agent" in only.reason
    assert not list(tmp_path.iterdir())


def test_looking_at_a_fresh_agent_makes_no_predictions_file(fresh: AgentHome) -> None:
    listener = Listener(fresh)
    listener.wait_for(agreed)
    listener.end()
    assert not fresh.task("flights").predictions.exists()


def test_what_was_signed_meanwhile_is_not_agreed_to(told: AgentHome) -> None:
    """The owner agrees to the words on screen, not to those that arrived behind them."""
    place = told.task("flights")
    shown = place.signed_task()
    with closing(AgentStore(told.database)) as store:
        store.withdraw("flights")
    story.sign(place, wire.decode(type(shown), wire.encode(shown) | {"title": "Something else"}))
    hand, done = acts.Hand(told), list[acts.Done]()
    hand.ask(acts.agree(place, shown, "the words"))
    hand.stop()
    hand.work(done.append)
    with closing(AgentStore(told.database)) as store:
        assert store.agreed("flights", fingerprint(shown))
        assert not store.agreed("flights", fingerprint(place.signed_task()))
    assert [one.failed for one in done] == [False]
