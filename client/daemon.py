"""The agent's process: run, startup, serve, shutdown; it owns its signals and its directory."""

import logging
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING

from client import coordinator
from client.config import AgentHome
from client.enrol import load_key
from client.ledger import Ledger
from client.patience import Link
from client.store import AgentStore
from shared.enrolment import InstalledReport
from shared.errors import CoveyError, InputError, ReleaseError, Unreachable
from shared.files import write_whole
from shared.lock import only_one

if TYPE_CHECKING:
    from flwr.app import Context, Message

    from client.node import App

log = logging.getLogger(__name__)

GOODBYE_SECONDS = 3.0
"""How long a stop may wait for the coordinator; what it interrupts is taken up at the next start."""


def installed_app(message: "Message", context: "Context") -> "Message":
    """Answer with the app that is installed here; it loads what a message needs when the message comes."""
    from client.app import app

    return app(message, context)


class Agent:
    """One device's agent."""

    def __init__(self, home: AgentHome, *, update_seconds: float = 600.0, app: "App" = installed_app) -> None:
        """Prepare the agent in `home`; it looks for releases on a hint, and every `update_seconds`."""
        self._home, self._update_seconds, self._app = home, update_seconds, app
        self._stopping, self._look = Event(), Event()
        self._link: Link = "starting"
        self._told: InstalledReport | None = None
        self._threads: list[Thread] = []

    def run(self) -> None:
        """Hold the directory and serve until a signal or `stop`; raise `InputError` if the agent cannot start."""
        self._settings = self._home.settings()
        with only_one(self._home.lock, what="the agent"), self._signals():
            self._startup()
            try:
                self._serve()
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
        from client.node import Node

        self._key = load_key(self._home)
        self._trust = coordinator.trust_only(_authority(self._home))
        self._store = AgentStore(self._home.database)
        self._node = Node(
            coordinator=self._settings.coordinator, trust=self._trust, key=self._key, app=self._app,
            agent=self._home.path.resolve(), ledger=Ledger(self._store), stopping=self._stopping,
            on_release=self._hear_of_release, on_link=self._note_link,
        )  # fmt: skip
        self._note_link("starting")
        log.info("agent %s started", self._settings.name)

    def _serve(self) -> None:
        """Keep connected and updated until the stop."""
        self._threads = [self._start(self._node.run, "node"), self._start(self._keep_updated, "updates")]
        self._stopping.wait()

    def _shutdown(self) -> None:
        """Say goodbye, without waiting for who does not answer."""
        log.info("agent %s stops", self._settings.name)
        goodbye = self._start(self._node.leave, "goodbye")
        for thread in (goodbye, *self._threads):
            thread.join(GOODBYE_SECONDS / 3)
        self._home.link_file.unlink(missing_ok=True)

    def _start(self, target: Callable[[], None], name: str) -> Thread:
        thread = Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def _hear_of_release(self, number: int) -> None:
        log.info("the coordinator speaks of release %d; looking", number)
        self._look.set()

    def _note_link(self, link: Link) -> None:
        self._link = link
        write_whole(self._home.link_file, link.encode())
        if link == "online":
            self._look.set()

    def _keep_updated(self) -> None:
        """Look for a release at the start, on each hint, and every so often."""
        while not self._stopping.is_set():
            self._look.clear()
            try:
                self._update()
            except Unreachable as error:
                log.info("no look at the releases: %s", error)
            except CoveyError as error:
                log.warning("no update: %s", error)
            except Exception:
                log.exception("the update failed")
            self._look.wait(self._update_seconds)

    def _update(self) -> None:
        """Install what is newer and serves well here, then tell the coordinator what serves."""
        from client.updates import Updates

        refused = False
        try:
            Updates(self._home).check()
        except ReleaseError as error:
            log.warning("the newest release does not serve here: %s", error)
            refused = True
        self._tell(_report(self._home, refused=refused))

    def _tell(self, report: InstalledReport) -> None:
        if self._link != "online" or report == self._told or not self._home.settings().health:
            return
        coordinator.report_installed(self._settings.coordinator, report, key=self._key, trust=self._trust)
        self._told = report


def _report(home: AgentHome, *, refused: bool) -> InstalledReport:
    """Which release serves and how fast it was on made-up records; in fixed words, never an error's text."""
    from client.installed import serving

    installed = serving(home)
    if installed is None:
        return InstalledReport(release=0, detail="refused" if refused else "")
    tried = installed.tried
    speed = f"{tried.precision}, {tried.fp32_us if tried.precision == 'fp32' else tried.int8_us:.0f} us"
    return InstalledReport(release=installed.release.number, detail=f"{speed}, newer one refused" if refused else speed)


def _authority(home: AgentHome) -> bytes:
    try:
        return home.authority.read_bytes()
    except OSError:
        raise InputError(f"certificate {home.authority} is missing; leave and join again") from None
