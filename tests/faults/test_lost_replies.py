"""A reply is computed once, and gets through: over lost answers, server errors, and deaths of either side."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np
import pytest
from coordinator import until
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from superlink import Run, SuperLink, make_bundle

from client.desk import read_sealed
from client.ledger import Ledger
from client.node import Node
from client.patience import Link
from client.policy import Limit
from client.store import AgentStore
from shared.privacy import Cost, PrivacyBudget, SampledGaussian

BUDGET = PrivacyBudget(epsilon=100.0, delta=1e-5)
EVENT = SampledGaussian(noise_multiplier=1.0, sample_rate=0.1, steps=10)


class Device:
    """An agent with a stub app that charges, draws a random update, seals it and remembers its bytes."""

    def __init__(self, link: SuperLink, home: Path) -> None:
        self.link, self.home = link, home
        home.mkdir()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = link.register(self.key)
        self.store = AgentStore(home / "agent.db")
        self.ledger = Ledger(self.store)
        self.computed: list[bytes] = []
        self.stopping, self.before_return = Event(), lambda: None
        self.links: list[Link] = []
        self._thread: Thread | None = None

    def start(self) -> None:
        self.stopping.clear()
        self.node = Node(
            coordinator=self.link.address, trust=self.link.trust, key=self.key, app=self._app, agent=self.home,
            ledger=self.ledger, stopping=self.stopping, on_link=self.links.append,
        )  # fmt: skip
        self._thread = Thread(target=self.node.run)
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.join()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self.node.leave()
            self._thread = None

    def die(self) -> None:
        """End without a goodbye, as a power cut would."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join()
            self.node._fleet.leave(goodbye=False)
            self._thread = None

    def lapse(self) -> None:
        """Free the place of an earlier process, as the gateway does for a device that comes back."""
        auth = NodeAuthHttpInterceptor(self.key, self.key.public_key())
        url, trust = f"https://{self.link.address}", self.link.trust
        with FleetHttpClient(url, interceptors=[auth], verify=trust) as http:
            http.DeactivateNode(DeactivateNodeRequest(node_id=self.id))

    def _app(self, message: Message, _: Context) -> Message:
        request = message.metadata.message_id
        self.ledger.charge(
            request,
            task="test",
            purpose="training",
            cost=Cost(record=(EVENT,)),
            limits=[Limit(what="all", budget=BUDGET)],
        )
        update = np.random.default_rng().standard_normal(1000).astype(np.float32)
        reply = Message(RecordDict({"array": ArrayRecord([update])}), reply_to=message)
        self.computed.append(message_to_proto(reply).SerializeToString())
        self.ledger.seal(request, self.computed[-1])
        self.before_return()
        return reply


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    link = SuperLink(tmp_path_factory.mktemp("superlink") / "link")
    link.start()
    yield link
    link.kill()


@pytest.fixture
def run(link: SuperLink, tmp_path: Path) -> Iterator[Run]:
    run = link.start_run(make_bundle(tmp_path / "bundle"))
    yield run
    run.close()


@pytest.fixture
def device(link: SuperLink, tmp_path: Path) -> Iterator[Device]:
    device = Device(link, tmp_path / "agent")
    yield device
    device.stop()
    device.store.close()


def instruction() -> RecordDict:
    return RecordDict({"array": ArrayRecord([np.zeros(1000, dtype=np.float32)])})


def assert_once_and_identical(device: Device, reply: Message) -> None:
    """The coordinator has the very bytes that were sealed, and they were computed and charged once."""
    (sealed,) = device.computed
    expected = read_sealed(sealed)
    assert reply.content.object_id == expected.content.object_id
    assert reply.metadata.created_at == expected.metadata.created_at
    assert [charge.state for charge in settled(device)] == ["sent"]


def settled(device: Device) -> list[Any]:
    """The ledger once the node has noted what came of its replies."""
    device.stop()
    return device.store.charges()


def lose_answers(method: Callable[[Any], Any], times: int) -> Callable[[Any], Any]:
    """The request arrives, and its answer does not."""

    def lossy(request: Any) -> Any:
        nonlocal times
        answer = method(request)
        if times:
            times -= 1
            raise httpx.ReadTimeout("the answer was lost")
        return answer

    return lossy


def fail(method: Callable[[Any], Any], times: int) -> Callable[[Any], Any]:
    """The coordinator's database is locked, say."""

    def failing(request: Any) -> Any:
        nonlocal times
        if times:
            times -= 1
            response = httpx.Response(500, request=httpx.Request("POST", "https://coordinator"))
            raise httpx.HTTPStatusError("500", request=response.request, response=response)
        return method(request)

    return failing


@pytest.mark.parametrize("fault", [lose_answers, fail])
@pytest.mark.parametrize("step", ["PushMessages", "PushObject", "PullObject", "ConfirmMessageReceived"])
def test_a_lost_answer_is_asked_for_again(device: Device, run: Run, fault: Callable[..., Any], step: str) -> None:
    device.start()
    http = device.node._fleet._http
    setattr(http, step, fault(getattr(http, step), 2))

    assert_once_and_identical(device, run.reply(run.ask(device.id, instruction())))


def test_the_coordinator_dies_between_pull_and_push(device: Device, link: SuperLink, run: Run) -> None:
    def die_and_return() -> None:
        link.kill()
        Thread(target=link.start).start()

    device.before_return = die_and_return
    device.start()
    request = run.ask(device.id, instruction())
    until(lambda: device.computed)

    device.before_return = lambda: None
    assert_once_and_identical(device, run.reply(request))


def test_the_agent_dies_between_seal_and_push(device: Device, run: Run) -> None:
    device.before_return = device.stopping.set
    device.start()
    request = run.ask(device.id, instruction())
    device.join()
    assert [charge.state for charge in device.store.charges()] == ["sealed"]

    device.before_return = lambda: None
    device.lapse()
    device.start()
    until(lambda: not device.ledger.unsent())
    assert_once_and_identical(device, run.reply(request))


@pytest.mark.proof
def test_a_device_that_died_comes_back_once_its_place_has_lapsed(device: Device, run: Run) -> None:
    device.start()
    until(lambda: device.id in run.grid.get_node_ids())
    device.die()

    device.start()
    until(lambda: device.links[-1] == "rejoining")
    until(lambda: device.links[-1] == "online")
    assert run.reply(run.ask(device.id, instruction())).has_content()


def test_a_reply_that_nobody_wants_any_more_is_void_and_stays_charged(device: Device, run: Run) -> None:
    device.before_return = run.finish
    device.start()
    run.ask(device.id, instruction())
    until(lambda: device.computed and not device.ledger.unsent())

    (charge,) = settled(device)
    assert (charge.state, charge.reply) == ("void", None)
    assert device.ledger.spent(BUDGET.delta).epsilon > 0


def test_an_exception_in_the_app_sends_one_fixed_word(device: Device, run: Run) -> None:
    def fail_with_a_secret() -> None:
        raise ValueError("row 17 of /home/owner/diary.csv")

    device.before_return = fail_with_a_secret
    device.start()
    reply = run.reply(run.ask(device.id, instruction()))

    assert reply.has_error()
    assert reply.error.reason == "failed"
