"""The story in ten chapters; each is a few real commands and what came of them."""

import json
import socket
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.dataset import read_columns, read_examples
from client.inputs import Examples
from client.ledger import Ledger
from client.store import AgentStore
from server.records import Run
from shared import wire
from shared.revisions import UNKNOWN
from shared.tasks import Task, Window, read_task
from simulations import flights
from simulations.demo.central import auc, best_central, pool
from simulations.demo.report import ReleaseLine
from simulations.demo.screen import Screen
from simulations.demo.stage import Stage, free_ports

TASK_FILE = Path("tasks/flights.toml")
DEVICES = 8
BUDGET = 8.0
SMALL_BUDGET = 3.4
"""One owner grants less: enough for the first campaign, its surveys and some rounds of the second."""

NEARLY_ALL = 0.95
"""The share of devices that must report a release before it counts as arrived."""

WINTER = Window(start="2013-01-01", end="2013-03-01")
MARCH = Window(start="2013-03-01", end="2013-04-01")
APRIL = Window(start="2013-04-01", end="2013-05-01")
SPRING = Window(start="2013-03-01", end="2013-07-01")
FIRST_HALF = Window(start="2013-01-01", end="2013-07-01")
SUMMER = Window(start="2013-07-01", end="2013-09-01")


@dataclass(slots=True)
class Story:
    """The players, and what was seen so far."""

    stage: Stage
    screen: Screen
    devices: list[str] = field(default_factory=list[str])
    pids: dict[str, int] = field(default_factory=dict[str, int])
    releases: list[ReleaseLine] = field(default_factory=list[ReleaseLine])
    latencies: list[float] = field(default_factory=list[float])
    traffic: dict[str, int] = field(default_factory=dict[str, int])
    alarmed_at: float | None = None
    arrived_at: float | None = None
    task: Task = field(default_factory=lambda: read_task(TASK_FILE))

    def gather_data(self) -> None:
        """Give each of the largest stations its own directory with its own winter."""
        self.devices = flights.stations()[:DEVICES]
        for device in self.devices:
            self.stage.agent(device).path.mkdir(parents=True)
        self.months_pass(through=3)

    def months_pass(self, *, through: int) -> None:
        """Let time go by: each device's file now holds the rows up to the end of a month."""
        for device in self.devices:
            flights.write_station(device, range(1, through + 1), self.data(device))
        self.screen.say(f"{len(self.devices)} devices, each with its own Parquet file")

    def found_federation(self) -> None:
        """`covey init`, `covey serve`, `covey task`."""
        port, admin_port = free_ports(2)
        self.screen.say("keys and certificates")
        self.stage.covey("init", "--name", "flights-demo", "--port", str(port), "--admin-port", str(admin_port))
        self.stage.start("coordinator", "server", "--home", str(self.stage.federation.home), "serve")
        self.screen.say("signing the task")
        self.stage.covey("task", str(TASK_FILE))

    def enrol(self) -> None:
        """`covey invite`, `covey-agent join`, `covey approve` for every device."""
        self.stage.wait("the coordinator's start", self._coordinator_is_up, seconds=30)
        self.stage.side_by_side([partial(self._join, device) for device in self.devices])
        self.screen.say(f"{len(self.devices)} agents joined, each a process of its own")

    def _coordinator_is_up(self) -> bool:
        settings = self.stage.federation.settings()
        with socket.socket() as probe:
            return probe.connect_ex((settings.host, settings.port)) == 0

    def _join(self, device: str) -> None:
        """Invite one device, let it join, approve it, and start its agent."""
        home = str(self.stage.agent(device).path)
        budget = SMALL_BUDGET if device == self.devices[-1] else BUDGET
        invitation = self.stage.covey("invite").strip()
        self.stage.covey_agent(
            "join", invitation, "--home", home, "--name", device, "--data", str(self.data(device)),
            "--epsilon", str(budget), "--yes",
        )  # fmt: skip
        self.stage.covey("approve", device)
        self.pids[device] = self.stage.start(device, "client", "run", "--home", home)
        self.screen.say(f"{device} joined, its owner grants ε = {budget:g}")

    def campaign(self, window: Window, *, base: int | None) -> int:
        """`covey start`: rounds until the task's number is committed; returns the last committed version."""
        before = self._traffic()
        base_version = ("--from", str(base)) if base else ()
        self.stage.covey(
            "start", "flights", "--window", f"{window.start}..{window.end}", "--quorum", "4", "--detach", *base_version
        )
        run = self._finish()
        rounds = [result for result in self.stage.store.rounds(run.id) if result.outcome == "committed"]
        self.traffic = self._bytes_per_round(before, rounds=len(rounds))
        self.screen.say(f"{len(rounds)} rounds committed")
        return self.stage.store.versions("flights")[-1].number

    def release(self, version: int) -> int:
        """`covey promote`: export, quantize, gates, sign; then every agent fetches, verifies, tests and swaps."""
        self.screen.say(f"export, gates and signature of version {version}")
        self.stage.covey("promote", str(version))
        store = self.stage.store
        number = store.releases("flights")[-1].number
        self.stage.wait(
            f"release {number} on every device",
            lambda: self._has_arrived(number),
            seconds=60,
        )
        self.screen.say(f"release {number} (version {version}) serves on {len(self.devices)} devices")
        return number

    def _has_arrived(self, number: int) -> bool:
        """Whether every device reports a release; when nearly all of them first did so is kept."""
        on_it = [device.release == number for device in self.stage.store.devices()]
        if self.arrived_at is None and self.alarmed_at is not None and sum(on_it) >= NEARLY_ALL * len(on_it):
            self.arrived_at = time.time()
        return all(on_it)

    def predict(self, window: Window, *, learned: Window, central_learned: Window) -> None:
        """Every device predicts its new months offline; beside it, the same rows learned without privacy."""
        release = self.stage.store.releases("flights")[-1]
        self.screen.say(f"release {release.number} predicts {window}, offline")
        line = ReleaseLine(
            release=release.number, version=release.version, trained_on=str(learned), tested_on=str(window),
            auc=self._auc(window), auc_central=0.5, central="",
        )  # fmt: skip
        self.screen.say("the same rows without privacy, for comparison")
        best = best_central(self.task, self._pooled(central_learned), self._pooled(window))
        central = {"auc_central": best.auc, "central": best.architecture}
        self.releases.append(wire.decode(ReleaseLine, wire.encode(line) | central))
        self.screen.say(f"AUC {line.auc:.3f} on {window}; central {best.auc:.3f}")

    def survey(self, window: Window, *, role: str) -> bool:
        """`covey survey`: noisy histograms from every device; returns whether the score's shift raises the alarm."""
        self.screen.say(f"survey of {window}")
        self.stage.covey("survey", "flights", "--role", role, "--window", f"{window.start}..{window.end}", "--detach")
        self._finish()
        result = self.stage.store.surveys("flights")[-1]
        score = next((shift for shift in result.shifts if shift.name == "score"), None)
        self.screen.say(
            f"{window}: score PSI {score.psi:.3f}, {'ALARM' if result.alarm else 'no alarm'}" if score else ""
        )
        if result.alarm and self.alarmed_at is None:
            self.alarmed_at = result.at
        return result.alarm

    def data(self, device: str) -> Path:
        """Where a device keeps its rows."""
        return self.stage.agent(device).path / "flights.parquet"

    def spent(self, device: str) -> float:
        """What a device's own ledger says it spent; the demo may look, the coordinator may not."""
        store = AgentStore(self.stage.agent(device).database)
        try:
            return Ledger(store).spent(1e-5).epsilon
        finally:
            store.close()

    def _finish(self) -> Run:
        """Follow the newest run to its end."""
        store = self.stage.store
        run_id = store.runs()[-1].id

        def ended() -> bool:
            if progress := store.progress(run_id):
                refused = f", {progress.refused} refused" if progress.refused else ""
                self.screen.say(
                    f"round {progress.round_number} of {progress.rounds}: {progress.phase}, "
                    f"{progress.returned} of {progress.cohort} returned{refused}"
                )
            return store.run(run_id).state in ("finished", "stopped", "failed")

        self.stage.wait(f"the end of run {run_id}", ended, seconds=240)
        run = store.run(run_id)
        if run.state != "finished":
            raise RuntimeError(f"run {run_id} {run.state}: {run.detail}")
        return run

    def _auc(self, window: Window) -> float:
        """Let every agent score its own rows, then hold the scores against the demo's copy of the labels."""
        self.stage.side_by_side([partial(self._score, device, window) for device in self.devices])
        labels = {device: self._labels(device, window) for device in self.devices}
        scores = [pl.read_parquet(self._scores_of(device))["late"].to_numpy() for device in self.devices]
        pooled, truth = np.concatenate(scores), np.concatenate(list(labels.values()))
        return auc(pooled[truth != UNKNOWN], truth[truth != UNKNOWN])

    def _score(self, device: str, window: Window) -> None:
        home, out = str(self.stage.agent(device).path), str(self._scores_of(device))
        span = f"{window.start}..{window.end}"
        said = self.stage.covey_agent("score", "--home", home, "--window", span, "--out", out, "--json")
        self.latencies += json.loads(said)["latencies_us"]

    def _scores_of(self, device: str) -> Path:
        return self.stage.agent(device).path / "scores.parquet"

    def _labels(self, device: str, window: Window) -> NDArray[np.int64]:
        return read_columns(self.data(device), self.task, window)[1]

    def _pooled(self, window: Window) -> Examples:
        return pool([read_examples(self.data(device), self.task, window) for device in self.devices])

    def _traffic(self) -> dict[str, int]:
        time.sleep(0.5)
        devices = self.stage.store.devices()
        return {"up": sum(d.bytes_up for d in devices), "down": sum(d.bytes_down for d in devices)}

    def _bytes_per_round(self, before: dict[str, int], *, rounds: int) -> dict[str, int]:
        after = self._traffic()
        return {way: (after[way] - before[way]) // (rounds * len(self.devices)) for way in before}
