"""How long a step of DP-SGD takes: our one pass beside each of Opacus's modes, and beside a step without privacy.

Three spans: `sum` ends at the clipped sum, the part that book-keeping replaces; `step` adds the optimizer, with the
noise of neither; `whole` has the noise, ours from the cipher stream and Opacus's from PyTorch's generator. Each mode
runs `BURST` steps at a time, in turn with the others, and the processor's time is taken: another process's is not in
it. The network and batches are random: no data is needed.

python -m simulations.benchmarks.bookkeeping
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from opacus.grad_sample import prepare_module
from opacus.optimizers import DPOptimizer, get_optimizer_class
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import Tensor, nn

from client.training import prepare
from shared.noise import system_stream
from shared.rounds import RoundPlan
from shared.tasks import Window

BATCHES = (16, 64, 256)
STOCK = ("hooks", "functorch", "ew", "ghost")
SPANS = ("sum", "step", "whole")
WIDTHS = (30, 128, 64, 2)
BURST, REPEATS = 15, 20
TARGET = 4.0

Row = dict[str, str | float | bool]
Step = Callable[[Tensor, Tensor], object]


def measure() -> list[Row]:
    """For each batch, span and mode the median microseconds, then ratios to Opacus's fastest mode of the same span."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [row for batch in BATCHES for row in _compare(batch)]


def main() -> None:
    """Print the table."""
    for row in measure():
        target = f"  target {row['target']}: {'met' if row['meets'] else 'not met'}" if "target" in row else ""
        sys.stdout.write(f"{row['name']:<52} {row['value']:>10.2f} {row['unit']}{target}\n")


def _compare(batch: int) -> list[Row]:
    steps: dict[str, Step] = {"plain": _plain()}
    for span in SPANS:
        steps |= {f"{span}.{mode}": _stock(mode, span) for mode in STOCK} | {f"{span}.ours": _ours(span)}
    times = _interleaved(steps, torch.randn(batch, WIDTHS[0]), torch.randint(0, WIDTHS[-1], (batch,)))
    name = f"device.step.{batch}"
    rows: list[Row] = [{"name": f"{name}.{way}", "value": value, "unit": "us"} for way, value in times.items()]
    return rows + [_ratio(name, span, times) for span in SPANS] + [_beside_plain(name, times)]


def _ratio(name: str, span: str, times: dict[str, float]) -> Row:
    fastest = min(times[f"{span}.{mode}"] for mode in STOCK if f"{span}.{mode}" in times)
    value = fastest / times[f"{span}.ours"]
    return {"name": f"{name}.{span}.ratio", "value": value, "unit": "x", "target": TARGET, "meets": value >= TARGET}


def _beside_plain(name: str, times: dict[str, float]) -> Row:
    """Our step, without its noise, as a multiple of PyTorch's step without privacy."""
    return {"name": f"{name}.ours.beside.plain", "value": times["step.ours"] / times["plain"], "unit": "x"}


def _interleaved(steps: dict[str, Step], inputs: Tensor, labels: Tensor) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(REPEATS + 1):
        for name, step in steps.items():
            for _ in range(BURST):
                started = time.process_time()
                step(inputs, labels)
                times[name].append((time.process_time() - started) * 1e6)
    return {name: statistics.median(of[BURST:]) for name, of in times.items()}


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    first, second, third, last = WIDTHS
    layers = nn.Linear(first, second), nn.Tanh(), nn.Linear(second, third), nn.Tanh(), nn.Linear(third, last)
    return nn.Sequential(*layers)


def _plain() -> Step:
    network = _network()
    descent, loss = torch.optim.SGD(network.parameters(), lr=0.01), nn.CrossEntropyLoss()

    def step(inputs: Tensor, labels: Tensor) -> None:
        descent.zero_grad(set_to_none=True)
        loss(network(inputs), labels).backward()
        descent.step()

    return step


def _stock(mode: str, span: str) -> Step:
    """A mode of Opacus as its `PrivacyEngine` puts it together."""
    network = _network()
    ghost: dict[str, Any] = {"max_grad_norm": 1.0} if mode == "ghost" else {}
    module: Any = prepare_module(network, grad_sample_mode=mode, loss_reduction="sum", **ghost)
    kind = get_optimizer_class(clipping="flat", distributed=False, grad_sample_mode=mode)
    optimizer: Any = _silent(kind, span)(
        torch.optim.SGD(network.parameters(), lr=0.01), noise_multiplier=1.0, max_grad_norm=1.0,
        expected_batch_size=None, loss_reduction="sum",
    )  # fmt: skip
    loss = nn.CrossEntropyLoss(reduction="sum")
    return _step(module, DPLossFastGradientClipping(module, optimizer, loss, "sum") if ghost else loss, optimizer, span)


def _ours(span: str) -> Step:
    plan = RoundPlan(
        run_id=1, number=1, task="benchmark", revision=1, base_version=1, window=Window(), sample_rate=1.0, steps=1,
        normalizer=100.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=1.0,
    )  # fmt: skip
    module, loss, optimizer = prepare(plan, _network(), system_stream())
    if span != "whole":
        optimizer.__class__ = _silent(type(optimizer), span)
    return _step(module, loss, optimizer, span)


def _silent(kind: type[Any], span: str) -> type[Any]:
    """An optimizer class of Opacus's with no noise: the sum becomes the gradient."""

    class Silent(kind):
        def add_noise(self) -> None:
            for parameter in self.params:
                parameter.grad = vars(parameter)["summed_grad"]

    return kind if span == "whole" else Silent


def _step(module: nn.Module, loss: Any, optimizer: DPOptimizer, span: str) -> Step:
    accumulate = getattr(optimizer, "accumulate", optimizer.clip_and_accumulate)
    finish = accumulate if span == "sum" else optimizer.step

    def step(inputs: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(module(inputs), labels).backward()
        finish()

    return step


if __name__ == "__main__":
    main()
