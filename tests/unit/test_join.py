"""Joining: what the invitation pins is checked before anything is kept, and a failure keeps nothing."""

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from machines import small_task

from client import enrol
from client.config import AgentHome
from client.policy import fingerprint
from client.policyfile import set_paused
from client.store import AgentStore
from server.config import Federation, Settings
from server.enroll import invite
from server.founding import found
from server.releases import publish_task
from server.store import Store
from shared.errors import ConsentWithheld, ContractError, CoveyError, InputError
from shared.invitations import Invitation
from shared.privacy import Cost, SampledGaussian


class Files(BaseHTTPRequestHandler):
    """Serves what a coordinator serves to a device that joins."""

    federation: ClassVar[Federation]
    enrolled: ClassVar[list[bytes]] = []
    refuse: ClassVar[bool] = False

    def do_GET(self) -> None:
        roots = {"/covey/": self.federation.tls, "/tuf/": self.federation.repository}
        files = [
            root / self.path.removeprefix(prefix) for prefix, root in roots.items() if self.path.startswith(prefix)
        ]
        found = [file.read_bytes() for file in files if file.is_file()]
        self._answer(200, found[0]) if found else self._answer(404, b"")

    def do_POST(self) -> None:
        self.enrolled.append(self.rfile.read(int(self.headers["content-length"])))
        refusal = json.dumps({"reason": "invitation", "detail": "this invitation was used before"})
        self._answer(403, refusal.encode()) if self.refuse else self._answer(200, b'{"state": "pending"}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def invitation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invitation]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    settings = Settings(name="test", port=server.server_port)
    federation = found(tmp_path_factory.mktemp("server") / "federation", settings)
    publish_task(federation, small_task())
    Files.federation = federation
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(federation.tls / "server.crt", federation.tls / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    store = Store(federation.database)
    yield invite(federation, store, hours=1)
    store.close()
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    Files.refuse = False
    Files.enrolled.clear()
    return AgentHome(tmp_path / "agent")


def join(home: AgentHome, invitation: object, data: Path, *, agree: bool = True, **changes: object) -> str:
    """Join; returns the explanation that the owner was shown."""
    shown: list[str] = []
    options = {"data": data, "epsilon": 8.0, "name": "kestrel"} | changes

    def answer(text: str) -> bool:
        shown.append(text)
        return agree

    enrol.join(home, str(invitation), agree=answer, **options)  # type: ignore[arg-type]
    return shown[0]


def test_joining_makes_an_agent_whose_key_is_its_owners_alone(
    home: AgentHome, invitation: Invitation, data_file: Path
) -> None:
    explanation = join(home, invitation, data_file)

    settings = home.settings()
    assert (settings.name, list(settings.tasks), settings.budget.epsilon) == ("kestrel", ["machines"], 8.0)
    assert settings.budget.delta == small_task().privacy.delta
    assert home.key.stat().st_mode & 0o777 == 0o600
    assert json.loads(Files.enrolled[0])["token"] == invitation.token
    assert b"PRIVATE" not in Files.enrolled[0]
    for word in ("'runs' or 'stops'", "load, hour, site", "epsilon 6.53", str(data_file)):
        assert word.replace(" ", "") in "".join(explanation.split())
    store = AgentStore(home.database)
    assert store.agreed("machines", fingerprint(small_task()))
    store.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expires_at": 1}, "expired at 1970-01-01"),
        ({"ca_sha256": "0" * 64}, "the certificate of .* is not the invitation's"),
        ({"root_sha256": "0" * 64}, "the signing root of .* is not the invitation's"),
        ({"port": 1}, "cannot be reached"),
    ],
)
def test_an_invitation_that_does_not_hold_is_refused(
    home: AgentHome, invitation: Invitation, data_file: Path, change: dict[str, object], says: str
) -> None:
    with pytest.raises(CoveyError, match=says):
        join(home, replace(invitation, **change), data_file)  # type: ignore[arg-type]
    assert_nothing_left(home)


def test_a_malformed_invitation_is_refused(home: AgentHome, data_file: Path) -> None:
    with pytest.raises(InputError, match="invitation"):
        join(home, "https://example.org/", data_file)
    assert_nothing_left(home)


def test_data_that_is_missing_or_lacks_a_column_is_named(
    home: AgentHome, invitation: Invitation, data_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"absent\.csv does not exist"):
        join(home, invitation, tmp_path / "absent.csv")
    poor = tmp_path / "poor.csv"
    poor.write_text("load,hour\n0.5,3\n")
    with pytest.raises(ContractError, match="lacks the columns"):
        join(home, invitation, poor)
    assert_nothing_left(home)


@pytest.mark.parametrize("change", [{"epsilon": -1.0}, {"delta": 2.0}, {"name": "no spaces, please"}])
def test_an_option_that_cannot_be_used_is_refused(
    home: AgentHome, invitation: Invitation, data_file: Path, change: dict[str, object]
) -> None:
    with pytest.raises(InputError):
        join(home, invitation, data_file, **change)
    assert_nothing_left(home)


def test_a_no_keeps_nothing(home: AgentHome, invitation: Invitation, data_file: Path) -> None:
    with pytest.raises(ConsentWithheld, match="nothing was kept"):
        join(home, invitation, data_file, agree=False)
    assert_nothing_left(home)


def test_a_coordinator_that_declines_is_quoted(home: AgentHome, invitation: Invitation, data_file: Path) -> None:
    Files.refuse = True
    with pytest.raises(InputError, match="used before"):
        join(home, invitation, data_file)
    assert_nothing_left(home, enrolled=1)


def test_a_second_agent_in_the_same_directory_is_refused(
    home: AgentHome, invitation: Invitation, data_file: Path
) -> None:
    join(home, invitation, data_file)
    before = home.key.read_bytes()
    with pytest.raises(InputError, match="holds an agent already"):
        join(home, invitation, data_file)
    assert home.key.read_bytes() == before


def test_leaving_erases_all_but_what_was_spent(home: AgentHome, invitation: Invitation, data_file: Path) -> None:
    join(home, invitation, data_file)
    store = AgentStore(home.database)
    event = SampledGaussian(noise_multiplier=1.0, sample_rate=0.1, steps=1)
    with store.transaction():
        store.add_charge("request", "machines", "training", Cost(record=(event,)))
    store.seal("request", b"reply")
    enrol.leave(home)

    assert {file.name for file in home.path.iterdir()} <= {"agent.db", "agent.db-wal", "agent.db-shm"}
    (charge,) = store.charges()
    assert (charge.state, charge.reply) == ("void", None)
    assert store.events() == [event]
    assert not store.agreed("machines", fingerprint(small_task()))
    join(home, invitation, data_file)
    assert len(store.charges()) == 1, "joining again forgot what was spent"
    store.close()


def test_pausing_keeps_the_owners_own_words(home: AgentHome, invitation: Invitation, data_file: Path) -> None:
    join(home, invitation, data_file)
    home.settings_file.write_text(home.settings_file.read_text() + "# mine\n")
    set_paused(home, paused=True)
    assert home.settings().paused
    set_paused(home, paused=False)
    assert not home.settings().paused
    assert home.settings_file.read_text().endswith("# mine\n")


def assert_nothing_left(home: AgentHome, *, enrolled: int = 0) -> None:
    assert not home.path.exists()
    assert len(Files.enrolled) == enrolled


def test_who_comes_back_is_told_what_was_spent_here_before(
    home: AgentHome, invitation: Invitation, data_file: Path
) -> None:
    join(home, invitation, data_file)
    store = AgentStore(home.database)
    with store.transaction():
        store.add_charge(
            "r",
            "machines",
            "training",
            Cost(record=(SampledGaussian(noise_multiplier=1.0, sample_rate=0.5, steps=20),)),
        )
    store.close()
    enrol.leave(home)
    shown = " ".join(join(home, invitation, data_file).split())
    assert "is spent already" in shown
    assert "Your budget covers it." not in shown
