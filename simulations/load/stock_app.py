"""Stock Flower's ServerApp for the load: rounds by `Grid.send_and_receive`, one line of JSON a round.

`python -m simulations.load.stock_app ADDRESS FOLDER DEVICES ROUNDS SIZE SECONDS`; the first line says that all are here.
"""

import hashlib
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.common.serde import fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest
from flwr.serverapp import Grid
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

_BUNDLE = """
[project]
name = "stock-load"
version = "1.0.0"
dependencies = []

[tool.flwr.app]
publisher = "covey"

[tool.flwr.app.components]
serverapp = "stock.code:app"
clientapp = "stock.code:app"
"""


def main() -> None:
    """Take the place of a run's ServerApp, and play the rounds."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    address, place, devices, rounds, size, seconds = sys.argv[1:]
    folder = Path(place)
    grid = _join(address, folder)
    while len(set(grid.get_node_ids())) < int(devices):
        time.sleep(0.5)
    print("all are here", flush=True)  # noqa: T201 - the parent reads it
    for number in range(int(rounds)):
        took, good = _round(grid, number, int(size), float(seconds))
        print(json.dumps([took, good]), flush=True)  # noqa: T201 - the parent reads it
    os._exit(0)


def _round(grid: Grid, number: int, size: int, seconds: float) -> tuple[float, int]:
    weights = np.full(size, number, np.float32)
    content = RecordDict({"array": ArrayRecord({"flat": Array(weights)})})
    messages = [Message(content, node, "train", group_id=str(number)) for node in grid.get_node_ids()]
    began = time.monotonic()
    replies = list(grid.send_and_receive(messages, timeout=seconds))
    return time.monotonic() - began, sum(not reply.has_error() for reply in replies)


def _join(address: str, folder: Path) -> HttpGrid:
    authority, secret = (folder / "ca.crt").read_bytes(), (folder / "secret").read_bytes().strip()
    content = _bundle(folder / "bundle")
    fab = Fab(hashlib.sha256(content).hexdigest(), content, {})
    with ControlHttpClient.from_server_address(
        address, insecure=False, root_certificates=authority, interceptors=[]
    ) as control:
        control.StartRun(StartRunRequest(fab=fab_to_proto(fab)))
    auth = SuperExecAuthHttpInterceptor(
        master_secret=secret, protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"})
    )
    version = RuntimeVersionHttpInterceptor(component_name="flwr-superexec")
    with RuntimeHttpClient.from_server_address(address, False, authority, [version, auth]) as runtime:
        token = runtime.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-serverapp"])).token
    grid = HttpGrid(address, False, authority, token=token)
    client = grid._runtime_client  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as Flower's own runner does
    task = client.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
    TaskIdentity.node_id = task.context.node_id
    grid.set_run(run_from_proto(task.run))
    HeartbeatSender(make_task_heartbeat_fn_http(client)).start()
    return grid


def _bundle(directory: Path) -> bytes:
    (directory / "stock").mkdir(parents=True)
    (directory / "pyproject.toml").write_text(_BUNDLE)
    for name in ("__init__.py", "code.py"):
        (directory / "stock" / name).write_text("app = None\n")
    with warnings.catch_warnings(action="ignore"):
        return build_fab_from_disk(directory)


if __name__ == "__main__":
    main()
