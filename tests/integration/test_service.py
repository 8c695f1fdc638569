"""The coordinator as its users meet it: real processes, real TLS, real Flower."""

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from coordinator import PATIENCE, ROOT, Coordinator, covey, free_port, lives, until
from cryptography.hazmat.primitives.asymmetric import ec

from server.config import Federation, Settings
from server.founding import found
from server.store import Store
from shared import signing, wire
from shared.enrolment import EnrolRequest
from shared.invitations import parse_invitation

PROTOBUF = {"content-type": "application/protobuf"}


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    port, admin_port = free_port(), free_port()
    return found(tmp_path / "federation", Settings(name="test", port=port, admin_port=admin_port))


@pytest.fixture
def coordinator(federation: Federation) -> Iterator[Coordinator]:
    running = Coordinator(federation)
    yield running
    if running.process.poll() is None:
        running.end()
    for pipe in (running.process.stdout, running.process.stderr):
        if pipe is not None:
            pipe.close()


def post(coordinator: Coordinator, path: str, body: bytes, key: ec.EllipticCurvePrivateKey) -> httpx.Response:
    headers = signing.sign(key, method="POST", path=path, body=body, now=time.time())
    with coordinator.client() as client:
        return client.post(path, content=body, headers={**PROTOBUF, **headers})


def enrol(coordinator: Coordinator, name: str) -> ec.EllipticCurvePrivateKey:
    """Join as a device does: from the invitation's line alone."""
    invitation = parse_invitation(covey(coordinator.federation.home, "invite").stdout)
    assert (invitation.host, invitation.port) == ("127.0.0.1", coordinator.settings.port)
    key = ec.generate_private_key(ec.SECP256R1())
    public = signing.public_key_bytes(key.public_key()).decode()
    request = EnrolRequest(name=name, public_key=public, token=invitation.token)
    assert post(coordinator, "/covey/enrol", wire.to_json(request), key).json() == {"state": "pending"}
    return key


def activate(coordinator: Coordinator, key: ec.EllipticCurvePrivateKey) -> httpx.Response:
    """Flower's first request of a node, with Flower's signature and ours."""
    from flwr.proto.fleet_pb2 import ActivateNodeRequest
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    answers: list[httpx.Response] = []

    class Ours:
        def intercept(self, context, call_next):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            request = context.request
            signed = signing.sign(key, method="POST", path=request.url.path, body=request.content, now=time.time())
            request.headers.update(signed)
            answers.append(call_next(context))
            return answers[-1]

    interceptors = [
        RuntimeVersionHttpInterceptor(component_name="covey"), NodeAuthHttpInterceptor(key, key.public_key()), Ours(),
    ]  # fmt: skip
    authority = (coordinator.federation.tls / "ca.crt").read_bytes()
    address = f"127.0.0.1:{coordinator.settings.port}"
    with FleetHttpClient.from_server_address(address, False, authority, interceptors=interceptors) as client:
        public = signing.public_key_bytes(key.public_key())
        try:
            client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=10))
        except httpx.HTTPStatusError as error:
            return error.response
    return answers[-1]


def test_a_device_enrols_is_approved_and_is_cut_off(coordinator: Coordinator) -> None:
    home = coordinator.federation.home
    key = enrol(coordinator, "dev")
    assert activate(coordinator, key).json()["reason"] == "pending"
    assert covey(home, "approve", "dev").returncode == 0
    until(lambda: activate(coordinator, key).status_code == 200)
    assert activate(coordinator, key).status_code == 200
    assert covey(home, "revoke", "dev").returncode == 0
    assert activate(coordinator, key).json()["reason"] == "revoked"
    assert "revoked" in covey(home, "fleet").stdout


def test_it_says_where_it_listens_in_one_line_and_nothing_more(coordinator: Coordinator) -> None:
    assert (
        coordinator.said == f"covey: test listens on https://127.0.0.1:{coordinator.settings.port}; Ctrl-C stops it\n"
    )
    with coordinator.client() as client:
        assert client.get("/health").json() == {"state": "serving"}
    code, rest = coordinator.end()
    assert (code, rest) == (0, "")
    assert "Traceback" not in coordinator.log()


def test_control_and_runtime_are_not_on_the_public_port(coordinator: Coordinator) -> None:
    with coordinator.client() as client:
        for path in ("/v1/control/list-nodes", "/v1/control/start-run", "/v1/runtime/acquire-task", "/docs"):
            assert client.post(path, headers=PROTOBUF).status_code == 404, path


def test_on_loopback_control_wants_the_token(coordinator: Coordinator) -> None:
    token = coordinator.federation.control_token.read_text()
    with coordinator.client(coordinator.settings.admin_port) as client:
        for bearer in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {token}"}):
            assert client.post("/v1/control/list-nodes", headers=PROTOBUF | bearer).status_code == 401, bearer
        bearer = {"authorization": f"Bearer {token}"}
        assert client.post("/v1/control/list-nodes", headers=PROTOBUF | bearer).status_code == 200
        assert client.post("/v1/fleet/pull-messages", headers=PROTOBUF).status_code == 404


def test_on_loopback_a_task_is_handed_out_for_the_secret_alone(coordinator: Coordinator) -> None:
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient

    def acquire(secret: bytes) -> int:
        methods = frozenset({"/flwr.proto.Runtime/AcquireTask"})
        interceptors = [
            RuntimeVersionHttpInterceptor(component_name="covey"),
            SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=methods),
        ]
        address = f"127.0.0.1:{coordinator.settings.admin_port}"
        authority = (coordinator.federation.tls / "ca.crt").read_bytes()
        with RuntimeHttpClient.from_server_address(address, False, authority, interceptors) as client:
            try:
                client.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-serverapp"]))
            except httpx.HTTPStatusError as error:
                return error.response.status_code
        return 200

    assert acquire(bytes(32)) == 401
    assert acquire(coordinator.federation.superexec_secret.read_bytes()) == 200


def test_a_second_coordinator_is_refused_and_told_who_is_first(coordinator: Coordinator) -> None:
    second = covey(coordinator.federation.home, "serve")
    assert second.returncode == 1
    assert second.stderr.startswith("covey: the coordinator of 'test'")
    assert f"process {coordinator.process.pid}" in second.stderr
    assert coordinator.process.poll() is None


def test_a_port_that_is_taken_is_named(federation: Federation) -> None:
    port = federation.settings().port
    with socket.create_server(("127.0.0.1", port)):
        refused = covey(federation.home, "serve")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"covey: port {port} on 127.0.0.1 is taken by another process; change it in federation.toml\n"
    )


@pytest.mark.parametrize("another", [False, True], ids=["taken away", "replaced"])
def test_it_ends_where_its_store_is_no_longer_there_and_makes_no_other(coordinator: Coordinator, another: bool) -> None:
    database = coordinator.federation.database
    copy = database.with_name("copy.db")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    database.rename(database.with_name("elsewhere.db"))
    if another:
        copy.rename(database)
    out, said = coordinator.process.communicate(timeout=PATIENCE)
    what = "was replaced by another file" if another else "was taken away"
    assert coordinator.process.returncode == 1
    assert out == ""
    assert said == (
        f"covey: {database} {what}, so the coordinator ended; put the right one there, or restore a backup, then start "
        "`covey serve` again\n"
    )
    assert "Traceback" not in coordinator.log()
    assert database.exists() == another


@pytest.mark.parametrize("words", [["serve"], ["fleet"], ["start", "machines"]], ids="-".join)
def test_a_federation_without_its_store_gets_no_empty_one(federation: Federation, words: list[str]) -> None:
    federation.database.rename(federation.database.with_name("elsewhere.db"))
    done = covey(federation.home, *words)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"covey: database {federation.database} cannot be opened: it is not there; put it back, or restore a backup"
    )
    assert not federation.database.exists()


def test_secrets_are_readable_by_their_owner_alone(coordinator: Coordinator) -> None:
    home = coordinator.federation.home
    secret = [*home.glob("keys/*"), *home.glob("tls/*.key"), home / "covey.db"]
    assert len(secret) > 10
    assert {oct(path.stat().st_mode & 0o777) for path in secret} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in (home, home / "keys", home / "logs")} == {"0o700"}


def start_waiting_run(coordinator: Coordinator) -> Store:
    """A run that waits for its one device, which never comes online."""
    home = coordinator.federation.home
    enrol(coordinator, "dev")
    for words in (
        ("approve", "dev"),
        ("task", str(ROOT / "tasks" / "flights.toml")),
        ("start", "--rounds", "2", "--detach"),
    ):
        done = covey(home, *words)
        assert done.returncode == 0, done.stderr
    store = Store(coordinator.federation.database)
    until(lambda: store.run(1).state == "running")
    until(lambda: store.progress(1) is not None)
    return store


def test_a_run_is_stopped_by_its_number(coordinator: Coordinator) -> None:
    store = start_waiting_run(coordinator)
    assert covey(coordinator.federation.home, "stop", "1").returncode == 0
    until(lambda: store.run(1).state == "stopped")
    store.close()


def test_a_run_whose_process_dies_has_failed(coordinator: Coordinator) -> None:
    store, child = start_waiting_run(coordinator), coordinator.process_of(1)
    assert child is not None
    os.kill(child, signal.SIGKILL)
    until(lambda: store.run(1).state == "failed")
    assert "ended unexpectedly (exit status -9)" in store.run(1).detail
    store.close()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_goes_on_when_the_coordinator_comes_back(coordinator: Coordinator, signum: int) -> None:
    store, child = start_waiting_run(coordinator), coordinator.process_of(1)
    assert child is not None
    coordinator.end(signum)
    until(lambda: not lives(child))
    assert store.run(1).state == "running"
    again = Coordinator(coordinator.federation)
    try:
        until(lambda: again.process_of(1) != child)
        second = again.process_of(1)
        assert second is not None
        assert lives(second)
        covey(coordinator.federation.home, "stop")
        until(lambda: store.run(1).state == "stopped")
    finally:
        assert again.end() == (0, "")
    store.close()


def test_a_stock_supernode_needs_the_listener_for_tests(federation: Federation) -> None:
    port = free_port()
    running = Coordinator(federation, "--test-listener", str(port))
    try:
        with running.client(port) as client:
            assert client.post("/v1/fleet/pull-messages", headers=PROTOBUF).json()["detail"] == (
                "Invalid SuperNode authentication"
            )
            assert client.post("/v1/control/list-nodes", headers=PROTOBUF).status_code == 404
    finally:
        assert running.end() == (0, "")
