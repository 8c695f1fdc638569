"""What the network can reach: an allow-list of routes, bodies under a cap, and every request bound to its sender.

Each check comes before the work that it guards: the route before the body, the key before a large
body, the signature before Flower parses anything (privacy rule 20).
"""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from server import enroll
from server.asgi import (
    Answer,
    BodyTooLarge,
    Gone,
    Receive,
    Scope,
    Send,
    answer,
    headers_of,
    read_body,
    send_bytes,
)
from server.mailbox import Mailbox
from server.records import Device
from server.replays import Replays
from server.sequences import Sequences
from server.store import Store
from shared import sequence, signing, wire
from shared.errors import InputError, WireError

FLEET = "/v1/fleet/"
FLEET_ROUTES = frozenset(
    FLEET + name
    for name in (
        *("activate-node", "deactivate-node", "send-node-heartbeat", "get-run", "get-fab"),
        *("pull-messages", "push-messages", "pull-object", "push-object", "confirm-message-received"),
    )
)
"""Flower's fleet interface without `register-node` and `unregister-node`: who is a node, the operator decides."""

SMALL_BODY = 64 * 1024
FLEET_BODY = 32 * 1024 * 1024
BODY_SECONDS = 120.0
_MOST_DIGITS = 20
_FILE = re.compile(r"(?=.{1,255}\Z)/tuf/(metadata|targets)(/[A-Za-z0-9][A-Za-z0-9._-]*)+")

RESTS, HUNG_UP = "rests", "hung-up"
"""What the fleet is told, beside its routes: a device's poll begins to rest here; the line of one that rested broke."""

FleetCall = Callable[[str, bytes, Device], Answer]
"""Answers a fleet request by its name, its body and its sender."""

log = logging.getLogger(__name__)


def kind_of(path: str) -> str:
    """What a request is about, in one of a few words: paths are anybody's to choose."""
    kinds = {FLEET: "fleet", "/tuf/": "releases", "/covey/ca.crt": "authority", "/health": "health"}
    kinds |= {"/covey/enrol": "enrolment", "/covey/installed": "report", sequence.PATH: "sequence"}
    return next((kind for start, kind in kinds.items() if path.startswith(start)), "other")


class Refused(Exception):
    """A request that goes no further: its status, a reason for the machine, a sentence for the person."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail


class Traffic:
    """Bytes by device since they were last written down."""

    def __init__(self) -> None:
        self._bytes: dict[str, tuple[int, int]] = {}

    def add(self, device: str, *, up: int = 0, down: int = 0) -> None:
        """Count a device's bytes; it also was seen."""
        before = self._bytes.get(device, (0, 0))
        self._bytes[device] = (before[0] + up, before[1] + down)

    def flush(self, store: Store, *, now: float) -> None:
        """Write down what was counted."""
        counted, self._bytes = self._bytes, {}
        store.touch_devices(counted, at=now)


class Gateway:
    """The public listener's app."""

    def __init__(
        self, *, store: Store, fleet: FleetCall, mailbox: Mailbox, repository: Path, authority: Path,
        sequences: Sequences | None, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`fleet` answers Flower's requests, `repository` the TUF directory, `authority` the CA certificate in PEM."""
        self._store, self._fleet, self._mailbox = store, fleet, mailbox
        self._repository, self._authority = repository.resolve(), authority
        self._sequences = sequences
        self._clock = clock
        self._replays = Replays(seconds=2 * signing.WINDOW_SECONDS)
        self._known: dict[bytes, Device] = {}
        self._stamp = (-1, -1)
        self.traffic, self.requests = Traffic(), Counter[tuple[str, str]]()
        self.release = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything that is not HTTP is dropped."""
        if scope["type"] != "http":
            return
        kind, outcome = kind_of(scope["path"]), "served"
        try:
            await self._route(scope, receive, send)
        except Refused as refusal:
            outcome = refusal.reason
            # That there is no newer root is how TUF learns it, from every device at every look.
            usual = refusal.status == 404 and scope["path"].endswith(".root.json")
            level = logging.DEBUG if usual else logging.INFO
            log.log(level, "%s %r refused: %s", scope["method"], scope["path"], refusal.reason)
            document = {"reason": refusal.reason, "detail": refusal.detail}
            await answer(send, refusal.status, document, covey_release=str(self.release), connection="close")
        except Gone:
            outcome = "given-up"
            log.debug("%s %r was given up by its sender", scope["method"], scope["path"])
        finally:
            self.requests[kind, outcome] += 1

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["method"], scope["path"]:
            case "POST", path if path in FLEET_ROUTES:
                await self._serve_fleet(scope, receive, send)
            case "POST", "/covey/enrol":
                await self._serve_enrolment(scope, receive, send)
            case "POST", "/covey/installed":
                await self._serve_installed(scope, receive, send)
            case "POST", sequence.PATH:
                await self._serve_sequence(scope, receive, send)
            case "GET", "/health":
                await answer(send, 200, {"state": "serving"})
            case "GET", "/covey/ca.crt":
                await send_bytes(send, 200, self._authority.read_bytes(), content_type="application/x-pem-file")
            case "GET", path if path.startswith("/tuf/"):
                await self._serve_file(path, send)
            case _:
                raise Refused(404, "unknown", "there is nothing here")

    async def _serve_fleet(self, scope: Scope, receive: Receive, send: Send) -> None:
        device, body = await self._authenticate(scope, receive, limit=FLEET_BODY)
        name = scope["path"].removeprefix(FLEET)
        self.traffic.add(device.name, up=len(body))
        if device.node_id is None:
            raise Refused(503, "starting", "this device was approved a moment ago; try again in a second")
        if name == "pull-messages":
            self._fleet(RESTS, b"", device)
            if not await self._rest(device.node_id, receive):
                self._fleet(HUNG_UP, b"", device)
                raise Gone
            self._require_approved(self._device(device.public_key))
        answered = self._fleet(name, body, device)
        self.traffic.add(device.name, down=len(answered.body))
        if name == "pull-messages" and not answered.body:
            self._mailbox.empty(device.node_id)
        elif name == "activate-node":
            # Its first poll must not rest: it tells that what an earlier session was handed is lost.
            self._mailbox.deliver([device.node_id])
        await send_bytes(
            send, answered.status, answered.body, content_type=answered.media_type, covey_release=str(self.release)
        )

    async def _rest(self, node: int, receive: Receive) -> bool:
        """Let a poll rest; False if its sender hung up meanwhile: a device that died is not asked for anything."""
        if not self._mailbox.would_rest(node):
            return True
        resting, hung_up = asyncio.ensure_future(self._mailbox.rest(node)), asyncio.ensure_future(receive())
        try:
            await asyncio.wait((resting, hung_up), return_when=asyncio.FIRST_COMPLETED)
            return resting.done()
        finally:
            resting.cancel()
            hung_up.cancel()

    async def _serve_enrolment(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        body = await self._read(scope, receive, limit=SMALL_BODY)
        key = self._verify(scope, headers, body)
        try:
            enroll.enrol(self._store, body, signed_by=key)
        except WireError as error:
            raise Refused(400, "malformed", str(error)) from None
        except InputError as error:
            raise Refused(403, "invitation", str(error)) from None
        await answer(send, 200, {"state": "pending"})

    async def _serve_installed(self, scope: Scope, receive: Receive, send: Send) -> None:
        device, body = await self._authenticate(scope, receive, limit=SMALL_BODY)
        try:
            enroll.record_installed(self._store, device, body)
        except WireError as error:
            raise Refused(400, "malformed", str(error)) from None
        self.traffic.add(device.name, up=len(body))
        await answer(send, 200, {"state": "recorded"}, covey_release=str(self.release))

    async def _serve_sequence(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Countersign a device's newest charge, or say what was countersigned last."""
        if self._sequences is None:
            raise Refused(404, "unknown", "this coordinator countersigns nothing; its log says why")
        device, body = await self._authenticate(scope, receive, limit=SMALL_BODY)
        try:
            answered = wire.to_json(self._sequences.answer(device, body))
        except WireError as error:
            raise Refused(400, "malformed", str(error)) from None
        self.traffic.add(device.name, up=len(body), down=len(answered))
        await send_bytes(
            send, 200, answered, content_type="application/json", covey_release=str(self.release)
        )  # fmt: skip

    async def _serve_file(self, path: str, send: Send) -> None:
        """A file of the TUF repository, which is public and signed; nothing beside it can be named."""
        file = self._repository / path.removeprefix("/tuf/")
        if not (_FILE.fullmatch(path) and file.resolve().is_relative_to(self._repository) and file.is_file()):
            raise Refused(404, "unknown", "there is no such file")
        body = await asyncio.to_thread(file.read_bytes)
        await send_bytes(send, 200, body, content_type="application/octet-stream")

    # -- who speaks -------------------------------------------------------------------------

    async def _authenticate(self, scope: Scope, receive: Receive, *, limit: int) -> tuple[Device, bytes]:
        """The approved device that signed this request, and its body; only an approved key may send a large one."""
        headers = headers_of(scope)
        device = self._device(signing.claimed_key(headers))
        approved = device is not None and device.state == "approved"
        body = await self._read(scope, receive, limit=limit if approved else min(limit, SMALL_BODY))
        device = self._require_approved(self._device(self._verify(scope, headers, body)))
        # After approval, because anybody can sign with a key of their own and so fill the memory.
        if self._replays.seen(device.public_key, headers[signing.NONCE], now=self._clock()):
            raise Refused(401, "replay", "this request was received before")
        return device, body

    def _device(self, key: bytes | None) -> Device | None:
        """The device with this key, as it stands now: what is kept of it holds until something is written."""
        if (stamp := self._store.stamp()) != self._stamp:
            self._stamp = stamp
            self._known.clear()
        if key is None:
            return None
        if (device := self._known.get(key) or self._store.device_by_key(key)) is not None:
            self._known[key] = device
        return device

    @staticmethod
    def _require_approved(device: Device | None) -> Device:
        if device is None:
            raise Refused(401, "unknown", "this device is not enrolled; join with an invitation")
        if device.state == "pending":
            raise Refused(403, "pending", "this device waits for the operator's approval")
        if device.state == "revoked":
            raise Refused(403, "revoked", "the operator revoked this device")
        return device

    def _verify(self, scope: Scope, headers: dict[str, str], body: bytes) -> bytes:
        """The key that signed this very request, within the window of its time."""
        method, path = scope["method"], scope["path"]
        try:
            return signing.verify(headers, method=method, path=path, body=body, now=self._clock())
        except WireError as error:
            raise Refused(401, "signature", str(error)) from None

    @staticmethod
    async def _read(scope: Scope, receive: Receive, *, limit: int) -> bytes:
        """The body, or a refusal before more than `limit` bytes are held."""
        too_large = Refused(413, "too-large", f"a body here may have {limit} bytes")
        declared = headers_of(scope).get("content-length", "0")
        # A digit in another alphabet is one for `isdigit` and none for `int`, which also refuses very many.
        if not (declared.isascii() and declared.isdigit() and len(declared) < _MOST_DIGITS and int(declared) <= limit):
            raise too_large
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await read_body(receive, limit=limit)
        except BodyTooLarge:
            raise too_large from None
        except TimeoutError:
            raise Refused(408, "slow", f"the body took more than {BODY_SECONDS:.0f} seconds") from None
