"""Replies that no agent packs: wrong values, shapes, keys and rounds, put in place of an honest device's reply."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from shared import messages, wire
from shared.rounds import TrainReport
from simulations.loopback import LoopbackGrid

Forgery = Callable[[RecordDict, RecordDict], None]
"""Changes a reply's content, given what the same device sent a round before."""


class ForgingGrid(LoopbackGrid):
    """An in-process grid in which some devices send what a forgery makes of their replies, from the second round on.

    With `echo`, every reply arrives twice.
    """

    def __init__(
        self, app: ClientApp, agents: Mapping[int, Path], *, forgeries: Mapping[str, Forgery], echo: bool = False
    ) -> None:
        """Serve `agents` (node id to agent directory); `forgeries` are by the directory's name."""
        self._echo = echo
        self._forgeries = {node: forgeries[home.name] for node, home in agents.items() if home.name in forgeries}
        self._before: dict[int, RecordDict] = {}
        super().__init__(app, agents, tamper=self._change)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Hand over the answers, each once or each twice."""
        found = list(super().pull_messages(message_ids))
        return [*found, *found] if self._echo else found

    def _change(self, node: int, reply: Message) -> Message:
        forge = self._forgeries.get(node)
        if forge is None or "report" not in messages.names(reply.content):
            return reply
        before, self._before[node] = self._before.get(node), deepcopy(reply.content)
        if before is not None:
            forge(reply.content, before)
        return reply


def all_values(value: float) -> Forgery:
    """Every float32 of the update is `value`."""
    return lambda content, _: _put(content, np.full(_length(content), value, np.float32))


def huge(content: RecordDict, _: RecordDict) -> None:
    """1e308 in every place, which takes a double."""
    _put(content, np.full(_length(content), 1e308))


def one_too_many(content: RecordDict, _: RecordDict) -> None:
    """The shape is another network's."""
    _put(content, np.ones(_length(content) + 1, np.float32))


def of_doubles(content: RecordDict, _: RecordDict) -> None:
    """Every value is allowed, in another type."""
    _put(content, _array(content).astype(np.float64))


def under_another_key(content: RecordDict, _: RecordDict) -> None:
    """The array stands where nobody looks."""
    content["arrays"] = content["array"]
    del content["array"]


def without_a_report(content: RecordDict, _: RecordDict) -> None:
    """An update that says of no round."""
    del content["report"]


def of_the_round_before(content: RecordDict, _: RecordDict) -> None:
    """This round's update under the last round's report."""
    body = content.config_records["report"]["json"]
    report = wire.from_json(TrainReport, body if isinstance(body, bytes) else b"")
    late = TrainReport(run_id=report.run_id, round_number=report.round_number - 1, base_version=report.base_version - 1)
    content["report"] = ConfigRecord({"json": wire.to_json(late)})


def replayed(content: RecordDict, before: RecordDict) -> None:
    """The whole reply of another round once more."""
    content.clear()
    content.update(deepcopy(before))


def _array(content: RecordDict) -> NDArray[np.float32]:
    return np.asarray(content.array_records["array"]["flat"].numpy(), np.float32)


def _length(content: RecordDict) -> int:
    return len(_array(content))


def _put(content: RecordDict, values: NDArray[np.floating]) -> None:
    content["array"] = ArrayRecord({"flat": Array(values)})
