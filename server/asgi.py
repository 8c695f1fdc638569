"""The few ASGI pieces that both listeners share: read a body under a cap, replay it, answer."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer: its status, its bytes and what they are."""

    status: int
    body: bytes
    media_type: str


class BodyTooLarge(Exception):
    """A body went over its cap; what came of it was dropped unparsed."""


class Gone(Exception):
    """The other side hung up in the middle of its body."""


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers by lower-case name; one that comes twice is left out, because it is ambiguous."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in found:
            twice.add(name)
        found[name] = raw_value.decode("latin-1")
    return {name: value for name, value in found.items() if name not in twice}


async def read_body(receive: Receive, *, limit: int) -> bytes:
    """The whole body, or `BodyTooLarge` as soon as it passes `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Gone
        part = event.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        parts.append(part)
        if not event.get("more_body", False):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out `body` once and then what really comes."""
    waiting = [body]

    async def again() -> Event:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


async def answer(send: Send, status: int, document: Mapping[str, object], **headers: str) -> None:
    """Send a short JSON answer."""
    await send_bytes(send, status, json.dumps(document).encode(), content_type="application/json", **headers)


async def send_bytes(send: Send, status: int, body: bytes, *, content_type: str, **headers: str) -> None:
    """Send a whole answer; keyword names become header names with hyphens."""
    fields = {"content-type": content_type, "content-length": str(len(body)), **headers}
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
