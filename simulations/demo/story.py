"""The story in its chapters; each is a few real commands and what came of them."""

import socket
import time
from dataclasses import dataclass, field
from functools import cached_property, partial

from server.evaluated import evaluated, newest
from server.retraining import asking
from server.rollouts import in_force
from shared.models import Release
from shared.tasks import Task, Window
from simulations import flights
from simulations.demo.central import best_central
from simulations.demo.looking import Looker
from simulations.demo.mixup import sign_the_wrong_file
from simulations.demo.report import CountedLine, ReleaseLine, counted_line
from simulations.demo.rolling import RolloutLine, follow
from simulations.demo.runs import Traffic, by_round, finish, traffic
from simulations.demo.screen import Screen
from simulations.demo.stage import Stage, free_ports
from simulations.demo.terms import write_task

DEVICES = 8
BUDGET = 8.0
SMALL_BUDGET = 3.8
"""One owner grants less: enough for the first campaign, what is counted about it, and some rounds of the second."""

NEARLY_ALL = 0.95
"""The share of devices that must report a release before it counts as arrived."""

NAME = "flights"


@dataclass
class Story:
    """The players, and what was seen so far."""

    stage: Stage
    screen: Screen
    devices: list[str] = field(default_factory=list[str])
    pids: dict[str, int] = field(default_factory=dict[str, int])
    releases: list[ReleaseLine] = field(default_factory=list[ReleaseLine])
    rollouts: list[RolloutLine] = field(default_factory=list[RolloutLine])
    traffic: Traffic = field(default_factory=Traffic)
    alarmed_at: float | None = None
    arrived_at: float | None = None

    @property
    def task(self) -> Task:
        """The task as it was signed."""
        return self.stage.store.task(NAME)

    @cached_property
    def looker(self) -> Looker:
        """The demo's own look at what devices hold."""
        return Looker(self.stage, self.devices)

    def gather_data(self) -> None:
        """Give each of the largest stations its own directory with its own winter."""
        self.devices = flights.stations()[:DEVICES]
        for device in self.devices:
            self.stage.agent(device).path.mkdir(parents=True)
        self.months_pass(through=3)

    def months_pass(self, *, through: int) -> None:
        """Let time go by: each device's file now holds the rows up to the end of a month."""
        for device in self.devices:
            flights.write_station(device, range(1, through + 1), self.looker.data(device))
        self.screen.say(f"{len(self.devices)} devices, each with its own Parquet file")

    def found_federation(self) -> None:
        """`covey init`, `covey serve`, `covey task`."""
        port, admin_port = free_ports(2)
        self.screen.say("keys and certificates")
        self.stage.covey("init", "--name", "flights-demo", "--port", str(port), "--admin-port", str(admin_port))
        self.stage.start("coordinator", "server", "--home", str(self.stage.federation.home), "serve")
        self.screen.say("signing the task")
        file = self.stage.folder / "flights.toml"
        write_task(file)
        self.stage.covey("task", str(file))

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
            "join", invitation, "--home", home, "--name", device, "--data", str(self.looker.data(device)),
            "--epsilon", str(budget), "--yes",
        )  # fmt: skip
        self.stage.covey("approve", device)
        self.pids[device] = self.stage.start(device, "client", "run", "--home", home)
        self.screen.say(f"{device} joined, its owner grants ε = {budget:g}")

    def campaign(self, window: Window) -> int:
        """`covey start`: rounds until the task's number is committed; returns the last committed version."""
        before = traffic(self.stage)
        self.stage.covey("start", NAME, "--window", _span(window), "--quorum", "4", "--detach")
        return self._learned(before)

    def retrain(self, window: Window, *, base: int) -> int:
        """`covey retrain --accept`: the campaign that the policy asks for; `covey start` where there was no alarm."""
        before = traffic(self.stage)
        if self.alarmed_at is None:
            self.stage.covey("start", NAME, "--window", _span(window), "--from", str(base), "--detach")
        else:
            self.stage.covey("retrain", NAME, "--accept")
        return self._learned(before)

    def _learned(self, before: Traffic) -> int:
        """Follow a campaign; note what a round took of the network since `before`, and return the last version."""
        run = finish(self.stage, self.screen)
        rounds = [result for result in self.stage.store.rounds(run.id) if result.outcome == "committed"]
        self.traffic = by_round(before, traffic(self.stage), rounds=len(rounds), devices=len(self.devices))
        self.screen.say(f"{len(rounds)} rounds committed")
        return self.stage.store.versions(NAME)[-1].number

    def evaluate(self, version: int, window: Window) -> CountedLine:
        """`covey evaluate`: the fleet counts a version's scores on rows that it did not learn, with noise, charged."""
        self.screen.say(f"the fleet counts version {version}'s scores on {window}")
        self.stage.covey("evaluate", str(version), "--window", _span(window), "--detach")
        finish(self.stage, self.screen)
        store = self.stage.store
        found = evaluated(store, newest(store, NAME, version), threshold=None)
        self.screen.say(f"version {version} on {window}: AUC {found.auc} by {found.devices} devices' noisy counts")
        return counted_line(found)

    def release(self, version: int) -> None:
        """`covey promote`: gates, signature, canary; then the coordinator opens the stages by what devices report."""
        self.screen.say(f"gates and signature of version {version}")
        self.stage.covey("promote", str(version))
        line = self._roll_out(self.stage.store.releases(NAME)[-1].number, expected="complete")
        self.screen.say(f"release {line.release} (version {version}) serves on {line.fleet} devices")

    def mix_up(self, version: int) -> None:
        """Sign a wrong file past the gates, and watch the coordinator halt it at the canary."""
        self.screen.say("a wrong file is signed past the gates")
        line = self._roll_out(sign_the_wrong_file(self.stage, self.task, version), expected="halted")
        self.screen.say(f"release {line.release} is halted after {line.seconds:.0f} s: {line.why}")

    def _roll_out(self, number: int, *, expected: str) -> RolloutLine:
        """Follow a release to the end of its rollout; raise `RuntimeError` where that is another than expected."""
        line = follow(self.stage, self.screen, self.task, number, seen=self._note_arrival)
        self.rollouts.append(line)
        if line.state != expected:
            raise RuntimeError(f"release {number} is {line.state}, not {expected}: {line.why}")
        return line

    def _note_arrival(self) -> None:
        """Keep when nearly all devices first reported the release that was learned on the alarm."""
        if self.alarmed_at is None or self.arrived_at is not None:
            return
        newest_one = self.stage.store.releases(NAME)[-1].number
        on_it = [device.release == newest_one for device in self.stage.store.devices()]
        if sum(on_it) >= NEARLY_ALL * len(on_it):
            self.arrived_at = time.time()

    def predict(self, window: Window, *, counted: CountedLine, central_learned: Window) -> None:
        """Every device predicts its new months offline; beside it, the same rows learned without privacy."""
        release = self._in_force()
        self.screen.say(f"release {release.number} predicts {window}, offline")
        exact = self.looker.auc(self.task, window)
        self.screen.say("the same rows without privacy, for comparison")
        pooled = (self.looker.pooled(self.task, each) for each in (central_learned, window))
        best = best_central(self.task, *pooled)
        self.releases.append(
            ReleaseLine(
                release=release.number, version=release.version, trained_on=str(release.trained_on),
                tested_on=str(window), auc=exact, counted=counted, auc_central=best.auc, central=best.architecture,
            )
        )  # fmt: skip
        self.screen.say(f"AUC {exact:.3f} on {window}; central {best.auc:.3f}")

    def _in_force(self) -> Release:
        store = self.stage.store
        found = in_force(store.releases(NAME), store.rollouts(NAME))
        if found is None:
            raise RuntimeError("no release is in force")
        return found

    def survey(self, window: Window, *, role: str) -> bool:
        """`covey survey`: noisy histograms from every device; returns whether the score's shift raises the alarm."""
        self.screen.say(f"survey of {window}")
        self.stage.covey("survey", NAME, "--role", role, "--window", _span(window), "--detach")
        finish(self.stage, self.screen)
        result = self.stage.store.surveys(NAME)[-1]
        score = next((shift for shift in result.shifts if shift.name == "score"), None)
        self.screen.say(
            f"{window}: score PSI {score.psi:.3f}, {'ALARM' if result.alarm else 'no alarm'}" if score else ""
        )
        if result.alarm and self.alarmed_at is None:
            self.alarmed_at = result.at
            self._wait_for_the_policy()
        return result.alarm

    def _wait_for_the_policy(self) -> None:
        """The running coordinator looks at the survey by itself, and asks."""
        store = self.stage.store
        self.stage.wait("the policy's question", lambda: asking(store.decisions(NAME)) is not None, seconds=60)
        self.screen.say(f"the policy asks to retrain: {store.decisions(NAME)[-1].why}")


def _span(window: Window) -> str:
    return f"{window.start}..{window.end}"
