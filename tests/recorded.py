"""`covey-agent`, unchanged but for a record of every request that it got and every reply that it sent."""

import hashlib
import sys
from functools import wraps
from pathlib import Path

from flwr.app import Message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import ObjectTree

sys.path.insert(0, str(Path(__file__).parents[1]))

from client.__main__ import main
from client.fleet import Fleet


def record(file: Path) -> None:
    """Write `asked REQUEST -` and `pushed REQUEST SHA256` lines to `file`."""
    fetch, push = Fleet.fetch, Fleet.push

    def write(kind: str, request: str, sha256: str) -> None:
        with file.open("a") as lines:
            lines.write(f"{kind} {request} {sha256}\n")

    @wraps(fetch)
    def recorded_fetch(self: Fleet, head: Message, tree: ObjectTree) -> Message:
        write("asked", head.metadata.message_id, "-")
        return fetch(self, head, tree)

    @wraps(push)
    def recorded_push(self: Fleet, reply: Message) -> None:
        sealed = message_to_proto(reply).SerializeToString(deterministic=True)
        write("pushed", reply.metadata.reply_to_message_id, hashlib.sha256(sealed).hexdigest())
        push(self, reply)

    Fleet.fetch, Fleet.push = recorded_fetch, recorded_push  # type: ignore[method-assign]


if __name__ == "__main__":
    record(Path(sys.argv[sys.argv.index("--home") + 1]) / "record")
    main()
