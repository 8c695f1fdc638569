"""Flower's simulation engine on Ray: its own FedAvg, a PyTorch loop in the ClientApp, one CPU a client, all cores."""

import logging
import os
import time
from collections.abc import Iterable
from typing import Any

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from simulations.benchmarks.fleet_engine import mlp_task
from simulations.benchmarks.peers.turns import Contend, Turn, busy
from simulations.benchmarks.peers.workload import RATE, ROWS, batches, weights

DEVICES, ROUNDS = 60, 3

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """One device's five steps, as Flower's own examples have it."""
    import torch

    from shared.network import build

    torch.set_num_threads(1)
    task = mlp_task()
    network = build(task)
    network.load_state_dict(message.content["arrays"].to_torch_state_dict())  # type: ignore[union-attr]  # an ArrayRecord
    made = batches(task, int(context.node_config["partition-id"]))
    optimizer, criterion = torch.optim.SGD(network.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()
    for inputs, labels in zip(torch.from_numpy(made.inputs), torch.from_numpy(made.labels), strict=True):
        optimizer.zero_grad()
        criterion(network(inputs), labels).backward()
        optimizer.step()
    content = {
        "arrays": ArrayRecord(network.state_dict()),  # type: ignore[arg-type]  # an OrderedDict
        "metrics": MetricRecord({"num-examples": ROWS}),
    }
    return Message(content=RecordDict(content), reply_to=message)  # type: ignore[arg-type]  # its values are invariant


class Watched(FedAvg):
    """FedAvg that notes when each round began and ended, how busy all processes were, and who answered."""

    def __init__(self) -> None:
        super().__init__(
            fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=DEVICES, min_available_nodes=DEVICES
        )
        self.began: list[tuple[float, float]] = []
        self.ended: list[tuple[float, float, int]] = []

    def configure_train(self, *arguments: Any, **named: Any) -> Iterable[Message]:
        """Note when a round begins."""
        self.began.append((time.perf_counter(), busy()))
        return super().configure_train(*arguments, **named)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        """Note when a round is done."""
        answers = list(replies)
        found = super().aggregate_train(server_round, answers)
        self.ended.append((time.perf_counter(), busy(), sum(answer.has_content() for answer in answers)))
        return found


def contender() -> Contend:
    """A turn starts Ray, runs a few rounds and ends Ray; the first round, which starts Ray's workers, does not count."""
    os.environ.update(
        RAY_DISABLE_DOCKER_CPU_WARNING="1", RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_UV_RUN_RUNTIME_ENV="0",
        FLWR_TELEMETRY_ENABLED="0",
    )  # fmt: skip
    logging.getLogger("flwr").setLevel(logging.ERROR)
    return turn


def turn() -> Turn:
    """Raise `RuntimeError` unless every device answered in every round."""
    from flwr.simulation import run_simulation

    watched, server = Watched(), ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001 - Flower calls it with both
        from collections import OrderedDict

        from shared.network import build, load

        task = mlp_task()
        network = build(task)
        load(network, weights(task), task)
        watched.start(grid, initial_arrays=ArrayRecord(OrderedDict(network.state_dict())), num_rounds=ROUNDS)

    cores = len(os.sched_getaffinity(0))
    run_simulation(
        server_app=server,
        client_app=app,
        num_supernodes=DEVICES,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0},
            "init_args": {"num_cpus": cores, "include_dashboard": False},
        },
    )
    answered = [count for _, _, count in watched.ended]
    if answered != [DEVICES] * ROUNDS:
        raise RuntimeError(f"of {DEVICES} clients {answered} answered in the rounds of Flower's simulation")
    pairs = list(zip(watched.began, watched.ended, strict=True))[1:]
    return Turn(
        updates=DEVICES * len(pairs),
        wall=sum(end - start for (start, _), (end, _, _) in pairs),
        cpu=sum(busy - idle for (_, idle), (_, busy, _) in pairs),
    )
