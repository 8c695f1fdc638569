"""pfl-research's simulator with PyTorch: FedAvg in its own loop, a clip of each user and central Gaussian noise."""

import logging
import os
import time
import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shared.network import build, load
from simulations.benchmarks.fleet_engine import mlp_task
from simulations.benchmarks.peers.turns import Contend, Turn
from simulations.benchmarks.peers.workload import BATCH, BOUND, NOISE, RATE, batches, weights

USERS, ROUNDS = 128, 3


class Net(nn.Module):
    """The workload's network, as pfl wants one: with its loss and its metrics inside."""

    def __init__(self) -> None:
        super().__init__()
        task = mlp_task()
        self.layers = build(task)
        load(self.layers, weights(task), task)

    def forward(self, inputs: Tensor) -> Tensor:
        """Answer `(rows, 30)` with logits of shape `(rows, 2)`."""
        return self.layers(inputs)

    def loss(self, inputs: Tensor, labels: Tensor, *, eval: bool = False) -> Tensor:  # noqa: A002, ARG002 - pfl's name
        """The loss of a batch, which pfl asks for by this name."""
        return cross_entropy(self(inputs), labels)

    def metrics(self, inputs: Tensor, labels: Tensor, *, eval: bool = False) -> dict[str, Any]:  # noqa: A002, ARG002 - pfl's name
        """What pfl evaluates; asked for before the first round alone, which is not timed."""
        return {
            "loss": _pfl("metrics").Weighted(cross_entropy(self(inputs), labels, reduction="sum").item(), len(labels))
        }


def contender() -> Contend:
    """A turn is a run of a few rounds over all users, timed from the end of its first round."""
    os.environ.setdefault("PFL_PYTORCH_DEVICE", "cpu")
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    algorithm = _pfl("algorithm.base").NNAlgorithmParams(
        central_num_iterations=ROUNDS + 1, evaluation_frequency=10**6, train_cohort_size=USERS, val_cohort_size=None
    )
    training = _pfl("hyperparam").NNTrainHyperParams(
        local_num_epochs=1, local_learning_rate=RATE, local_batch_size=BATCH
    )
    backend = _backend()

    def turn() -> Turn:
        ends = _ends()
        _pfl("algorithm.federated_averaging").FederatedAveraging().run(
            algorithm_params=algorithm, backend=backend, model=_model(), model_train_params=training,
            callbacks=[ends], send_metrics_to_platform=False,
        )  # fmt: skip
        (wall, cpu), (last_wall, last_cpu) = ends.seen[0], ends.seen[-1]
        rounds = len(ends.seen) - 1
        return Turn(updates=USERS * rounds, wall=last_wall - wall, cpu=last_cpu - cpu)

    return turn


def _backend() -> Any:
    _pfl("internal.ops.pytorch_ops")  # pfl finds PyTorch by this import
    dataset, sampling = _pfl("data.dataset").Dataset, _pfl("data.sampling")
    task = mlp_task()
    made = [batches(task, user) for user in range(USERS)]
    # Tensors beforehand: pfl need not turn arrays into them in each round.
    tensors = [[torch.from_numpy(x.inputs).flatten(0, 1), torch.from_numpy(x.labels).flatten()] for x in made]

    def rows(user: int) -> Any:
        return dataset(raw_data=tensors[user], user_id=str(user))

    sampler = sampling.get_user_sampler("minimize_reuse", list(range(USERS)))
    users = _pfl("data.federated_dataset").FederatedDataset(rows, sampler)
    noise = _pfl("privacy.gaussian_mechanism").GaussianMechanism(BOUND, NOISE)
    privacy = _pfl("privacy.privacy_mechanism").CentrallyAppliedPrivacyMechanism(noise)
    return _pfl("aggregate.simulate").SimulatedBackend(training_data=users, val_data=users, postprocessors=[privacy])


def _model() -> Any:
    network = Net()
    central: Any = torch.optim.SGD(network.parameters(), 1.0)
    model = _pfl("model.pytorch").PyTorchModel
    return model(model=network, local_optimizer_create=torch.optim.SGD, central_optimizer=central)


def _ends() -> Any:
    """A callback of pfl that notes when each round ended, in `seen`."""
    callback: Any = _pfl("callback.base").TrainingProcessCallback
    metrics: Any = _pfl("metrics").Metrics

    class Ends(callback):
        def __init__(self) -> None:
            self.seen: list[tuple[float, float]] = []

        def after_central_iteration(self, *_: Any, **__: Any) -> tuple[bool, Any]:
            self.seen.append((time.perf_counter(), time.process_time()))
            return False, metrics()

    return Ends()


def _pfl(module: str) -> Any:
    """A module of pfl; by its name, since pfl need not be there when this file is checked."""
    return import_module(f"pfl.{module}")
