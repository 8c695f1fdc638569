"""What the network is refused, and that each refusal comes before the work that it guards."""

import base64
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from server import enroll
from server.asgi import Answer, Receive, Scope
from server.config import Federation, Settings
from server.founding import found
from server.gateway import FLEET, FLEET_BODY, FLEET_ROUTES, SMALL_BODY, Gateway
from server.mailbox import Mailbox
from server.records import Device
from server.sequences import Sequences
from server.store import Store
from shared import signing, wire
from shared.enrolment import EnrolRequest, InstalledReport
from shared.sequence import PATH as SEQUENCE
from shared.sequence import SEALED_BYTES, SequenceAnswer, SequenceReport, SequenceRequest

NODE = 2**64 - 5
PUSH, PULL, ENROL, INSTALLED = "/v1/fleet/push-messages", "/v1/fleet/pull-messages", "/covey/enrol", "/covey/installed"


class Flower:
    """Stands where Flower's handlers are; remembers what reached it."""

    def __init__(self) -> None:
        self.reached: list[tuple[str, bytes]] = []

    def __call__(self, name: str, body: bytes, _: Device) -> Answer:
        self.reached.append((FLEET + name, body))
        return Answer(status=200, body=b"", media_type="application/protobuf")


class World:
    """A gateway with one approved device, and a client that speaks to it in process."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.store = Store(self.federation.database)
        self.flower, self.now = Flower(), time.time()
        self.gateway = Gateway(
            store=self.store, fleet=self.flower, mailbox=Mailbox(patience=0.01), clock=lambda: self.now,
            repository=self.federation.repository, authority=self.federation.tls / "ca.crt",
            sequences=Sequences(self.store, self.federation.tls),
        )  # fmt: skip
        transport = httpx.ASGITransport(self.gateway)  # pyright: ignore[reportArgumentType]
        self.client = httpx.AsyncClient(transport=transport, base_url="https://coordinator")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.enrol("dev")
        enroll.approve(self.federation, self.store, "dev")
        self.store.set_node("dev", NODE)

    def enrol(self, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        token = enroll.invite(self.federation, self.store, hours=1).token
        public = signing.public_key_bytes((key or self.key).public_key())
        self.store.enrol(enroll.token_sha256(token), name, public)

    def request(
        self, name: str, token: str | None = None, key: ec.EllipticCurvePrivateKey | None = None
    ) -> EnrolRequest:
        token = token or enroll.invite(self.federation, self.store, hours=1).token
        return EnrolRequest(
            name=name, token=token, public_key=signing.public_key_bytes((key or self.key).public_key()).decode()
        )

    def headers(self, path: str, body: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> dict[str, str]:
        return signing.sign(key or self.key, method="POST", path=path, body=body, now=self.now)

    async def post(
        self, path: str, body: bytes = b"hello", key: ec.EllipticCurvePrivateKey | None = None
    ) -> httpx.Response:
        return await self.client.post(path, content=body, headers=self.headers(path, body, key))


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found(tmp_path_factory.mktemp("founded") / "federation", Settings(name="test")).home


@pytest.fixture
def world(founded: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(founded, tmp_path / "federation")
    made = World(Federation(tmp_path / "federation"))
    yield made
    made.store.close()


def refused(response: httpx.Response, status: int, reason: str) -> None:
    assert (response.status_code, response.json()["reason"]) == (status, reason)
    assert response.json()["detail"]


async def test_an_approved_device_reaches_flower_with_its_very_bytes(world: World) -> None:
    response = await world.post(PUSH, b"an update")
    assert response.status_code == 200
    assert response.headers["covey-release"] == "0"
    assert world.flower.reached == [(PUSH, b"an update")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json"), ("POST", "/health"), ("GET", "/covey/enrol"),
        ("POST", "/v1/control/start-run"), ("POST", "/v1/control/list-nodes"), ("POST", "/v1/control/register-node"),
        ("POST", "/v1/runtime/acquire-task"), ("POST", "/v1/runtime/push-messages"), ("POST", "/v1/runtime/responses"),
        ("POST", "/v1/fleet/register-node"), ("POST", "/v1/fleet/unregister-node"), ("POST", "/v1/fleet/"),
        ("GET", "/v1/fleet/pull-messages"), ("POST", "/v1/fleet/pull-messages/"), ("POST", "//v1/fleet/pull-messages"),
        ("POST", "/v1/fleet/../control/start-run"), ("POST", "/V1/FLEET/pull-messages"),
    ],
)  # fmt: skip
async def test_what_is_not_listed_is_not_there(world: World, method: str, path: str) -> None:
    headers = signing.sign(world.key, method=method, path=path, body=b"", now=world.now)
    refused(await world.client.request(method, path, headers=headers), 404, "unknown")
    assert not world.flower.reached


@pytest.mark.parametrize("path", sorted(FLEET_ROUTES))
async def test_an_unsigned_request_reaches_nothing(world: World, path: str) -> None:
    refused(await world.client.post(path, content=b"hello"), 401, "signature")
    assert not world.flower.reached


async def test_a_signature_over_another_body_path_or_method_is_refused(world: World) -> None:
    headers = world.headers(PUSH, b"one")
    refused(await world.client.post(PUSH, content=b"other", headers=headers), 401, "signature")
    refused(await world.client.post(PULL, content=b"one", headers=headers), 401, "signature")
    assert not world.flower.reached


async def test_a_request_is_worth_one_request(world: World) -> None:
    headers = world.headers(PUSH, b"one")
    assert (await world.client.post(PUSH, content=b"one", headers=headers)).status_code == 200
    for later in (0, 299, 599):
        world.now += later
        response = await world.client.post(PUSH, content=b"one", headers=headers)
        assert response.status_code == 401
        assert response.json()["reason"] in {"replay", "signature"}
    assert len(world.flower.reached) == 1


async def test_the_memory_of_nonces_outlasts_the_window_of_a_clock_that_is_ahead(world: World) -> None:
    world.now += 299
    ahead = world.headers(PUSH, b"")
    world.now -= 299
    assert (await world.client.post(PUSH, headers=ahead)).status_code == 200
    world.now += 598
    refused(await world.client.post(PUSH, headers=ahead), 401, "replay")


@pytest.mark.parametrize("seconds", [-400, 400])
async def test_a_stale_request_is_refused(world: World, seconds: float) -> None:
    headers = signing.sign(world.key, method="POST", path=PUSH, body=b"", now=world.now + seconds)
    refused(await world.client.post(PUSH, headers=headers), 401, "signature")


async def test_a_header_that_comes_twice_is_ambiguous_and_refused(world: World) -> None:
    headers = [*world.headers(PUSH, b"").items(), (signing.NONCE, "another")]
    refused(await world.client.post(PUSH, headers=headers), 401, "signature")


async def test_a_key_that_nobody_enrolled_is_refused(world: World) -> None:
    refused(await world.post(PUSH, key=ec.generate_private_key(ec.SECP256R1())), 401, "unknown")


async def test_a_pending_device_is_told_so(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    world.enrol("waiting", key)
    refused(await world.post(PULL, key=key), 403, "pending")
    refused(await world.post(INSTALLED, key=key), 403, "pending")
    assert not world.flower.reached


async def test_a_device_that_is_not_a_node_yet_may_try_again(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    world.enrol("fresh", key)
    enroll.approve(world.federation, world.store, "fresh")
    refused(await world.post(PULL, key=key), 503, "starting")


@pytest.mark.parametrize("path", [*sorted(FLEET_ROUTES), INSTALLED])
async def test_a_revoked_device_is_cut_off_at_once(world: World, path: str) -> None:
    enroll.revoke(world.store, "dev")
    refused(await world.post(path), 403, "revoked")
    assert not world.flower.reached


async def test_a_device_revoked_while_its_poll_rests_gets_no_mail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def revoked_meanwhile(_node: int) -> None:
        enroll.revoke(world.store, "dev")

    monkeypatch.setattr(world.gateway._mailbox, "rest", revoked_meanwhile)
    refused(await world.post(PULL), 403, "revoked")
    assert {path for path, _ in world.flower.reached} == {"/v1/fleet/rests"}, "it kept its place, and got no mail"


def endless(received: list[int]) -> Callable[[], Receive]:
    """A body without end, counting what was taken of it."""

    def start() -> Receive:
        async def receive() -> dict[str, object]:
            received.append(1 << 16)
            return {"type": "http.request", "body": bytes(1 << 16), "more_body": True}

        return receive

    return start


@pytest.mark.parametrize(
    ("path", "approved", "limit"),
    [
        (ENROL, True, SMALL_BODY), (INSTALLED, True, SMALL_BODY), (PUSH, False, SMALL_BODY),
        (PUSH, True, FLEET_BODY),
    ],
)  # fmt: skip
async def test_a_body_is_dropped_at_its_cap_and_never_parsed(
    world: World, path: str, approved: bool, limit: int
) -> None:
    received: list[int] = []
    key = world.key if approved else ec.generate_private_key(ec.SECP256R1())
    headers = [(name.encode(), value.encode()) for name, value in world.headers(path, b"", key).items()]
    scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    sent: list[dict[str, object]] = []

    async def send(event: dict[str, object]) -> None:
        sent.append(event)

    await world.gateway(scope, endless(received)(), send)  # pyright: ignore[reportArgumentType]
    assert sent[0]["status"] == 413
    assert limit < sum(received) <= limit + (1 << 16)
    assert not world.flower.reached


@pytest.mark.parametrize("declared", ["99999999999", "-1", "many", ""])
async def test_a_declared_length_over_the_cap_is_refused_unread(world: World, declared: str) -> None:
    received: list[int] = []
    headers = [(b"content-length", declared.encode())]
    scope: Scope = {"type": "http", "method": "POST", "path": ENROL, "headers": headers}
    sent: list[dict[str, object]] = []

    async def send(event: dict[str, object]) -> None:
        sent.append(event)

    await world.gateway(scope, endless(received)(), send)  # pyright: ignore[reportArgumentType]
    assert sent[0]["status"] == 413
    assert not received


async def test_enrolment_spends_its_invitation(world: World) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    request = world.request("new", key=key)
    answer = await world.post(ENROL, wire.to_json(request), key)
    assert (answer.status_code, answer.json()) == (200, {"state": "pending"})
    assert world.store.device("new").state == "pending"
    another = ec.generate_private_key(ec.SECP256R1())
    again = world.request("second", token=request.token, key=another)
    refused(await world.post(ENROL, wire.to_json(again), another), 403, "invitation")


async def test_nobody_enrols_a_key_that_he_does_not_hold(world: World) -> None:
    victim, thief = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    body = wire.to_json(world.request("new", key=victim))
    refused(await world.post(ENROL, body, thief), 400, "malformed")
    refused(await world.client.post(ENROL, content=body), 401, "signature")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"name": "x"}', b"\xff", b"[" * 60_000])
async def test_a_malformed_enrolment_is_refused(world: World, body: bytes) -> None:
    refused(await world.post(ENROL, body), 400, "malformed")


@pytest.mark.parametrize("name", ["", "a b", "../x", "\x1b[2J", "é", "-x", "x" * 65, "a\nb"])
def test_a_name_that_a_terminal_or_a_path_could_trip_over_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        EnrolRequest(name=name, public_key="", token="")


async def test_a_device_says_what_it_runs(world: World) -> None:
    report = InstalledReport(release=3, detail="fp32, 12 us")
    assert (await world.post(INSTALLED, wire.to_json(report))).status_code == 200
    assert (world.store.device("dev").release, world.store.device("dev").detail) == (3, "fp32, 12 us")
    refused(await world.post(INSTALLED, b'{"release": 1, "detail": "\\u001b[2J"}'), 400, "malformed")


async def test_bytes_and_times_are_written_down(world: World) -> None:
    await world.post(PUSH, b"12345")
    world.gateway.traffic.flush(world.store, now=77.0)
    device = world.store.device("dev")
    assert (device.bytes_up, device.bytes_down, device.last_seen) == (5, 0, 77.0)


@pytest.mark.parametrize(
    "path",
    [
        "/tuf/metadata/../../keys/root1.key", "/tuf/targets/../../covey.db", "/tuf/metadata//etc/passwd", "/tuf/",
        "/tuf/keys/root1.key", "/tuf/metadata/", "/tuf/metadata/.lock", "/tuf/.lock", "/tuf/metadata/\x00",
        "/tuf/metadata/" + "x" * 5000,
    ],
    ids=lambda path: repr(path[:40]),
)  # fmt: skip
async def test_nothing_beside_the_repository_can_be_read(world: World, path: str) -> None:
    scope: Scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    sent: list[dict[str, object]] = []

    async def send(event: dict[str, object]) -> None:
        sent.append(event)

    await world.gateway(scope, endless([])(), send)  # pyright: ignore[reportArgumentType]
    assert sent[0]["status"] == 404


async def test_a_link_out_of_the_repository_leads_nowhere(world: World) -> None:
    (world.federation.repository / "metadata" / "out.json").symlink_to(world.federation.control_token)
    refused(await world.client.get("/tuf/metadata/out.json"), 404, "unknown")


async def test_what_is_public_is_served(world: World) -> None:
    metadata = world.federation.repository / "metadata"
    assert (await world.client.get("/tuf/metadata/1.root.json")).content == (metadata / "1.root.json").read_bytes()
    ca = await world.client.get("/covey/ca.crt")
    assert ca.content == (world.federation.tls / "ca.crt").read_bytes()
    assert (await world.client.get("/health")).json() == {"state": "serving"}


async def test_the_log_is_not_filled_with_roots_that_are_not_there_yet(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        for missing in ("2.root.json", "out.json"):
            refused(await world.client.get(f"/tuf/metadata/{missing}"), 404, "unknown")
    assert ["out.json" in record.message for record in caplog.records if "refused" in record.message] == [True]


async def test_a_stranger_cannot_fill_the_memory_of_nonces(world: World) -> None:
    """Anybody can sign with a key of their own: only what an approved device sends is worth remembering."""
    stranger, waiting = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    world.enrol("waiting", waiting)
    for key in (stranger, waiting):
        for path in (PUSH, INSTALLED, ENROL):
            assert (await world.post(path, key=key)).status_code in {400, 401, 403}
    assert not world.gateway._replays._young


@pytest.mark.parametrize("moment", ["9" * 400, "9" * 1024, "1" * 13, "²", "-5", "1e9", " 5"])
async def test_a_time_that_is_none_is_an_answer_not_a_crash(world: World, moment: str) -> None:
    headers = world.headers(PUSH, b"") | {signing.TIME: moment}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    refused(await world.client.post(PUSH, headers=raw), 401, "signature")


# -- the charge sequence ---------------------------------------------------------------------


def sequence_report(number: int) -> bytes:
    blob = base64.b64encode(bytes(SEALED_BYTES)).decode()
    return wire.to_json(SequenceRequest(report=SequenceReport(number=number, head="0" * 64, blob=blob)))


async def test_each_devices_sequence_is_its_own_and_never_goes_back(world: World) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    world.enrol("other", other)
    enroll.approve(world.federation, world.store, "other")
    for number in (3, 2):
        answer = wire.from_json(SequenceAnswer, (await world.post(SEQUENCE, sequence_report(number))).content)
        assert answer.receipt is not None
        assert answer.receipt.number == 3
    asked = (await world.post(SEQUENCE, b"{}", other)).content
    assert wire.from_json(SequenceAnswer, asked) == SequenceAnswer()


async def test_a_stranger_has_nothing_countersigned(world: World) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    refused(await world.post(SEQUENCE, sequence_report(1), stranger), 401, "unknown")
    refused(await world.client.post(SEQUENCE, content=sequence_report(1)), 401, "signature")
    world.enrol("waits", stranger)
    refused(await world.post(SEQUENCE, sequence_report(1), stranger), 403, "pending")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"report": {}}', b'{"other": 1}'])
async def test_a_malformed_sequence_report_is_refused(world: World, body: bytes) -> None:
    refused(await world.post(SEQUENCE, body), 400, "malformed")
