"""The agent's process: run, startup, serve, shutdown; it owns its signals and its directory.

Predictions come first: they answer before anything else is imported, whatever the network, the trust or the policy
file are like. Training runs in a child (`client.worker`), updates in another (`client.upkeep`).
"""

import logging
import shutil
import signal
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING

from client.config import AgentHome
from client.erasure import finish
from client.memory import give_back, spare_memory
from client.patience import Link
from client.serving.service import PredictionService
from client.watch import Watch
from shared.errors import CoveyError
from shared.files import write_whole
from shared.lock import only_one

if TYPE_CHECKING:
    from client.node import App
    from client.upkeep import Upkeep

log = logging.getLogger(__name__)

GOODBYE_SECONDS = 3.0
"""How long a stop may wait for the coordinator; what it interrupts is taken up at the next start."""

HOUSE_SECONDS = 300.0
"""How often predictions are let go whose time is over."""

BROKEN_SECONDS = 30.0
"""How long to wait before a start that failed is tried again; the owner may have mended what was wrong."""


class Agent:
    """One device's agent."""

    def __init__(
        self,
        home: AgentHome,
        *,
        update_seconds: float = 600.0,
        port: int | None = None,
        predict_only: bool = False,
        app: "App | None" = None,
    ) -> None:
        """Prepare the agent in `home`; it looks for releases on a hint, and every `update_seconds`.

        `port` also answers predictions on loopback. With `predict_only` nothing but the prediction service runs.
        `app` stands in for the installed one in tests.
        """
        self._home, self._update_seconds, self._predict_only, self._app = home, update_seconds, predict_only, app
        self._stopping, self._look = Event(), Event()
        self._link: Link = "starting"
        self._service = PredictionService(home, port=port)
        self._threads: list[Thread] = []
        self._leave: Callable[[], None] = lambda: None
        self._make_room: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Hold the directory and serve until a signal or `stop`; raise `InputError` if the agent cannot start."""
        spare_memory()
        finish(self._home)
        self._settings = self._home.settings()
        with only_one(self._home.lock, what="the agent"), self._signals(), self._service:
            try:
                self._startup()
                self._stopping.wait()
            finally:
                self._shutdown()

    @property
    def busy(self) -> bool:
        """Whether a thread is still at work after `run` returned."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Ask the agent to end; `run` returns within a few seconds."""
        self._stopping.set()
        self._look.set()

    @contextmanager
    def _signals(self) -> Generator[None]:
        """Take the stop signals while the block runs, and give them back."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # From a thread, because the interrupted main thread may hold the very lock that `stop` takes.
        Thread(target=self.stop, name="stop").start()

    def _startup(self) -> None:
        """Take up the rest; predictions are answered already."""
        shutil.rmtree(self._home.scratch, ignore_errors=True)
        self._note_link("starting")
        log.info("agent %s started", self._settings.name)
        self._threads = [self._start(self._keep_house, "house")]
        if not self._predict_only:
            watch = Watch(self._home, on_wake=self._look.set)
            jobs = {
                "node": self._stay_connected,
                "updates": self._keep_updated,
                "watch": lambda: watch.run(self._stopping),
            }
            self._threads += [self._start(job, name) for name, job in jobs.items()]

    def _shutdown(self) -> None:
        """Say goodbye, without waiting for who does not answer; predictions go on meanwhile."""
        log.info("agent %s stops", self._settings.name)
        self._stopping.set()
        goodbye = self._start(self._leave, "goodbye")
        for thread in (goodbye, *self._threads):
            thread.join(GOODBYE_SECONDS / 3)
        self._home.link_file.unlink(missing_ok=True)

    def _start(self, target: Callable[[], None], name: str) -> Thread:
        thread = Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def _note_link(self, link: Link) -> None:
        self._link = link
        with suppress(OSError):  # a full disk does not end a session
            write_whole(self._home.link_file, link.encode())
        if link == "online":
            self._look.set()

    def _stay_connected(self) -> None:
        """Take part in the fleet; what is broken on this device is said and tried again."""
        from client.membership import Membership

        member = Membership(
            self._home, self._app, stopping=self._stopping, on_release=self._hear, on_link=self._note_link
        )
        self._leave, self._make_room = member.leave, member.make_room
        while not self._stopping.is_set():
            try:
                member.run()
            except CoveyError as error:
                log.error("this device cannot take part, predictions go on: %s", error)  # noqa: TRY400 - a sentence
                self._note_link("broken")
                self._stopping.wait(BROKEN_SECONDS)

    def _keep_house(self) -> None:
        """Let go of predictions whose time is over: a while after the start, then every so often."""
        from client.housekeeping import expire

        while not self._stopping.wait(HOUSE_SECONDS):
            try:
                expire(self._home)
            except CoveyError as error:
                log.warning("predictions were not expired: %s", error)

    def _hear(self, number: int) -> None:
        log.info("the coordinator speaks of release %d; looking", number)
        self._look.set()

    def _keep_updated(self) -> None:
        """Look for releases at the start, on each hint, and every so often."""
        from client.upkeep import Upkeep

        upkeep = Upkeep(self._home, stopping=self._stopping)
        with closing(upkeep):
            self._look_after(upkeep)

    def _look_after(self, upkeep: "Upkeep") -> None:
        while not self._stopping.is_set():
            self._look.clear()
            try:
                self._make_room()
                if upkeep.look(online=self._link == "online"):
                    self._service.reload()
            except CoveyError as error:
                log.info("no look at the releases: %s", error)
            except Exception:
                log.exception("the update failed")
            give_back()
            self._look.wait(self._update_seconds)
