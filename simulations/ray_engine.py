"""The same campaign on Flower's own simulation engine: Ray on this machine, or a Ray cluster.

`server.app.conduct` gets the grid that Flower gives, and each message reaches `client.app.app` as it does everywhere;
what is added is who a node is, which Flower draws at random each time. Ray is an extra: `pip install '.[peers]'`.

Without `RAY_ADDRESS` Ray starts on this machine, on its loopback address alone. With it, the agents' directories and
their data must lie where every machine of the cluster finds them under the same path, and Covey must be installed there.
"""

import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from server.app import conduct
from server.records import ACTIVE, CampaignRequest, Progress, Run
from server.store import Store
from shared import wire
from shared.errors import CoveyError, InputError, Unreachable
from shared.tasks import Task

WHO = "query.who"
"""Asks a node which partition of the engine it is: the one message that no deployed agent answers."""

START_SECONDS = 180.0
"""How long Ray may take to start its processes."""

Say = Callable[[Progress], None]


class AgentsOnRay(ClientApp):
    """Lets the agent answer whose directory belongs to a node's partition; travels to Ray's processes by name."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Serve the agents in `folders`, partition by partition."""
        super().__init__()
        self._folders = [str(folder) for folder in folders]

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer as the agent of this node does."""
        from client.app import app

        partition = int(str(context.node_config["partition-id"]))
        if message.metadata.message_type == WHO:
            return Message(RecordDict({"who": ConfigRecord({"partition": partition})}), reply_to=message)
        context.node_config["agent"] = self._folders[partition]
        return app(message=message, context=context)


def rehearse_on_ray(
    store: Store, task: Task, agents: Mapping[int, Path], run: Run, *,
    cpus_each: float = 1.0, say: Say | None = None,
) -> None:  # fmt: skip
    """Conduct a queued `run` of `task` over `agents`, as `simulations.cohort.rehearse` made them; the store then says how it went.

    `cpus_each` is how many processors an agent's process is given, and so how many of them there are. `say` hears where
    the run is, from another thread. The devices keep the node ids of this engine. Raise `InputError` where Ray is not
    installed or cannot hold the campaign, `Unreachable` where it does not start, and what `conduct` raises.
    """
    require_ray()
    folders = [agents[node] for node in sorted(agents)]
    config = backend_config(_alone(task, run), cpus_each=cpus_each)
    _quiet()
    from flwr.simulation import run_simulation

    ended = threading.Event()
    server = _conducting(store, folders, run, ended)
    with _told(store, run, say):
        try:
            run_simulation(server, AgentsOnRay(folders), len(folders), backend_config=config)
        except CoveyError:
            raise
        except Exception as error:
            raise Unreachable(f"Flower's simulation engine ended early: {_root(error)}") from error
        finally:
            ended.set()
            _let_go(store, run)


def require_ray() -> None:
    """Raise `InputError` that says what to install where Ray is missing."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("`--engine ray` needs Ray, which is not installed; `pip install '.[peers]'` brings it")


def backend_config(alone: bool, *, cpus_each: float = 1.0, environment: Mapping[str, str] = os.environ) -> Any:
    """What Flower starts Ray with; `alone` wants one process for all agents.

    A cluster has its own address and processors; here it is the loopback address, and nothing is shown to a browser.
    """
    if cpus_each <= 0:
        raise InputError(f"each agent's process needs some of a processor, got {cpus_each}")
    config: dict[str, Any] = {"client_resources": {"num_cpus": cpus_each, "num_gpus": 0.0}}
    quiet = {"logging_level": "error", "log_to_driver": False}
    if environment.get("RAY_ADDRESS"):
        if alone:
            raise InputError(
                "secure aggregation keeps a round's secrets in the process that drew them, and a Ray cluster has many; "
                "leave RAY_ADDRESS out, or rehearse with the local engine"
            )
        return config | {"init_args": quiet}
    here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    return config | {"init_args": quiet | here | ({"num_cpus": max(1, round(cpus_each))} if alone else {})}


def _alone(task: Task, run: Run) -> bool:
    """Whether all agents must be in one process; raise `InputError` if the run is no campaign of the task."""
    if run.kind != "train" or run.task != task.name:
        raise InputError(f"run {run.id} is a {run.kind} run of {run.task!r}, not a campaign of {task.name!r}")
    return wire.from_json(CampaignRequest, run.request.encode()).mode == "distributed"


def _quiet() -> None:
    """Neither Flower nor Ray tells anyone that it runs, and Flower's log keeps to failures."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # Ray's next default; the old one warns at each start
    if not os.environ.get("RAY_ADDRESS"):
        # Ray takes a loopback address for another one, unless it is told that this machine joins no cluster.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    logging.getLogger("flwr").setLevel(logging.ERROR)


def _conducting(store: Store, folders: Sequence[Path], run: Run, ended: threading.Event) -> ServerApp:
    """The ServerApp: tells the store which node is which device, then conducts the run."""
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        for node, partition in partitions(grid, len(folders), ended=ended).items():
            store.set_node(folders[partition].name, node)
        conduct(grid, store, run)

    _ = main
    return server


def partitions(grid: Grid, count: int, *, ended: threading.Event, seconds: float = START_SECONDS) -> dict[int, int]:
    """Which partition each of `count` nodes is, by asking them; raise `Unreachable` if not all answer in time."""
    end, found = time.monotonic() + seconds, dict[int, int]()
    asked = set[int]()
    waiting = set[str]()
    while len(found) < count:
        if ended.is_set() or time.monotonic() > end:
            raise Unreachable(f"{len(found)} of {count} nodes of Flower's simulation engine answered in {seconds:g} s")
        new = set(grid.get_node_ids()) - asked
        waiting |= set(grid.push_messages([Message(RecordDict(), node, WHO) for node in new]))
        asked |= new
        for reply in grid.pull_messages(list(waiting)):
            waiting.discard(reply.metadata.reply_to_message_id)
            if reply.has_error():
                raise Unreachable(f"a process of Ray cannot load Covey: {reply.error.reason}")
            found[reply.metadata.src_node_id] = int(str(reply.content.config_records["who"]["partition"]))
        time.sleep(0.05)
    return found


def _root(error: BaseException) -> BaseException:
    """What went wrong first: Flower wraps it in sentences that say nothing."""
    while error.__cause__:
        error = error.__cause__
    return error


def _let_go(store: Store, run: Run) -> None:
    """A run that the engine left under way is told to stop, so that its thread ends too; one that never began has failed."""
    state = store.run(run.id).state
    if state == "queued":
        store.set_run_state(run.id, "failed", "Flower's simulation engine did not start")
    elif state in ACTIVE:
        store.set_run_state(run.id, "stopping")


@contextmanager
def _told(store: Store, run: Run, say: Say | None) -> Any:
    """Tell `say` where the run is, twice a second, while it goes on."""
    over = threading.Event()

    def tell() -> None:
        while say is not None and not over.wait(0.5):
            if progress := store.progress(run.id):
                say(progress)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
