"""Nodes with a stock SuperNode's manners: a poll every three seconds, and no second try for a reply.

`python -m simulations.load.stock_nodes ADDRESS FOLDER FIRST COUNT SIZE`; stdin and stdout as in `swarm.py`.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from threading import Thread

import httpx
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.control_pb2 import RegisterNodeRequest
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from shared.signing import public_key_bytes
from simulations.load.ground import read_keys

POLL_SECONDS, HEARTBEAT_SECONDS, BACKOFF_SECONDS = 3.0, 30.0, 1.0
"""Flower's own: between two polls, a SuperNode's heartbeat, and before a part that was not there is asked for again."""


class StockNode:
    """One node; `dropped` counts replies that it gave up."""

    def __init__(
        self, address: str, authority: bytes, key: ec.EllipticCurvePrivateKey, *, seed: int, size: int
    ) -> None:
        """Nothing is sent yet."""
        auth = NodeAuthHttpInterceptor(key, key.public_key())
        self._http = FleetHttpClient.from_server_address(address, False, authority, interceptors=[auth])
        self._key, self._random = key, Random(seed)  # noqa: S311 - spreads polls, hides nothing
        self._update = np.random.default_rng(seed).normal(0, 1, size).astype(np.float32)
        self._node, self._runs = Node(), set[int]()
        self.requests, self.answered, self.dropped = 0, 0, 0

    def run(self) -> None:
        """Poll for ever; whatever fails is left behind, as a SuperNode that logs and goes on."""
        time.sleep(POLL_SECONDS * self._random.random())
        public = public_key_bytes(self._key.public_key())
        request = ActivateNodeRequest(public_key=public, heartbeat_interval=HEARTBEAT_SECONDS)
        self._node = Node(node_id=self._http.ActivateNode(request).node_id)
        Thread(target=self._beat, daemon=True).start()
        while True:
            began = time.monotonic()
            try:
                self._serve(self._http.PullMessages(PullMessagesRequest(node=self._node)))
            except (httpx.HTTPError, ValueError):
                self.dropped += 1
            self.requests += 1
            time.sleep(max(0.0, POLL_SECONDS - (time.monotonic() - began)))

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS * (0.7 + 0.2 * self._random.random()))
            try:
                self._http.SendNodeHeartbeat(
                    SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
                )
            except (httpx.HTTPError, ValueError):
                continue

    def _serve(self, waiting: PullMessagesResponse) -> None:
        for head, tree in zip(waiting.messages_list, waiting.message_object_trees, strict=True):
            run = head.metadata.run_id
            self._learn_of(run)
            names = dict.fromkeys(part.object_id for part in iterate_object_tree(tree))
            contents = {name: self._pull(run, name) for name in names}
            self._http.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(node=self._node, run_id=run, message_object_id=tree.object_id)
            )
            message = inflate_object_from_contents(tree.object_id, contents)
            assert isinstance(message, Message)
            message.metadata.__dict__["_message_id"] = tree.object_id
            self._push(self._answer(message))

    def _learn_of(self, run: int) -> None:
        if run not in self._runs:
            found = self._http.GetRun(GetRunRequest(node=self._node, run_id=run)).run
            self._http.GetFab(GetFabRequest(node=self._node, hash_str=found.fab_hash, run_id=run))
            self._runs.add(run)

    def _pull(self, run: int, name: str) -> bytes:
        while True:
            found = self._http.PullObject(PullObjectRequest(node=self._node, run_id=run, object_id=name))
            if found.object_available:
                return found.object_content
            if not found.object_found:
                raise ValueError("the message is gone")
            time.sleep(BACKOFF_SECONDS)

    def _answer(self, message: Message) -> Message:
        self._update[0] += 1
        return Message(RecordDict({"array": ArrayRecord({"flat": Array(self._update)})}), reply_to=message)

    def _push(self, reply: Message) -> None:
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            tree, parts = get_object_tree(reply), get_all_nested_objects(reply)
        offer = PushMessagesRequest(
            node=self._node, messages_list=[message_to_proto(remove_content_from_message(reply))],
            message_object_trees=[tree], clientapp_runtime_list=[0.0],
        )  # fmt: skip
        lacking = self._http.PushMessages(offer)
        for name in lacking.objects_to_push:
            self._http.PushObject(
                PushObjectRequest(
                    node=self._node, run_id=reply.metadata.run_id, session_id=lacking.session_id, object_id=name,
                    object_content=parts[name].deflate(),
                )
            )  # fmt: skip
        self.answered += 1


def main() -> None:
    """Register this part's nodes, run them, and answer `count` on stdin."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    address, folder, *numbers = sys.argv[1:]
    first, count, size = map(int, numbers)
    authority = (Path(folder) / "ca.crt").read_bytes()
    keys = read_keys(Path(folder) / "keys.pem")[first : first + count]
    _register(address, authority, keys)
    threading.stack_size(256 * 1024)
    nodes = [StockNode(address, authority, key, seed=first + place, size=size) for place, key in enumerate(keys)]
    for node in nodes:
        Thread(target=node.run, daemon=True).start()
    for line in sys.stdin:
        if line.strip() != "count":
            break
        requests = Counter({"pull-messages": sum(node.requests for node in nodes)})
        said = {
            "requests": requests, "asked": {}, "again": 0, "answered": sum(node.answered for node in nodes),
            "void": sum(node.dropped for node in nodes),
        }  # fmt: skip
        print(json.dumps(said), flush=True)  # noqa: T201 - the parent reads it
    os._exit(0)


def _register(address: str, authority: bytes, keys: Iterable[ec.EllipticCurvePrivateKey]) -> None:
    with ControlHttpClient.from_server_address(
        address, insecure=False, root_certificates=authority, interceptors=[]
    ) as control:
        for key in keys:
            control.RegisterNode(RegisterNodeRequest(public_key=public_key_bytes(key.public_key()), name="device"))


if __name__ == "__main__":
    main()
