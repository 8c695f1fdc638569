"""A request to an ASGI app as an input says it: method, path, headers as a JSON object, body; and what came back."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from simulations.fuzz.target import Form, unpack

PARTS: tuple[Form, ...] = ("text", "text", "json", "json")

FLOWERS_OWN = b'{"reason": "failed"}'
"""What is answered where one of Flower's own handlers raised: `server/fleet.py` answers for them."""

Headers = list[tuple[str, str]]
Add = Callable[[str, str, Headers, bytes], Headers]


async def ask(
    app: Callable[..., Awaitable[None]], data: bytes, add: Add = lambda _method, _path, headers, _body: headers
) -> str:
    """Send one request, its body in two pieces; `add` may add headers. Returns path, status and the answer's beginning.

    Raise `ValueError` if there is not one whole answer, or if it is the one for what nobody foresaw.
    """
    words, path, said, body = unpack(data, 4)
    method, where = words.decode("utf-8", "replace"), path.decode("utf-8", "replace")
    raw = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
           for name, value in add(method, where, headers(said), body)]  # fmt: skip
    half, sent = len(body) // 2, list[Any]()
    events = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]

    async def receive() -> Any:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(event)

    await app({"type": "http", "method": method, "path": where, "headers": raw}, receive, send)
    if len(sent) != 2 or (sent[0]["status"] == 500 and sent[1]["body"] != FLOWERS_OWN):
        raise ValueError(f"{len(sent)} events were sent, the first {sent[:1]}")
    status = sent[0]["status"]
    return f"{where[:20] if status != 404 else ''} {status} {sent[1]['body'][:12]!r}"


def headers(said: bytes) -> Headers:
    """Headers from a JSON object of words; one that comes twice there does so here."""
    try:
        pairs: Any = json.loads(said, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return []
    if not isinstance(pairs, list):
        return []
    found = [pair for pair in cast(list[Any], pairs) if isinstance(pair, tuple) and len(cast(Any, pair)) == 2]
    return [(str(name)[:200].lower(), str(value)[:6000]) for name, value in found]
