"""Between a device and its coordinator: whose word counts, for how long, and what a person hears when it does not."""

import asyncio
import base64
import logging
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from ipaddress import ip_network
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Message,
    Metadata,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager
from forging import AUTHORITY, HOST, SERVER, Issuer, Wish, hostile, new_key, showing

from client import coordinator
from client import fleet as fleet_module
from client.fleet import Fleet
from client.handshake import leaves_only
from client.patience import MEANING, Link, Stopped, Unrecognised
from client.trust import HttpsFetcher, _in_plain_words
from server import enroll
from server.asgi import App
from server.config import Federation, Settings
from server.fleet import Fleet as FlowerFleet
from server.founding import found
from server.gateway import FLEET, FLEET_ROUTES, Gateway
from server.listeners import Listener
from server.mailbox import Mailbox
from server.pki import _load_authority
from server.sequences import Sequences
from server.store import Store
from shared import signing
from shared.enrolment import EnrolRequest, InstalledReport
from shared.errors import InputError, Unreachable
from shared.invitations import Invitation
from shared.sequence import PATH as SEQUENCE

INSTALLED, ENROL = "/covey/installed", "/covey/enrol"
ROUTES = (*sorted(FLEET_ROUTES), INSTALLED, ENROL, SEQUENCE)
NOW = 1_800_000_000.0
HOUR = 3600.0


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found(tmp_path_factory.mktemp("founded") / "federation", Settings(name="test")).home


class World:
    """A gateway before Flower's own handlers, and two approved devices that are nodes."""

    def __init__(self, home: Path, *, clock: Callable[[], float]) -> None:
        self.federation = Federation(home)
        self.store = Store(self.federation.database)
        self.state = InMemoryLinkState(NoOpFederationManager(), ObjectStoreFactory().store())
        self.gateway = Gateway(
            store=self.store, fleet=FlowerFleet(self.state), mailbox=Mailbox(patience=0.01), clock=clock,
            repository=self.federation.repository, authority=self.federation.tls / "ca.crt",
            sequences=Sequences(self.store, self.federation.tls),
        )  # fmt: skip
        transport = httpx.ASGITransport(self.gateway)  # pyright: ignore[reportArgumentType]
        self.client = httpx.AsyncClient(transport=transport, base_url="https://coordinator")
        self.keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ada", "ben")}
        self.nodes = {name: self._enrol(name) for name in self.keys}

    def _enrol(self, name: str) -> int:
        token = enroll.invite(self.federation, self.store, hours=1).token
        public = signing.public_key_bytes(self.keys[name].public_key())
        self.store.enrol(enroll.token_sha256(token), name, public)
        enroll.approve(self.federation, self.store, name)
        node = self.state.create_node("owner", "owner", public, 30.0)
        self.store.set_node(name, node)
        return node

    def public(self, name: str) -> bytes:
        return signing.public_key_bytes(self.keys[name].public_key())

    def sign(
        self, path: str, body: bytes, *, name: str = "ada", now: float = NOW, method: str = "POST"
    ) -> dict[str, str]:
        return signing.sign(self.keys[name], method=method, path=path, body=body, now=now)

    def online(self) -> list[float]:
        """Until when each node counts as online; 0 for one that never was."""
        return [node.online_until or 0.0 for node in self.state.nodes.values()]


@pytest.fixture
def world(founded: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(founded, tmp_path / "federation")
    made = World(tmp_path / "federation", clock=lambda: NOW)
    yield made
    made.store.close()


def refused(response: httpx.Response, status: int, reason: str) -> None:
    assert (response.status_code, response.json()["reason"]) == (status, reason)


# -- a signed request, replayed onto something else ------------------------------------------


def onto_another_body(world: World, path: str, headers: dict[str, str]) -> httpx.Request:
    return world.client.build_request("POST", path, content=b"another", headers=headers)


def onto_an_empty_body(world: World, path: str, headers: dict[str, str]) -> httpx.Request:
    return world.client.build_request("POST", path, content=b"", headers=headers)


def onto_another_route(world: World, path: str, headers: dict[str, str]) -> httpx.Request:
    other = ROUTES[ROUTES.index(path) - 1]
    return world.client.build_request("POST", other, content=b"a body", headers=headers)


def under_another_key(world: World, path: str, headers: dict[str, str]) -> httpx.Request:
    key = base64.b64encode(world.public("ben")).decode()
    return world.client.build_request("POST", path, content=b"a body", headers=headers | {signing.KEY: key})


def under_another_nonce(world: World, path: str, headers: dict[str, str]) -> httpx.Request:
    return world.client.build_request("POST", path, content=b"a body", headers=headers | {signing.NONCE: "f" * 32})


def under_another_time(world: World, path: str, headers: dict[str, str]) -> httpx.Request:
    later = headers | {signing.TIME: str(int(NOW) + 1)}
    return world.client.build_request("POST", path, content=b"a body", headers=later)


REPLAYS = [
    onto_another_body, onto_an_empty_body, onto_another_route, under_another_key, under_another_nonce,
    under_another_time,
]  # fmt: skip


@pytest.mark.parametrize("replay", REPLAYS, ids=lambda replay: replay.__name__)
async def test_a_signature_is_worth_nothing_on_another_request(
    world: World, replay: Callable[[World, str, dict[str, str]], httpx.Request]
) -> None:
    for path in ROUTES:
        refused(await world.client.send(replay(world, path, world.sign(path, b"a body"))), 401, "signature")


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "OPTIONS"])
async def test_a_signature_for_another_method_is_worth_nothing(world: World, method: str) -> None:
    """Either way round: made for it and sent as POST, or made for POST and sent with it."""
    for path in ROUTES:
        made_for_it = world.sign(path, b"a body", method=method)
        refused(await world.client.post(path, content=b"a body", headers=made_for_it), 401, "signature")
        made_for_post = world.sign(path, b"a body")
        answered = await world.client.request(method, path, content=b"a body", headers=made_for_post)
        assert answered.status_code == 404


async def test_a_signatures_twin_is_the_same_request_again(world: World) -> None:
    """ECDSA has two signatures for each: (r, s) and (r, n - s). What counts once is the nonce, not the bytes."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for path in (path for path in ROUTES if path != ENROL):
        headers = world.sign(path, b"{}")
        r, s = decode_dss_signature(base64.b64decode(headers[signing.SIGNATURE]))
        assert (await world.client.post(path, content=b"{}", headers=headers)).status_code != 401
        twin = headers | {signing.SIGNATURE: base64.b64encode(encode_dss_signature(r, order - s)).decode()}
        refused(await world.client.post(path, content=b"{}", headers=twin), 401, "replay")


@pytest.mark.parametrize(("seconds", "holds"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
async def test_a_request_is_good_for_three_hundred_seconds(world: World, seconds: float, holds: bool) -> None:
    for path in ROUTES:
        answered = await world.client.post(path, content=b"", headers=world.sign(path, b"", now=NOW + seconds))
        assert (answered.status_code != 401) == holds, path


# -- another device's node inside Flower's own message ---------------------------------------


def naming(node: int, public: bytes, *, head: int | None = None) -> dict[str, bytes]:
    """Each of Flower's requests with a node in every place that can name one."""
    who = Node(node_id=node)
    message = Message(metadata=Metadata(src_node_id=node if head is None else head, run_id=1))
    requests = {
        "activate-node": ActivateNodeRequest(public_key=public, heartbeat_interval=30.0),
        "deactivate-node": DeactivateNodeRequest(node_id=node),
        "send-node-heartbeat": SendNodeHeartbeatRequest(node=who, heartbeat_interval=30.0),
        "get-run": GetRunRequest(node=who, run_id=1),
        "get-fab": GetFabRequest(node=who, run_id=1, hash_str="x"),
        "pull-messages": PullMessagesRequest(node=who),
        "push-messages": PushMessagesRequest(
            node=who, messages_list=[message], message_object_trees=[ObjectTree(object_id="x")]
        ),
        "pull-object": PullObjectRequest(node=who, run_id=1, object_id="x"),
        "push-object": PushObjectRequest(node=who, run_id=1, object_id="x", object_content=b"x", session_id="x"),
        "confirm-message-received": ConfirmMessageReceivedRequest(node=who, run_id=1, message_object_id="x"),
    }
    return {name: request.SerializeToString() for name, request in requests.items()}


def test_every_fleet_route_is_in_the_table() -> None:
    assert {FLEET + name for name in naming(1, b"")} == FLEET_ROUTES


async def test_a_device_cannot_name_another_devices_node(world: World) -> None:
    """Signed by Ada as it should be, but about Ben; his node stays as it was."""
    before = world.online()
    for name, body in naming(world.nodes["ben"], world.public("ben")).items():
        headers = world.sign(FLEET + name, body)
        refused(await world.client.post(FLEET + name, content=body, headers=headers), 403, "sender")
    assert world.online()[1] == before[1], "Ben is where he was"


@pytest.mark.parametrize(("node", "head"), [("ada", "ben"), ("ben", "ada")])
async def test_neither_the_request_nor_the_reply_in_it_may_name_another_node(
    world: World, node: str, head: str
) -> None:
    path = FLEET + "push-messages"
    body = naming(world.nodes[node], b"", head=world.nodes[head])["push-messages"]
    refused(await world.client.post(path, content=body, headers=world.sign(path, body)), 403, "sender")


async def test_a_captured_request_cannot_be_sent_as_ones_own(world: World) -> None:
    """Ada has Ben's very bytes and headers, and signs as herself, or puts her key where Ben's was."""
    for name, body in naming(world.nodes["ben"], world.public("ben")).items():
        captured = world.sign(FLEET + name, body, name="ben")
        hers = world.sign(FLEET + name, body)
        for headers, status in ((captured | {signing.KEY: hers[signing.KEY]}, 401), (hers, 403)):
            answered = await world.client.post(FLEET + name, content=body, headers=headers)
            assert answered.status_code == status, name


async def test_a_device_may_name_its_own_node(world: World) -> None:
    """So that what is refused above is refused for the node; whether there is such a run, Flower decides."""
    for name, body in naming(world.nodes["ada"], world.public("ada")).items():
        answered = await world.client.post(FLEET + name, content=body, headers=world.sign(FLEET + name, body))
        assert answered.status_code != 401
        assert b'"sender"' not in answered.content, name
    assert world.online()[0] > 0


# -- a clock that is an hour off, over a real connection -------------------------------------


class Served:
    """An app on a TLS listener of its own thread."""

    def __init__(self, federation: Federation, app: App) -> None:
        self._bound = socket.create_server((HOST, 0))
        self.port = self._bound.getsockname()[1]
        self._ready, self._over = Event(), Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve(federation, app)), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self, federation: Federation, app: App) -> None:
        listener = Listener(federation, app, self._bound)
        await listener.start()
        self._ready.set()
        await asyncio.to_thread(self._over.wait)
        await listener.stop()

    def close(self) -> None:
        self._over.set()
        self._thread.join(20)


@pytest.fixture
def served(founded: Path, tmp_path: Path) -> Iterator[tuple[World, str]]:
    """A coordinator whose clock is right, and its address."""
    shutil.copytree(founded, tmp_path / "served")
    made: list[World] = []

    async def answer(scope: object, receive: object, send: object) -> None:
        if not made:  # a store belongs to the thread that opened it
            made.append(World(tmp_path / "served", clock=time.time))
        await made[0].gateway(scope, receive, send)  # type: ignore[arg-type]

    listening = Served(Federation(tmp_path / "served"), answer)  # type: ignore[arg-type]
    address = f"{HOST}:{listening.port}"
    trust = coordinator.trust_only((tmp_path / "served" / "tls" / "ca.crt").read_bytes())
    assert httpx.get(f"https://{address}/health", verify=trust).is_success
    yield made[0], address
    listening.close()


def off(hours: float) -> SimpleNamespace:
    return SimpleNamespace(time=lambda: time.time() + hours * HOUR, monotonic=time.monotonic)


class Device:
    """A fleet's client that stops as soon as it stands as `until`, and remembers what it heard on the way."""

    def __init__(self, address: str, key: ec.EllipticCurvePrivateKey, authority: bytes, *, until: Link) -> None:
        self.links: list[Link] = []
        self._stopping, self._until = Event(), until
        self.fleet = Fleet(
            coordinator=address, trust=coordinator.trust_only(authority), key=key, stopping=self._stopping,
            on_release=lambda _: None, on_link=self._note,
        )  # fmt: skip

    def _note(self, link: Link) -> None:
        self.links.append(link)
        if link == self._until:
            self._stopping.set()


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
def test_a_device_whose_clock_is_off_is_told_so_and_goes_on_once_it_is_right(
    served: tuple[World, str], hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, address = served
    authority = (world.federation.tls / "ca.crt").read_bytes()
    device = Device(address, world.keys["ada"], authority, until="unknown")
    monkeypatch.setattr(fleet_module, "time", off(hours))
    with pytest.raises((Stopped, Unrecognised)):
        device.fleet.enter()
    assert device.links == ["unknown"]
    assert "its clock is wrong" in MEANING["unknown"]
    monkeypatch.setattr(fleet_module, "time", off(0))
    device._stopping.clear()
    device.fleet.enter()
    assert (device.links[-1], device.fleet.node_id) == ("online", world.nodes["ada"])
    device.fleet.leave(goodbye=False)


def join(address: str, trust: object, token: str) -> None:
    key = new_key()
    request = EnrolRequest(name="cleo", public_key=signing.public_key_bytes(key.public_key()).decode(), token=token)
    coordinator.enrol(address, request, key=key, trust=trust)  # type: ignore[arg-type]


def report(address: str, trust: object, _token: str) -> None:
    coordinator.report_installed(address, InstalledReport(release=1), key=new_key(), trust=trust)  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
@pytest.mark.parametrize("act", [join, report], ids=lambda act: act.__name__)
def test_an_owner_whose_clock_is_off_reads_that_it_is_the_clock(
    served: tuple[World, str], act: Callable[[str, object, str], None], hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, address = served
    trust = coordinator.trust_only((world.federation.tls / "ca.crt").read_bytes())
    monkeypatch.setattr(coordinator, "time", off(hours))
    with pytest.raises(InputError, match="declined: request time is not within 300 seconds of the coordinator's clock"):
        act(address, trust, "x" * 43)


# -- certificates that no device takes -------------------------------------------------------


@pytest.fixture(scope="module")
def authority(founded: Path) -> Issuer:
    """The federation's own, as `covey init` makes it."""
    certificate, key = _load_authority(founded / "tls")
    return Issuer(certificate=certificate, key=key)


@pytest.fixture(scope="module")
def certificates(authority: Issuer) -> dict[str, tuple[list[x509.Certificate], object, str]]:
    return hostile(authority)  # type: ignore[return-value]


CASES = tuple(hostile(AUTHORITY.signed_by(None)))


def fetch(port: int, authority: bytes) -> None:
    """A look for releases."""
    with _in_plain_words():
        b"".join(HttpsFetcher(authority).fetch(f"https://{HOST}:{port}/tuf/metadata/timestamp.json"))


def joining(port: int, authority: bytes) -> None:
    invitation = Invitation(
        federation="works",
        host=HOST,
        port=port,
        ca_sha256="0" * 64,
        root_sha256="0" * 64,
        expires_at=2**31,
        token="x" * 43,
    )
    coordinator.fetch_root(invitation, coordinator.trust_only(authority))


def enrolling(port: int, authority: bytes) -> None:
    join(f"{HOST}:{port}", coordinator.trust_only(authority), "x" * 43)


def telling(port: int, authority: bytes) -> None:
    report(f"{HOST}:{port}", coordinator.trust_only(authority), "")


WAYS = [fetch, joining, enrolling, telling]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES)
def test_a_hostile_certificate_is_refused_and_the_sentence_says_why(
    case: str, way: Callable[[int, bytes], None], authority: Issuer, certificates: dict[str, tuple[list[x509.Certificate], object, str]],
    tmp_path: Path,
) -> None:  # fmt: skip
    shown, key, says = certificates[case]
    with showing(shown, key, tmp_path) as server, pytest.raises(Unreachable) as refusal:  # type: ignore[arg-type]
        way(server.port, authority.pem)
    assert says in str(refusal.value)
    assert not server.requests, "a request was sent to who showed it"


@pytest.mark.parametrize("case", CASES)
def test_the_fleet_is_not_joined_over_a_hostile_certificate(
    case: str, authority: Issuer, certificates: dict[str, tuple[list[x509.Certificate], object, str]], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    shown, key, says = certificates[case]
    caplog.set_level(logging.INFO, "client.fleet")
    with showing(shown, key, tmp_path) as server:  # type: ignore[arg-type]
        device = Device(f"{HOST}:{server.port}", new_key(), authority.pem, until="unreachable")
        with pytest.raises(Stopped):
            device.fleet.enter()
        device.fleet.leave(goodbye=True)
    assert MEANING["unreachable"] in caplog.text
    assert says in caplog.text
    assert not server.requests


CONSTRAINTS = {
    "only for another name": x509.NameConstraints([x509.DNSName("elsewhere.example")], None),
    "only for another network": x509.NameConstraints([x509.IPAddress(ip_network("10.0.0.0/8"))], None),
    "not for this network": x509.NameConstraints(None, [x509.IPAddress(ip_network("127.0.0.0/8"))]),
}  # fmt: skip


@pytest.mark.parametrize("case", CONSTRAINTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_authority_that_is_constrained_cannot_certify_beyond_it(
    case: str, way: Callable[[int, bytes], None], tmp_path: Path
) -> None:
    wish = Wish(subject="constrained", hosts=(), purposes=(), authority=True, signs=True, constraints=CONSTRAINTS[case])
    constrained = wish.signed_by(None)
    made = SERVER.signed_by(constrained)
    with (
        showing([made.certificate], made.key, tmp_path) as server,
        pytest.raises(Unreachable, match="subtree violation"),
    ):
        way(server.port, constrained.pem)
    assert not server.requests


def test_a_server_that_may_sign_others_is_no_server(authority: Issuer, tmp_path: Path) -> None:
    """OpenSSL alone would let it serve: it is the authority's, for this host, in time, and for servers."""
    signs_others = Wish(authority=True).signed_by(authority)
    trust = leaves_only(coordinator.trust_only(authority.pem))
    refusal = pytest.raises(Unreachable, match="may sign others, so it is no server's")
    with showing([signs_others.certificate], signs_others.key, tmp_path) as server, refusal:
        join(f"{HOST}:{server.port}", trust, "x" * 43)
    assert not b"".join(server.requests)
    ordinary = SERVER.signed_by(authority)
    with showing([ordinary.certificate], ordinary.key, tmp_path, answer=b"{}") as server:
        join(f"{HOST}:{server.port}", trust, "x" * 43)
    assert b"POST /covey/enrol" in b"".join(server.requests)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_good_certificate_is_spoken_to(way: Callable[[int, bytes], None], authority: Issuer, tmp_path: Path) -> None:
    """So that what is refused above is refused for what it says."""
    made = SERVER.signed_by(authority)
    # What comes back is not the root that an invitation pins, and is said to be another.
    outcome = pytest.raises(InputError, match="not the invitation's") if way is joining else nullcontext()
    with showing([made.certificate], made.key, tmp_path, answer=b"{}") as server, outcome:
        way(server.port, authority.pem)
    assert b" HTTP/1.1" in server.requests[0]
