"""The coordinator's process: startup, serve, shutdown. It owns its signals and one directory."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable

from server.children import Children
from server.config import Federation
from server.exposition import MetricsGate
from server.flower_environment import prepare
from server.gateway import Gateway
from server.listeners import Listener, bind
from server.logs import write_logs
from server.mailbox import Mailbox
from server.pki import renew_server_certificate
from server.sequences import open_sequences
from server.store import Store
from shared.errors import InputError
from shared.lock import only_one

ACT_SECONDS, WRITE_DOWN_SECONDS, STEER_SECONDS, SIGN_SECONDS = 0.25, 2.0, 5.0, 60.0
LEAVE_SECONDS = 1.5
"""How long the runs' processes may take to leave; with the listeners' grace it stays under five seconds."""
LOOPBACK = "127.0.0.1"

log = logging.getLogger(__name__)


def serve(
    federation: Federation, *, verbose: bool, test_port: int | None, say: Callable[[str], None], command: str = ""
) -> None:
    """Run the coordinator until SIGINT or SIGTERM; `say` gets the one line that tells where it listens.

    Raise `InputError` if it runs already or a port is taken.
    """
    settings = federation.settings()
    with only_one(federation.lock, what=f"the coordinator of {settings.name!r}"):
        write_logs(federation.logs / "coordinator.log", verbose=verbose)
        prepare(federation)
        renew_server_certificate(federation.tls, host=settings.host)
        asyncio.run(Service(federation, verbose=verbose, test_port=test_port, command=command).run(say))


class Service:
    """One coordinator."""

    def __init__(
        self, federation: Federation, *, verbose: bool = False, test_port: int | None = None, command: str = ""
    ) -> None:
        """Bind the ports first, because that is what fails; then build what serves them.

        `test_port` opens one more listener, on loopback only, that takes fleet requests without Covey's
        signature: for a stock Flower SuperNode in a test (privacy rule 20).
        """
        self._federation, self._settings = federation, federation.settings()
        public, admin = bind(self._settings.host, self._settings.port), bind(LOOPBACK, self._settings.admin_port)
        unsigned = bind(LOOPBACK, test_port) if test_port is not None else None

        from server.conductor import Conductor
        from server.superlink import FleetGate, LoopbackGate, SuperLink

        superlink, self._store = SuperLink(federation), Store(federation.database, create=False)
        self._mailbox, self._children = Mailbox(), Children(federation, verbose=verbose)
        self._gateway = Gateway(
            store=self._store, fleet=superlink.fleet, mailbox=self._mailbox, repository=federation.repository,
            authority=federation.tls / "ca.crt", sequences=open_sequences(self._store, federation.tls),
        )  # fmt: skip
        self._conductor = Conductor(
            federation, store=self._store, superlink=superlink, mailbox=self._mailbox, children=self._children
        )
        gate = LoopbackGate(superlink.app, self._mailbox.deliver)
        self._metrics = MetricsGate(gate, Store(federation.database, create=False), self._gateway.requests)
        self._listeners = [Listener(federation, self._metrics, admin, lifespan=True)]
        self._listeners.append(Listener(federation, self._gateway, public))
        if unsigned is not None:
            self._listeners.append(Listener(federation, FleetGate(superlink.app), unsigned))
        self._stopping, self._certificate, self._command = asyncio.Event(), _stamp(federation), command
        self._looked: dict[str, float] = {}
        self._file, self._lost = _file(federation), ""

    async def run(self, say: Callable[[str], None]) -> None:
        """The whole life of the process; raise `InputError` if its store was taken away meanwhile."""
        try:
            await self.startup()
            say(self._where())
            await self.serve()
        finally:
            await self.shutdown()
        if self._lost:
            raise InputError(self._lost)

    async def startup(self) -> None:
        """Own the signals, listen, and take up the runs that a killed coordinator left."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._stopping.set)
        self._conductor.admit()
        for listener in self._listeners:
            await listener.start()
        await self._conductor.resume()
        self._store.audit("coordinator", "serve", f"port {self._settings.port}", command=self._command)

    async def serve(self) -> None:
        """Do the standing duties until a signal comes."""
        async with asyncio.TaskGroup() as duties:
            duties.create_task(self._every(ACT_SECONDS, self._act))
            duties.create_task(self._every(WRITE_DOWN_SECONDS, self._write_down))
            duties.create_task(self._every(SIGN_SECONDS, self._sign))
            duties.create_task(self._every(STEER_SECONDS, self._steer))
            duties.create_task(self._every(STEER_SECONDS, self._retrain))

    async def shutdown(self) -> None:
        """Let every request and process leave, and write down what was counted."""
        log.info("the coordinator stops")
        self._mailbox.close()
        await self._children.stop_all(patience=LEAVE_SECONDS)
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        if not self._lost:
            await self._write_down()
            self._store.audit("coordinator", "stop")
        self._store.close()
        self._metrics.close()

    def _where(self) -> str:
        settings = self._settings
        return f"covey: {settings.name} listens on https://{settings.host}:{settings.port}; Ctrl-C stops it"

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        """Do `duty` again and again; what goes wrong in one turn is logged and does not end the others."""
        while not self._stopping.is_set() and self._has_its_store():
            try:
                await duty()
            except Exception:
                if not self._has_its_store():
                    return
                log.exception("a standing duty failed; it is tried again in %s seconds", seconds)
            try:
                await asyncio.wait_for(self._stopping.wait(), timeout=seconds)
            except TimeoutError:
                continue

    async def _act(self) -> None:
        await self._conductor.act()
        self._gateway.release = self._conductor.release

    def _has_its_store(self) -> bool:
        """Whether the store's file is still in its place; without it the coordinator ends.

        What is written from then on would be lost, and devices must not be told what nobody keeps.
        """
        if (found := _file(self._federation)) != self._file and not self._lost:
            what = "was replaced by another file" if found else "was taken away"
            self._lost = (
                f"{self._federation.database} {what}, so the coordinator ended; put the right one there, or restore a "
                "backup, then start `covey serve` again"
            )
            log.error(self._lost)
            self._stopping.set()
        return not self._lost

    async def _write_down(self) -> None:
        self._gateway.traffic.flush(self._store, now=time.time())

    async def _sign(self) -> None:
        """Keep the online TUF roles from expiring; a frozen timestamp would stop the fleet's training."""
        from server.releases import refresh_timestamp

        if await asyncio.to_thread(refresh_timestamp, self._federation):
            log.info("the release repository's timestamp was signed anew")
        self._follow_certificate()

    def _follow_certificate(self) -> None:
        """Renew the server's certificate in time, and take up one that was rotated, without a restart."""
        renew_server_certificate(self._federation.tls, host=self._settings.host)
        if (found := _stamp(self._federation)) != self._certificate:
            self._certificate = found
            for listener in self._listeners:
                listener.take_up(self._federation)
            log.info("the server's certificate was taken up anew")

    async def _steer(self) -> None:
        """Open the next stage of each rollout, or halt it, as its devices' health says."""
        from server.rollout_duty import steer_all

        await asyncio.to_thread(steer_all, self._federation)

    async def _retrain(self) -> None:
        """Ask for the surveys that are due, and let what they found start a campaign, or a question."""
        from server.retraining_duty import look_after_all

        await asyncio.to_thread(look_after_all, self._federation, self._looked)


def _file(federation: Federation) -> tuple[int, int] | None:
    """Which file is the store; None where there is none."""
    try:
        found = federation.database.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _stamp(federation: Federation) -> int:
    """When the server's certificate was written."""
    return (federation.tls / "server.key").stat().st_mtime_ns
