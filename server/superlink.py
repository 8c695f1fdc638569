"""Flower's SuperLink inside our own process: the one file of the service that knows Flower 1.41's internals.

Open-source Flower puts its Fleet, Control and Runtime interfaces on one port, and Control has no
authentication. Here the app is never served bare: the gateway lets only signed fleet requests reach it
from the network, and `LoopbackGate` only Control, behind a bearer token, and Runtime.
"""

import hashlib
import hmac
import io
import logging
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.common.constant import (
    ACCESS_TOKEN_KEY,
    HEARTBEAT_DEFAULT_INTERVAL,
    ISOLATION_MODE_PROCESS,
    NOOP_ACCOUNT_NAME,
    NOOP_FLWR_AID,
    TRANSPORT_TYPE_GRPC_RERE,
)
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import PushAppMessagesRequest
from flwr.supercore.auth.typing import AccountInfo
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app
from flwr.superlink.servicer.control import control_handlers
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import BytesValue

from server.asgi import App, Event, Receive, Scope, Send, answer, headers_of, read_body, replay, send_bytes
from server.config import Federation
from server.fleet import Fleet
from server.flower_environment import quiet_flower
from server.parcels import COLLECT, HAND_OUT, unbundle
from server.runtime import Runtime
from shared.errors import WireError

PUSH_MESSAGES = "/v1/runtime/push-messages"
_WHOLE = (HAND_OUT, COLLECT)
_LOOPBACK_ROUTES = ("/v1/control/", "/v1/runtime/", "/health", *_WHOLE)
_FLEET_ROUTES = ("/v1/fleet/", "/health")
_MAX_RUNTIME_BODY = 256 * 1024 * 1024
_BUNDLE = """\
[project]
name = "covey"
version = "1.0.0"

[tool.flwr.app]
publisher = "covey"

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"
"""
"""All that a bundle of ours holds: names of installed apps. No code travels, in either direction."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowerRun:
    """A run that Flower was asked for, and the token that lets one process be its ServerApp."""

    id: int
    token: str


class SuperLink:
    """Flower's state and interfaces. Its state lives in memory: what must outlive the process is in our own store."""

    def __init__(self, federation: Federation) -> None:
        """Make Flower's empty state and build its app; nothing listens yet."""
        quiet_flower()
        self._app: Any = create_app(_config(federation), SuperLinkLifespan)
        self._state: Any = self._app.state.linkstate_factory.state()
        self.fleet = Fleet(self._state)
        self._runtime = Runtime(self._state)

    @property
    def app(self) -> App:
        """Flower's ASGI app, every route of it, and a run's own two; serve it only through a gate."""
        return self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _WHOLE:
            await self._app(scope, receive, send)
            return
        body = await read_body(receive, limit=_MAX_RUNTIME_BODY)
        answered = self._runtime(scope["path"], headers_of(scope), body)
        await send_bytes(send, answered.status, answered.body, content_type=answered.media_type)

    def create_node(self, name: str, public_key: bytes) -> int:
        """Let a device's key be a node of Flower's, and return the node's number (unsigned, 64 bits)."""
        known = self._state.get_node_id_by_public_key(public_key)
        if known is not None:
            return int(known)
        owner = (NOOP_FLWR_AID, NOOP_ACCOUNT_NAME)
        return int(self._state.create_node(*owner, public_key, HEARTBEAT_DEFAULT_INTERVAL, name=name))

    def delete_node(self, node: int) -> None:
        """Make Flower refuse a node too; a node that is gone already is fine."""
        try:
            self._state.delete_node(NOOP_FLWR_AID, node)
        except ValueError:
            log.debug("node %d was deleted before", node)

    def start_run(self) -> FlowerRun:
        """Start a Flower run and claim its one task, so that no other process can."""
        content = _bundle()
        request = StartRunRequest(fab=Fab(hash_str=hashlib.sha256(content).hexdigest(), content=content))
        response = control_handlers.start_run(request, _account(), self._state, TRANSPORT_TYPE_GRPC_RERE)
        run = self._state.get_run_info(run_ids=[response.run_id])[0]
        return FlowerRun(id=int(response.run_id), token=str(self._state.claim_task(run.primary_task_id)))

    def stop_run(self, run: int) -> None:
        """End a Flower run and drop its messages; one that has ended is fine."""
        self._state.stop_run(run)


class LoopbackGate:
    """What the loopback listener serves: Control, Runtime and health. It says whom each message is for."""

    def __init__(self, app: App, deliver: Callable[[Collection[int]], None]) -> None:
        """`deliver` is called with the nodes that the run process just wrote to."""
        self._app = app
        self._deliver = deliver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and not scope["path"].startswith(_LOOPBACK_ROUTES):
            await answer(send, 404, {"reason": "unknown"})
        elif scope["type"] == "http" and scope["path"] in (PUSH_MESSAGES, HAND_OUT):
            await self._push(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _push(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, statuses = await read_body(receive, limit=_MAX_RUNTIME_BODY), list[int]()

        async def watched(event: Event) -> None:
            if event["type"] == "http.response.start":
                statuses.append(event["status"])
            await send(event)

        await self._app(scope, replay(body, receive), watched)
        if statuses == [200]:  # a push that was refused wakes nobody
            self._deliver(_destinations(body if scope["path"] == PUSH_MESSAGES else _head(body)))


class FleetGate:
    """Flower's fleet interface without Covey's signature, for a stock SuperNode in a test; loopback only."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and not scope["path"].startswith(_FLEET_ROUTES):
            await answer(send, 404, {"reason": "unknown"})
        else:
            await self._app(scope, receive, send)


class _TokenAuthentication(NoOpControlAuthnPlugin):
    """Control answers to the bearer of the federation's token alone."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token.encode()

    def validate_tokens_in_metadata(
        self, metadata: Sequence[tuple[str, str | bytes]]
    ) -> tuple[bool, AccountInfo | None]:
        """Compare the bearer's token in constant time."""
        given = str(dict(metadata).get(ACCESS_TOKEN_KEY, "")).encode()
        return (True, _account()) if hmac.compare_digest(given, self._token) else (False, None)


def _account() -> AccountInfo:
    return AccountInfo(flwr_aid=NOOP_FLWR_AID, account_name=NOOP_ACCOUNT_NAME)


def _bundle() -> bytes:
    """The same bytes every time: the date is fixed. A stock SuperNode wants the list of contents beside them."""
    contents = f"pyproject.toml,{hashlib.sha256(_BUNDLE.encode()).hexdigest()},{8 * len(_BUNDLE)}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("pyproject.toml"), _BUNDLE)
        archive.writestr(zipfile.ZipInfo(".info/CONTENT"), contents)
    return buffer.getvalue()


def _head(body: bytes) -> bytes:
    """The push in a bundle with its parts; an unreadable one was refused already."""
    try:
        return unbundle(BytesValue.FromString(body).value)[0]
    except (DecodeError, WireError, IndexError):
        return b""


def _destinations(body: bytes) -> frozenset[int]:
    """The nodes that a push is addressed to; an unreadable push was refused by Flower already."""
    try:
        push = PushAppMessagesRequest.FromString(body)
    except DecodeError:
        return frozenset()
    return frozenset(int(message.metadata.dst_node_id) for message in push.messages_list)


def _config(federation: Federation) -> SuperLinkLifespanConfig:
    """`isolation="process"`: Flower starts no process of its own; the service does."""
    settings, tls = federation.settings(), federation.tls
    paths = (tls / "ca.crt", tls / "server.crt", tls / "server.key")
    authority, certificate, key = (path.read_bytes() for path in paths)
    return SuperLinkLifespanConfig(
        host="127.0.0.1", port=settings.admin_port, insecure=False, certificates=(authority, certificate, key),
        ssl_ca_certfile=str(paths[0]), ssl_certfile=str(paths[1]), ssl_keyfile=str(paths[2]),
        database=FLWR_IN_MEMORY_DB_NAME, isolation=ISOLATION_MODE_PROCESS, runtime_dependency_install=False,
        superexec_auth_secret=federation.superexec_secret.read_bytes(), enable_supernode_auth=True,
        authn_plugin=_TokenAuthentication(federation.control_token.read_text().strip()),
        control_address="", health_server_address=None, fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None, simulation=False, artifact_provider=None,
        event_log_plugin=None, fleet_event_log_plugin=None, enable_event_log=False,
    )  # fmt: skip
