"""Flower's `Grid` over virtual devices: `server.app` and its strategy run as they ship, and blocks of devices train.

A message goes to one device; or, for a strategy that only sums, to a carrier, whose answer is an equal part of the sum
over all devices that returned. The mean over carriers is then the mean over devices, whatever returned of each.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import Error, Message, RecordDict
from flwr.common.serde import recorddict_to_proto
from numpy.typing import NDArray

from client.feedback import Feedback, compress
from shared import messages
from shared.architecture import size
from shared.compression import Noised
from shared.errors import InputError
from shared.noise import CipherStream
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.tasks import Task
from shared.updates import is_within
from simulations.fleet.devices import GONE, Devices, Turn
from simulations.fleet.engine import Noise
from simulations.fleet.streams import device_stream
from simulations.fleet.traffic import Traffic, TrafficLog
from simulations.fleet.workers import Crew
from simulations.loopback import InProcessGrid

Update = NDArray[np.float32]

COMPRESSING = 1 << 40
"""Added to a device's number, it names the stream that its compression draws from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a campaign asks: up to `cohort` devices a round, of which `quorum` must return before the deadline.

    With `carriers`, so many nodes stand for the devices, and each answers with an equal part of the sum.
    """

    cohort: int
    quorum: int
    deadline_seconds: float
    carriers: int | None = None


class FleetGrid(InProcessGrid):
    """Answers a campaign's rounds with what `devices` do and a crew trains."""

    def __init__(
        self, task: Task, devices: Devices, crew: Crew, asking: Asking, *, nodes: Sequence[int], names: Sequence[str],
        traffic: TrafficLog, seed: int, noise: Noise,
    ) -> None:  # fmt: skip
        """`nodes` are the coordinator's, in order: a device's or a carrier's each; `names` what it calls the devices."""
        super().__init__()
        self._task, self._devices, self._crew, self._asking = task, devices, crew, asking
        self._nodes, self._names = list(nodes), names
        self._seed: int = seed
        self._noise: Noise = noise
        self._feedback: dict[int, Feedback] = {}
        self._present: list[int] | None = None
        self._replies: dict[str, Message] = {}
        self._traffic, self._nothing = traffic, np.zeros(size(task), np.float32)
        self.watch: Callable[[int, float], None] = lambda _number, _share: None

    def recall(self, plan: RoundPlan, *, asked: bool) -> None:
        """Let the devices live through a round that was conducted before: they pay, and time goes on."""
        present = self._devices.check_in(self._asking.cohort, quorum=self._asking.quorum)
        if asked:
            self._devices.ask(plan, present, deadline_seconds=self._asking.deadline_seconds)

    def get_node_ids(self) -> Iterable[int]:
        """Who is online and was picked for the round that is to come."""
        if self._present is None:
            self._present = self._devices.check_in(self._asking.cohort, quorum=self._asking.quorum)
        if self._asking.carriers is None:
            return [self._nodes[device] for device in self._present]
        return self._nodes if self._present else []

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let a round's addressees answer; returns the messages' ids in order."""
        asked = list(messages)
        answers = self._answers(asked) if asked else {}
        keys: list[str] = []
        for message in asked:
            key = secrets.token_hex(16)
            vars(message.metadata)["_message_id"] = key
            self._replies[key] = _reply(answers[message.metadata.dst_node_id], message)
            keys.append(key)
        self._present = None
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Hand over the answers to `message_ids`, each once, in the order of their nodes: sums are then the same to the bit."""
        found = [self._replies.pop(key) for key in message_ids if key in self._replies]
        return sorted(found, key=lambda message: message.metadata.src_node_id)

    def _answers(self, asked: Sequence[Message]) -> dict[int, RecordDict | int]:
        """What each node answers: a content, or the code of its silence; raise `InputError` for what is no round."""
        if asked[0].metadata.message_type != "train":
            raise InputError("a rehearsal's devices answer rounds alone; ask a fleet of agents for counts")
        plan = messages.unpack(asked[0].content, "plan", RoundPlan)
        weights = messages.unpack_array(asked[0].content, size=size(self._task))
        nodes = sorted(message.metadata.dst_node_id for message in asked)
        if self._asking.carriers is None:
            of_node = {self._nodes[device]: device for device in self._present or []}
            devices = [of_node[node] for node in nodes]
        else:
            devices = self._present or []
        turn = self._devices.ask(plan, devices, deadline_seconds=self._asking.deadline_seconds)
        found = self._summed(plan, weights, turn, nodes) if self._asking.carriers else self._each(plan, weights, turn)
        self._weigh(plan, asked[0].content, turn, found)
        return found

    def _each(self, plan: RoundPlan, weights: Update, turn: Turn) -> dict[int, RecordDict | int]:
        """One answer a device."""
        found: dict[int, RecordDict | int] = {self._nodes[device]: code for device, code in turn.silent.items()}
        for device, word in turn.refused.items():
            found[self._nodes[device]] = messages.pack("refusal", RefusalReport(category=word))
        updates = self._crew.updates(plan, weights, turn.returned, seed=self._seed, noise=self._noise)
        for device, update in zip(turn.returned, updates, strict=True):
            found[self._nodes[device]] = self._content(plan, device, self._devices.told(device, update))
            self._tell(plan, len(found) / len(turn.asked))
        return found

    def _content(self, plan: RoundPlan, device: int, update: Update) -> RecordDict:
        """A device's answer, as `client.app` packs it."""
        if plan.compression is None:
            return messages.pack("report", _report(plan, update), array=update)
        data = compress(
            Noised(values=update, cost=plan.cost), plan, device=self._names[device],
            kept=self._feedback.setdefault(device, Feedback()), words=self._stream(plan, device).words,
        )  # fmt: skip
        return messages.pack("report", _report(plan, update), data=data)

    def _stream(self, plan: RoundPlan, device: int) -> CipherStream:
        return device_stream(self._seed, plan.number, COMPRESSING + device)

    def _summed(
        self, plan: RoundPlan, weights: Update, turn: Turn, nodes: Sequence[int]
    ) -> dict[int, RecordDict | int]:
        """Equal parts of the sum, one a carrier, as long as a quorum of devices returned."""
        if len(turn.returned) < max(1, self._asking.quorum):
            word = next(iter(turn.refused.values()), None)
            silence = GONE if word is None else messages.pack("refusal", RefusalReport(category=word))
            return dict.fromkeys(nodes, silence)
        means = self._parts(plan, weights, turn.returned, len(nodes))
        return {
            node: messages.pack("report", _report(plan, mean), array=mean)
            for node, mean in zip(nodes, means, strict=True)
        }

    def _parts(self, plan: RoundPlan, weights: Update, devices: Sequence[int], parts: int) -> Iterator[Update]:
        """Split the sum of the devices' updates: as many devices each, and the rest shared out over all."""
        whole = len(devices) - len(devices) % parts
        each = whole // parts
        rest = devices[whole:]
        groups = [rest, *(devices[start : start + each] for start in range(0, whole, each or 1))]
        sums = self._crew.sums(plan, weights, groups, seed=self._seed, noise=self._noise)
        shared = next(sums) / parts
        for part in range(parts):
            own = next(sums) if each else np.zeros(len(weights))
            self._tell(plan, (part + 1) / parts)
            yield ((own + shared) * (parts / len(devices))).astype(np.float32)

    def _tell(self, plan: RoundPlan, share: float) -> None:
        self.watch(plan.number, share)

    def _weigh(self, plan: RoundPlan, sent: RecordDict, turn: Turn, found: Mapping[int, RecordDict | int]) -> None:
        """Note what the round took of the network, had each device been asked by itself."""
        contents = [content for content in found.values() if not isinstance(content, int)]
        if plan.compression is None:  # answers with an update are of one length, whoever sends them
            plain = messages.pack("report", _report(plan, self._nothing), array=self._nothing)
            up = len(turn.returned) * recorddict_to_proto(plain).ByteSize()
        else:
            up = sum(recorddict_to_proto(content).ByteSize() for content in contents)
        down = recorddict_to_proto(sent).ByteSize() * len(turn.asked)
        self._traffic.add(Traffic(number=plan.number, down=down, up=up))


def _report(plan: RoundPlan, update: Update) -> TrainReport:
    report = TrainReport(run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version)
    if plan.central is None or plan.central.count_noise is None:
        return report
    return replace(report, within=is_within(update, plan.max_update_norm))


def _reply(answer: RecordDict | int, message: Message) -> Message:
    if isinstance(answer, int):
        return Message(Error(code=answer), reply_to=message)
    return Message(answer, reply_to=message)
