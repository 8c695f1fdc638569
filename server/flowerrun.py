"""The run process's end of Flower: one claimed task as a grid and a context, with its heartbeat and its outcome.

Flower keeps a task's identity in the process, so one process is one run.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
from flwr.app import Context
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, run_from_proto
from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
from flwr.serverapp import Grid
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.task_identity import TaskIdentity

from server.flower_environment import quiet_flower
from server.wholegrid import WholeGrid
from shared.errors import Unreachable


@contextmanager
def claimed_task(*, address: str, authority: bytes, token: str) -> Generator[tuple[Grid, Context]]:
    """Be the ServerApp of the task that `token` was given for, and tell Flower how it ended.

    `authority` is the CA certificate in PEM. Raise `Unreachable` if the coordinator gives no task.
    """
    quiet_flower()
    grid = WholeGrid(address, insecure=False, root_certificates=authority, token=token)
    client: Any = grid._runtime_client  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    context = _take_up(grid, client)
    heartbeat.start()
    outcome = SubStatus.FAILED
    try:
        yield grid, context
        outcome = SubStatus.COMPLETED
    finally:
        heartbeat.stop()
        _hand_in(grid, client, context, outcome)


def _take_up(grid: WholeGrid, client: Any) -> Context:
    try:
        task = client.PullTaskInput(PullTaskInputRequest())
    except httpx.HTTPError as error:
        raise Unreachable(f"the coordinator handed out no task: {type(error).__name__}") from None
    TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
    context = context_from_proto(task.context)
    TaskIdentity.node_id = context.node_id
    grid.set_run(run_from_proto(task.run))
    return context


def _hand_in(grid: WholeGrid, client: Any, context: Context, outcome: str) -> None:
    """Covey's store holds what matters; Flower is told only that the task ended, never why."""
    grid._retry_invoker.max_tries = 1  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    context.state.clear()
    with suppress(httpx.HTTPError):
        client.PushTaskOutput(PushTaskOutputRequest(context=context_to_proto(context), sub_status=outcome, details=""))
    grid.close()
