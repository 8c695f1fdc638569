"""The endpoint as a raw ASGI app: a route, a body under a cap, an answer or one sentence that says what was wrong."""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from client.prepare import FieldError
from client.serving.metrics import Counts
from client.serving.pool import Pool, Seat
from client.serving.questions import NotUnderstood
from shared.errors import ContractError, InputError, ReleaseError

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

MOST_BYTES = 8_388_608
BODY_SECONDS = 10.0
_MOST_DIGITS = 20
JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole."""

    seat: Seat
    body: bytes
    media_type: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    body: bytes
    media_type: bytes = JSON
    status: int = 200


class Problem(Exception):
    """What is answered instead: a status, a sentence, and the field and row that it is about."""

    def __init__(self, status: int, message: str, **about: str | int) -> None:
        super().__init__(message)
        self.status, self.about = status, about

    def answer(self) -> Answer:
        """As JSON."""
        return Answer(json.dumps({"error": str(self), **self.about}).encode(), status=self.status)


Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """Which handler answers, and which media types its body may have; none means a GET without a body."""

    handler: Handler
    takes: tuple[bytes, ...] = ()


class Endpoint:
    """Answers on one listener; with a `token`, only who shows it."""

    def __init__(self, pool: Pool, counts: Counts, routes: dict[str, Route], *, token: str | None = None) -> None:
        self._pool, self._counts, self._routes = pool, counts, routes
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        task = ""
        try:
            seat, route = self._find(scope)
            task = seat.name if seat else ""
            answer = await self._ask(scope, receive, seat, route)
        except Problem as problem:
            answer = problem.answer()
        self._counts.requests[task, answer.status] += 1
        await _send(send, answer)

    def _find(self, scope: Scope) -> tuple[Seat | None, Route]:
        """The task and the route of a request that may ask at all, or `Problem`."""
        if self._expected is not None:
            _require_token(scope["headers"], self._expected)
        path: str = scope["path"]
        name, seat = path, None
        if path.startswith("/v1/tasks/"):
            task, _, rest = path.removeprefix("/v1/tasks/").partition("/")
            name, seat = f"/v1/{rest}", self._seat(task)
        route = self._routes.get(name)
        if route is None or (seat is not None and not route.takes):
            raise Problem(404, f"there is nothing at {ascii(path)[:200]}; docs/serving.md lists the routes")
        if scope["method"] != (wanted := "POST" if route.takes else "GET"):
            raise Problem(405, f"{name} takes {wanted}, not {scope['method']}")
        return (seat or self._seat(None)) if route.takes else None, route

    def _seat(self, name: str | None) -> Seat:
        try:
            return self._pool.seat(name)
        except InputError as error:
            raise Problem(404, str(error)) from None

    async def _ask(self, scope: Scope, receive: Receive, seat: Seat | None, route: Route) -> Answer:
        media_type = b""
        if route.takes:
            media_type = _header(scope["headers"], b"content-type").partition(b";")[0].strip().lower()
            if media_type not in route.takes:
                takes = " or ".join(kind.decode() for kind in route.takes)
                raise Problem(415, f"content-type must be {takes}, got {ascii(media_type.decode('latin-1'))[:60]}")
        body = await _read(scope, receive)
        return await self._answer(route.handler, Request(seat, body, media_type))  # type: ignore[arg-type]

    async def _answer(self, handler: Handler, request: Request) -> Answer:
        """Call the handler; every error that is ours becomes a status and its sentence, any other is logged."""
        try:
            return await handler(request)
        except NotUnderstood as error:
            raise Problem(400, str(error)) from None
        except FieldError as error:
            row = {} if error.row is None else {"row": error.row}
            raise Problem(422, str(error), field=error.field, **row) from None
        except ContractError as error:
            raise Problem(422, str(error)) from None
        except ReleaseError as error:
            raise Problem(503, str(error)) from None
        except InputError as error:
            raise Problem(503, str(error)) from None
        except Exception:
            log.exception("a request was not answered")
            raise Problem(500, "the agent could not answer; its log says why") from None


def _require_token(headers: list[tuple[bytes, bytes]], expected: bytes) -> None:
    if not hmac.compare_digest(_header(headers, b"authorization"), expected):
        raise Problem(401, "this listener asks for the token: Authorization: Bearer, with what agent.token holds")


def _header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    """A header's value; empty if it is absent, or comes twice and so says nothing."""
    found = [value for name, value in headers if name == wanted]
    return found[0] if len(found) == 1 else b""


async def _read(scope: Scope, receive: Receive) -> bytes:
    """The whole body, or `Problem` as soon as it is too large or too slow."""
    declared = _header(scope["headers"], b"content-length")
    if declared and not (declared.isdigit() and len(declared) < _MOST_DIGITS and int(declared) <= MOST_BYTES):
        raise _too_large()
    event = await receive()
    if not event.get("more_body", False):
        body: bytes = event.get("body", b"")
        return body
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_parts(event, receive)
    except TimeoutError:
        raise Problem(408, f"the body did not come within {BODY_SECONDS:g} s") from None


async def _read_parts(event: Event, receive: Receive) -> bytes:
    parts, size = [event.get("body", b"")], 0
    while event.get("more_body", False):
        event = await receive()
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise _too_large()
    return b"".join(parts)


def _too_large() -> Problem:
    return Problem(413, f"a body may hold {MOST_BYTES} bytes; ask several times")


async def _send(send: Send, answer: Answer) -> None:
    headers = [(b"content-type", answer.media_type), (b"content-length", b"%d" % len(answer.body))]
    if answer.status in (408, 413):
        # What is left of the body would be read for nothing.
        headers.append((b"connection", b"close"))
    if answer.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
