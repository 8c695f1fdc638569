"""One-pass clipping gives what Opacus gives, whatever an example holds."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from images import image_task, stripes
from machines import machine_rows, small_task
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from torch import Tensor, nn

from client.bookkeeping import BookKeepingLoss, BookKeepingModule, is_known
from client.inputs import Examples
from client.training import BookKeepingOptimizer, CipherOptimizer, prepare, train
from shared.architecture import initial_weights
from shared.features import encode_columns
from shared.network import build, flatten, load
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Task, Window

CLIP = 1.0


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Opacus hooks the first layer, whose input needs no gradient; PyTorch remarks on it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield


def plan_of(**changes: object) -> RoundPlan:
    plan = RoundPlan(
        run_id=1, number=1, task="machines", revision=1, base_version=1, window=Window(), sample_rate=0.25, steps=4,
        normalizer=16.0, learning_rate=0.5, max_grad_norm=CLIP, noise_multiplier=1.0, max_update_norm=10.0,
    )  # fmt: skip
    return replace(plan, **changes)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(30, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 2))


def linear() -> nn.Sequential:
    return nn.Sequential(nn.Linear(30, 2))


def cnn() -> nn.Sequential:
    return build(image_task(height=6, width=5, hidden=(7,)))


def without_bias() -> nn.Sequential:
    return nn.Sequential(nn.Linear(30, 8, bias=False), nn.Tanh(), nn.Linear(8, 2))


def with_relu() -> nn.Sequential:
    return nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2))


def with_one_layer_twice() -> nn.Sequential:
    twice = nn.Linear(30, 30)
    return nn.Sequential(twice, nn.Tanh(), twice, nn.Tanh(), nn.Linear(30, 2))


def with_groups() -> nn.Sequential:
    layers = nn.Unflatten(1, (2, 5, 3)), nn.Conv2d(2, 2, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(6, 2)
    return nn.Sequential(*layers)


def partly_frozen() -> nn.Sequential:
    network = mlp()
    network[0].requires_grad_(requires_grad=False)
    return network


KNOWN = [mlp, linear, cnn]
UNKNOWN = [without_bias, with_relu, with_one_layer_twice, with_groups, partly_frozen]


def batch(rows: int, *, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    inputs = torch.randn(rows, 30, generator=generator) * scale
    return inputs, torch.randint(0, 2, (rows,), generator=generator)


def made(build_network: Callable[[], nn.Sequential]) -> nn.Sequential:
    torch.manual_seed(3)
    return build_network()


def clipped_sums(
    network: nn.Sequential, inputs: Tensor, labels: Tensor, *, stock: bool = False, c: float = CLIP
) -> Tensor:
    """What a step would put noise on, flat: by our module, or by Opacus's stock one."""
    module, loss, optimizer = prepare(plan_of(max_grad_norm=c), network, CipherStream(bytes(32)), stock=stock)
    optimizer.zero_grad(set_to_none=True)
    loss(module(inputs), labels).backward()
    optimizer.clip_and_accumulate() if isinstance(optimizer, CipherOptimizer) else optimizer.accumulate()
    sums = torch.cat([vars(parameter)["summed_grad"].reshape(-1) for parameter in optimizer.params])
    module.to_standard_module()
    return sums


@pytest.mark.parametrize("rows", [1, 16, 64, 256])
@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("build_network", KNOWN)
def test_the_clipped_sum_is_opacuss(build_network: Callable[[], nn.Sequential], scale: float, rows: int) -> None:
    """Relative to the sum's norm: at 256 rows, float32 itself rounds a sum of norm 100 to a few millionths."""
    network, (inputs, labels) = made(build_network), batch(rows, scale=scale)
    ours, opacus = (clipped_sums(network, inputs, labels, stock=stock) for stock in (False, True))
    assert torch.linalg.vector_norm(ours - opacus) <= 1e-6 * max(1.0, float(torch.linalg.vector_norm(opacus)))


@pytest.mark.parametrize("rows", [16, 64, 256])
def test_the_gradient_of_a_step_is_opacuss_to_a_millionth(rows: int) -> None:
    """The sum over the public denominator, each number of it, in the network that the benchmark measures."""
    network, (inputs, labels) = made(mlp), batch(rows)
    ours, opacus = (clipped_sums(network, inputs, labels, stock=stock) / rows for stock in (False, True))
    assert opacus.abs().max() > 1e-3
    assert (ours - opacus).abs().max() < 1e-6


def test_a_norm_without_the_bias_would_be_seen() -> None:
    """The mutant |d|^2 |a|^2 differs from Opacus where inputs are small."""
    network, (inputs, labels) = made(linear), batch(16, scale=0.5)
    page = BookKeepingModule(network, max_grad_norm=0.1)._pages[0]
    opacus = clipped_sums(network, inputs, labels, stock=True, c=0.1)
    assert torch.allclose(clipped_sums(network, inputs, labels, c=0.1), opacus, atol=1e-6)
    page.forward(inputs)
    delta = (inputs @ network[0].weight.T + network[0].bias).softmax(1).detach() - nn.functional.one_hot(labels, 2)
    outputs, ins = page.close(delta)
    weight, bias = page.total((0.1 / (outputs * ins)).clamp(max=1.0)[:, None])
    assert not torch.allclose(torch.cat([weight.flatten(), bias]), opacus, atol=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38, 1e20])
@pytest.mark.parametrize("build_network", KNOWN)
def test_an_example_without_a_finite_norm_counts_as_zero(
    build_network: Callable[[], nn.Sequential], value: float
) -> None:
    """Zero times infinity is no number: a factor of zero alone would leave every weight without one."""
    network, (inputs, labels) = made(build_network), batch(16)
    wild = inputs.clone()
    wild[5] = value
    others = torch.arange(16) != 5
    with_it = clipped_sums(network, wild, labels)
    assert torch.isfinite(with_it).all()
    alone = clipped_sums(network, wild[5:6], labels[5:6])
    assert torch.linalg.vector_norm(alone) <= CLIP * (1 + 1e-5)
    assert torch.allclose(with_it - alone, clipped_sums(network, inputs[others], labels[others]), atol=1e-5)
    assert torch.equal(wild[5].nan_to_num(), torch.full((30,), value).nan_to_num())


def test_a_gradient_too_small_to_square_is_still_bounded() -> None:
    """Of d = 1e-24 the square is zero in float32; times an input of 1e18 the gradient is not."""
    network = made(linear)
    module = BookKeepingModule(network, max_grad_norm=1e-9)
    module(torch.full((1, 30), 1e18))
    module.settle(torch.full((1, 2), 1e-24))
    assert torch.linalg.vector_norm(network[0].weight.grad.double()) <= 1e-9 * (1 + 1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("build_network", KNOWN)
def test_an_output_gradient_that_overflowed_counts_as_zero(
    build_network: Callable[[], nn.Sequential], value: float
) -> None:
    network, (inputs, _) = made(build_network), batch(8)
    module = BookKeepingModule(network, max_grad_norm=CLIP)
    module(inputs)
    delta = torch.zeros(8, network[-1].out_features)
    delta[3] = value
    module.settle(delta)
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())
    assert not any(parameter.grad.any() for parameter in network.parameters())


def test_two_backward_passes_add_up() -> None:
    network, (inputs, labels) = made(mlp), batch(32)
    module = BookKeepingModule(network, max_grad_norm=CLIP)
    for part in (slice(16), slice(16, 32)):
        BookKeepingLoss(module)(module(inputs[part]), labels[part]).backward()
    sums = torch.cat([parameter.grad.reshape(-1) for parameter in network.parameters()])
    assert torch.allclose(sums, clipped_sums(made(mlp), inputs, labels), atol=1e-5)


@pytest.mark.parametrize("build_network", KNOWN)
def test_an_empty_batch_gives_a_sum_of_zero(build_network: Callable[[], nn.Sequential]) -> None:
    sums = clipped_sums(made(build_network), torch.zeros(0, 30), torch.zeros(0, dtype=torch.int64))
    assert len(sums) > 0
    assert not sums.any()


def test_an_empty_batch_is_a_step_of_noise_alone() -> None:
    network, stream = made(mlp), CipherStream(bytes(32))
    before = flatten(network.parameters())
    module, loss, optimizer = prepare(plan_of(learning_rate=16.0, noise_multiplier=1.5), network, stream)
    loss(module(torch.zeros(0, 30)), torch.zeros(0, dtype=torch.int64)).backward()
    optimizer.step()
    noise = 1.5 * CLIP * CipherStream(bytes(32)).normals(len(before))
    assert np.allclose(before - flatten(network.parameters()), noise, atol=1e-5)


def test_opacuss_own_optimizer_takes_our_module() -> None:
    """The parts are Opacus's: its optimizer for ghost clipping finds the sums where it looks for them."""
    (ours, theirs), (inputs, labels) = (made(mlp), made(mlp)), batch(32)
    module = BookKeepingModule(ours, max_grad_norm=CLIP)
    settings = {"noise_multiplier": 0.0, "max_grad_norm": CLIP, "expected_batch_size": None, "loss_reduction": "sum"}
    optimizer = DPOptimizerFastGradientClipping(torch.optim.SGD(ours.parameters(), lr=0.1), **settings)
    stock = GradSampleModule(theirs, loss_reduction="sum")
    oracle = DPOptimizer(torch.optim.SGD(theirs.parameters(), lr=0.1), **settings)
    for _ in range(3):
        optimizer.zero_grad()
        BookKeepingLoss(module)(module(inputs), labels).backward()
        optimizer.step()
        oracle.zero_grad()
        nn.functional.cross_entropy(stock(inputs), labels, reduction="sum").backward()
        oracle.step()
    assert np.allclose(flatten(ours.parameters()), flatten(theirs.parameters()), atol=1e-5)
    assert module.to_standard_module() is ours


def test_the_loss_is_cross_entropy() -> None:
    module, (inputs, labels) = BookKeepingModule(made(mlp), max_grad_norm=CLIP), batch(16)
    expected = nn.functional.cross_entropy(module._module(inputs), labels, reduction="sum").item()
    assert BookKeepingLoss(module)(module(inputs), labels).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("build_network", UNKNOWN)
def test_a_network_that_the_book_does_not_know_takes_the_stock_path(build_network: Callable[[], nn.Sequential]) -> None:
    network = made(build_network)
    assert not is_known(network)
    with pytest.raises(NotImplementedError, match="does not know"):
        BookKeepingModule(network, max_grad_norm=CLIP)
    module, _, optimizer = prepare(plan_of(), network, CipherStream(bytes(32)))
    assert isinstance(module, GradSampleModule)
    assert isinstance(optimizer, CipherOptimizer)


@pytest.mark.parametrize("build_network", KNOWN)
def test_a_network_of_ours_takes_the_book(build_network: Callable[[], nn.Sequential]) -> None:
    module, _, optimizer = prepare(plan_of(), made(build_network), CipherStream(bytes(32)))
    assert isinstance(module, BookKeepingModule)
    assert isinstance(optimizer, BookKeepingOptimizer)


def test_a_sum_gets_noise_once() -> None:
    """A second step without a batch between must not answer again from the same sum."""
    module, loss, optimizer = prepare(plan_of(), made(mlp), CipherStream(bytes(32)))
    inputs, labels = batch(16)
    loss(module(inputs), labels).backward()
    optimizer.step()
    assert all(vars(parameter)["summed_grad"] is None for parameter in optimizer.params)


def test_two_physical_batches_make_one_step() -> None:
    """Opacus's own way to split a large sample: a skipped step adds up, and the noise comes once."""
    network, (inputs, labels) = made(mlp), batch(32)
    module, loss, optimizer = prepare(plan_of(), network, CipherStream(bytes(32)))
    for part, skip in ((slice(16), True), (slice(16, 32), False)):
        optimizer.signal_skip_step(do_skip=skip)
        optimizer.zero_grad(set_to_none=True)
        loss(module(inputs[part]), labels[part]).backward()
        optimizer.step() if skip else optimizer.accumulate()
    halves = torch.cat([vars(parameter)["summed_grad"].reshape(-1) for parameter in optimizer.params])
    assert torch.allclose(halves, clipped_sums(made(mlp), inputs, labels), atol=1e-5)


def mlp_task() -> tuple[Task, Examples]:
    task, frame = small_task(architecture=Architecture(kind="mlp", hidden=(16, 8))), machine_rows(200)
    columns = {name: frame[name].to_numpy() for name in (*task.numbers, *task.texts)}
    labels = frame["stops"].to_numpy().astype(np.int64)
    return task, Examples(inputs=encode_columns(task.features, columns), labels=labels)


def cnn_task() -> tuple[Task, Examples]:
    return image_task(), stripes(image_task(), 120)


@pytest.mark.parametrize("made_task", [mlp_task, cnn_task])
def test_a_round_is_the_stock_round(made_task: Callable[[], tuple[Task, Examples]]) -> None:
    """Same samples, same noise, in the same order: only the way to the clipped sum differs."""
    (task, examples), plan, key = made_task(), plan_of(max_update_norm=1e6), bytes(range(32))
    update = train(plan, task, initial_weights(task), examples, CipherStream(key))
    network, stream = build(task), CipherStream(key)
    load(network, initial_weights(task), task)
    module, loss, optimizer = prepare(plan, network, stream, stock=True)
    for _ in range(plan.steps):
        sample = torch.from_numpy(stream.poisson_sample(len(examples.labels), plan.sample_rate))
        optimizer.zero_grad(set_to_none=True)
        loss(module(torch.from_numpy(examples.inputs)[sample]), torch.from_numpy(examples.labels)[sample]).backward()
        optimizer.step()
    assert np.abs(update - (flatten(network.parameters()) - initial_weights(task))).max() < 1e-6
