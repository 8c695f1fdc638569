"""No layer mixes examples: perturb one, and no other example's gradient moves, in every network that a task can have."""

import copy
import warnings
from collections.abc import Callable
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from images import image_task
from machines import small_task
from opacus import GradSampleModule
from opacus.validators import ModuleValidator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from client.bookkeeping import BookKeepingLoss, BookKeepingModule
from client.independence import require_independent
from client.training import prepare
from shared.errors import InputError
from shared.network import build
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Window

ROWS = 6
NETWORKS = {
    "linear": build(small_task(architecture=Architecture(kind="linear"))),
    "mlp": build(small_task(architecture=Architecture(kind="mlp", hidden=(8, 5)))),
    "cnn": build(image_task()),
}
WIDTHS = {"linear": NETWORKS["linear"][0].in_features, "mlp": NETWORKS["mlp"][0].in_features, "cnn": 72}
Gradients = Callable[[nn.Module, Tensor], Tensor]
PLAN = RoundPlan(
    run_id=1, number=1, task="machines", revision=1, base_version=1, window=Window(), sample_rate=0.25, steps=4,
    normalizer=16.0, learning_rate=0.5, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=10.0,
)  # fmt: skip
MIXING = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, affine=False), nn.Tanh(), nn.Linear(8, 2))


class Sneaky(nn.Linear):
    """A layer by a known name's child, which looks across the batch."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs - inputs.mean(0))


def test_every_kind_of_network_is_here() -> None:
    assert set(NETWORKS) == set(get_args(get_type_hints(Architecture)["kind"]))


def gradients(network: nn.Module, inputs: Tensor) -> Tensor:
    """Each example's gradient, shape `(rows, parameters)`, by Opacus's stock module."""
    module = GradSampleModule(copy.deepcopy(network), loss_reduction="sum")
    labels = torch.arange(len(inputs)) % 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        cross_entropy(module(inputs), labels, reduction="sum").backward()
    return torch.cat([vars(p)["grad_sample"].flatten(1) for p in module.parameters()], dim=1)


def shares(network: nn.Module, inputs: Tensor) -> Tensor:
    """What each example adds to our clipped sum, shape `(rows, parameters)`: the batch's sum less that of the others."""
    module = BookKeepingModule(copy.deepcopy(network), max_grad_norm=0.5)
    labels = torch.arange(len(inputs)) % 2
    everyone = torch.ones(len(inputs), dtype=torch.bool)

    def total(rows: Tensor) -> Tensor:
        module.zero_grad(set_to_none=True)
        BookKeepingLoss(module)(module(inputs[rows]), labels[rows]).backward()
        return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])

    whole = total(everyone)
    return torch.stack([whole - total(torch.arange(len(inputs)) != row) for row in range(len(inputs))])


def moved(of: Gradients, network: nn.Module, width: int, *, who: int, by: float, seed: int) -> float:
    """How far any other example's gradient moves when example `who` does, as a share of the largest gradient."""
    inputs = torch.randn(ROWS, width, generator=torch.Generator().manual_seed(seed))
    perturbed = inputs.clone()
    perturbed[who] += by
    before, after = of(network, inputs), of(network, perturbed)
    assert not torch.equal(before[who], after[who])
    others = torch.arange(ROWS) != who
    return float((before - after)[others].abs().max() / before.abs().max())


perturbations = given(
    who=st.integers(0, ROWS - 1),
    by=st.sampled_from([-30.0, -1.0, -0.1, 0.1, 1.0, 30.0]),
    seed=st.integers(0, 1000),
)


@pytest.mark.parametrize("of", [gradients, shares])
@pytest.mark.parametrize("kind", NETWORKS)
@settings(max_examples=12, deadline=None)
@perturbations
def test_no_other_examples_gradient_moves(of: Gradients, kind: str, who: int, by: float, seed: int) -> None:
    torch.manual_seed(0)
    require_independent(NETWORKS[kind])
    assert moved(of, NETWORKS[kind], WIDTHS[kind], who=who, by=by, seed=seed) < 1e-5


@settings(max_examples=12, deadline=None)
@perturbations
def test_batch_normalisation_is_caught(who: int, by: float, seed: int) -> None:
    """The mutant: the very same measure sees the others move."""
    assert moved(gradients, without_its_buffers(MIXING), 4, who=who, by=by, seed=seed) > 1e-4


def without_its_buffers(network: nn.Sequential) -> nn.Sequential:
    """Running statistics off: Opacus hooks nothing that it could object to."""
    network = copy.deepcopy(network)
    network[1] = nn.BatchNorm1d(8, affine=False, track_running_stats=False)
    return network


@pytest.mark.parametrize("network", [MIXING, without_its_buffers(MIXING)])
def test_opacuss_validator_lets_batch_normalisation_pass_and_we_do_not(network: nn.Sequential) -> None:
    assert ModuleValidator.validate(nn.Sequential(nn.BatchNorm1d(8)), strict=False) != []
    assert ModuleValidator.validate(network, strict=False) == GradSampleModule.validate(network, strict=True) == []
    with pytest.raises(InputError, match=r"layer '1' is BatchNorm1d.*not known to treat each example by itself"):
        require_independent(network)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False), nn.BatchNorm1d(4, affine=False, track_running_stats=False),
        nn.Softmax(dim=0), nn.Dropout(), nn.Flatten(0), nn.Unflatten(0, (2, -1)), Sneaky(4, 4),
        nn.Sequential(nn.Sequential(nn.BatchNorm1d(4))), nn.MultiheadAttention(4, 1), nn.SyncBatchNorm(4),
    ],
    ids=str,
)  # fmt: skip
def test_a_layer_that_is_not_on_the_list_never_trains(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2))
    with pytest.raises(InputError, match="each example by itself"):
        prepare(PLAN, network, CipherStream(bytes(32)))
    with pytest.raises(InputError, match="each example by itself"):
        BookKeepingModule(network, max_grad_norm=1.0)
