"""What the coordinator does about what the store says: nodes for devices, processes for runs."""

import asyncio
import logging
import time

from server.children import Child, Children
from server.config import Federation
from server.mailbox import Mailbox
from server.records import ACTIVE, Device, DeviceState, Run
from server.runs import Ticket
from server.store import Store
from server.superlink import SuperLink

STOP_SECONDS = 5.0
"""How long a run that was told to stop may take to leave by itself; a round is committed whole or not at all."""

log = logging.getLogger(__name__)


class Conductor:
    """Reads the store four times a second and acts on what changed; lives on one event loop."""

    def __init__(
        self, federation: Federation, *, store: Store, superlink: SuperLink, mailbox: Mailbox, children: Children
    ) -> None:
        """Nothing is done before `resume` and `act` are called."""
        self._settings = federation.settings()
        self._store, self._superlink = store, superlink
        self._mailbox, self._children = mailbox, children
        self._seen = -1
        self._states: list[tuple[str, DeviceState, bool]] = []
        self._news: object = None
        self._out: set[str] = set()
        self._told_to_stop: dict[int, float] = {}
        self.release = 0

    def admit(self) -> None:
        """Make every approved device a node of the new, empty Flower state; call before anything listens."""
        for device in self._store.devices():
            if device.state == "approved":
                node = self._superlink.create_node(device.name, device.public_key)
                self._store.set_node(device.name, node)
                # A poll of a session that an earlier coordinator opened must not rest: its sender is to come in anew.
                self._mailbox.deliver([node])

    async def resume(self) -> None:
        """Take the runs of a coordinator that was killed up after their last committed round."""
        for run in self._store.runs("running"):
            log.info("run %d goes on after its last committed round", run.id)
            await self._start(run)

    async def act(self) -> None:
        """Follow the store if another process wrote to it, and look after the runs' processes."""
        if (changes := self._store.changes()) != self._seen:
            self._seen = changes
            if (states := self._store.device_states()) != self._states:
                self._states = states
                await self._follow_devices(self._store.devices())
            await self._follow_runs()
            self._tell_news()
        for child in self._children.reap():
            await self._bury(child)
        self._hurry()

    async def _follow_devices(self, devices: list[Device]) -> None:
        """An approved device becomes a node; a revoked one stops being one."""
        for device in devices:
            if device.state == "approved" and device.node_id is None:
                node = await asyncio.to_thread(self._superlink.create_node, device.name, device.public_key)
                self._store.set_node(device.name, node)
                log.info("device %s is node %d", device.name, node)
            elif device.state == "revoked" and device.node_id is not None and device.name not in self._out:
                await asyncio.to_thread(self._superlink.delete_node, device.node_id)
                self._out.add(device.name)
                log.info("device %s is no node any more", device.name)

    async def _follow_runs(self) -> None:
        for run in self._store.runs("queued"):
            await self._start(run)
        for run in self._store.runs("stopping"):
            if run.id not in self._children:
                self._store.set_run_state(run.id, "stopped")
            self._told_to_stop.setdefault(run.id, time.monotonic())

    def _tell_news(self) -> None:
        """Wake the resting polls when something changed that a device may ask for; rounds' progress is not that."""
        release, roster, rollouts, tasks = self._store.news()
        # A number that grows with each release, roster, rollout and revision tells devices to look; what they find is signed.
        self.release = release + roster + rollouts + sum(revision for _, revision in tasks)
        news = (self.release, tasks, [(name, state) for name, state, _ in self._states])
        if news != self._news:
            self._news = news
            self._mailbox.ring()

    async def _start(self, run: Run) -> None:
        """Give a run its Flower run and its process."""
        if run.id in self._children:
            return
        try:
            flower = await asyncio.to_thread(self._superlink.start_run)
            ticket = Ticket(address=f"127.0.0.1:{self._settings.admin_port}", token=flower.token)
            await self._children.start(run.id, flower_run=flower.id, ticket=ticket)
        except Exception:
            log.exception("run %d could not be started", run.id)
            self._store.set_run_state(run.id, "failed", "the run could not be started; the coordinator's log says why")
        else:
            self._store.set_run_state(run.id, "running")
            self._store.audit("coordinator", "run", f"{run.kind} run {run.id} of {run.task}")

    async def _bury(self, child: Child) -> None:
        """End the Flower run of a process that ended, and the Covey run if it did not say how it ended."""
        self._told_to_stop.pop(child.run_id, None)
        await asyncio.to_thread(self._superlink.stop_run, child.flower_run)
        run = self._store.run(child.run_id)
        if run.state == "stopping":
            self._store.set_run_state(run.id, "stopped")
        elif run.state in ACTIVE:
            code = child.process.returncode
            self._store.set_run_state(run.id, "failed", f"the run's process ended unexpectedly (exit status {code})")
        log.info("run %d %s", run.id, self._store.run(run.id).state)

    def _hurry(self) -> None:
        """A run that was told to stop and has not left in time is made to."""
        now = time.monotonic()
        for run_id, since in list(self._told_to_stop.items()):
            if run_id not in self._children:
                del self._told_to_stop[run_id]
            elif now - since > STOP_SECONDS:
                self._children.terminate(run_id)
