"""Flower's `Grid` in one process: the same ServerApp and the same ClientApp, with no network in between."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from flwr.app import Context, Error, Message, RecordDict
from flwr.app.user_config import UserConfig
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

Tamper = Callable[[int, Message], Message]


class InProcessGrid(Grid):
    """What any grid without a network answers alike."""

    def __init__(self) -> None:
        """Take the identity that Flower gives a task of its own: it is global to a process."""
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    @property
    def run(self) -> Run:
        """A grid in process belongs to no SuperLink run."""
        return Run.create_empty(1)

    def set_run(self, run: Run) -> None:
        """Accept and ignore: see `run`."""

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Build a message (Flower deprecates this in favour of the constructor)."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Every node that is online, with its id alone."""
        return [NodeInfo(node_id=node) for node in self.get_node_ids()]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Push and pull in one go; nothing here takes time, so `timeout` never passes."""
        del timeout
        return self.pull_messages(self.push_messages(messages))


class LoopbackGrid(InProcessGrid):
    """Hands each message to the agent whose directory belongs to its node, at once and in order.

    `tamper` may replace what a node returns: how tests send NaN, silence and lies.
    """

    def __init__(self, app: ClientApp, agents: Mapping[int, Path], *, tamper: Tamper | None = None) -> None:
        """Serve `agents` (node id to agent directory) with `app`."""
        super().__init__()
        self._app = app
        self._agents = dict(agents)
        self._tamper = tamper or _honest
        self._replies: dict[str, Message] = {}

    def get_node_ids(self) -> Iterable[int]:
        """Every node is always online."""
        return list(self._agents)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let each addressee answer now; returns the messages' ids in order."""
        return [self._deliver(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Hand over the answers to `message_ids`, each once."""
        return [self._replies.pop(key) for key in message_ids if key in self._replies]

    def _deliver(self, message: Message) -> str:
        node, message_id = message.metadata.dst_node_id, secrets.token_hex(16)
        vars(message.metadata)["_message_id"] = message_id
        self._replies[message_id] = self._tamper(node, self._answer(node, message))
        return message_id

    def _answer(self, node: int, message: Message) -> Message:
        config: UserConfig = {"agent": str(self._agents[node])}
        context = Context(run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config={})
        try:
            return self._app(message=message, context=context)
        except Exception:  # noqa: BLE001 - as a SuperNode does: an app's failure is an error reply
            return Message(Error(code=2), reply_to=message)


def _honest(_: int, reply: Message) -> Message:
    return reply
