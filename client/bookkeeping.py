"""One backward pass for DP-SGD: each example's norm is read off activations and output gradients, then they are summed.

"Book-keeping" (Bu et al., 2023, "Differentially Private Optimization on Large Model at Small Cost"). A dense layer's
gradient for one example is the outer product of its output gradient d and its input a, so its squared norm, bias
included, is |d|^2 (|a|^2 + 1) (Goodfellow, 2015; Lee and Kifer, 2021) and the clipped sum is one matrix product: no
example's gradient is ever written out. Convolutions are small here; theirs are.

The parts are used as Opacus documents for its own ghost clipping: a module, a loss of which `backward` is called, an
optimizer that finds clipped sums in `grad`. That takes two passes and hooks in Python; here is one, without autograd.
"""

from typing import Any, Protocol, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import AbstractGradSampleModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, unfold
from torch.nn.grad import conv2d_input

from client.independence import require_independent

WILDEST_NORM, WILDEST_INPUT = 1e18, 1e10
"""An example counts as zero where its gradient's norm, or the norm of a layer's inputs, is above this or no number.

Beyond them float32 squares overflow, or vanish where their products would not: a norm would be too small unseen.
"""


class Page(Protocol):
    """What the book says of one layer, for the batch in hand."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The layer's outputs; what `backward` needs is kept."""
        ...

    def backward(self, delta: Tensor) -> Tensor:
        """The gradient at the inputs, of the one at the outputs."""
        ...


class Learned(Page, Protocol):
    """The page of a layer with a weight and a bias."""

    @property
    def parameters(self) -> tuple[Tensor, Tensor]:
        """The layer's weight and bias."""
        ...

    def close(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the gradient at the outputs; norms `(d, a)`, by example, whose gradient's square is d^2 (a^2 + 1)."""
        ...

    def drop(self, rows: Tensor) -> None:
        """Let the examples marked in `rows` count as zero, whatever they hold: zero times infinity is not zero."""
        ...

    def total(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the examples' gradients, each times its factor `(rows, 1)`: for the weight and for the bias."""
        ...


class BookKeepingModule(AbstractGradSampleModule):
    """Opacus's wrapper of a network, for networks that `is_known` knows."""

    def __init__(self, network: nn.Sequential, *, max_grad_norm: float) -> None:
        """Keep books on `network`; raise `NotImplementedError`, as Opacus does, where a layer is not known."""
        require_independent(network)
        if not is_known(network):
            raise NotImplementedError(f"book-keeping does not know every layer of {network}")
        super().__init__(network, loss_reduction="sum")
        self.max_grad_norm = max_grad_norm
        self._pages = [page for layer in network if (page := _page(layer))]
        learn = [isinstance(page, _LinearPage | _ConvPage) for page in self._pages]
        self._first, self._layers = learn.index(True), sum(learn)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of shape `(rows, classes)`, without a graph behind them: the book holds what `settle` needs."""
        for page in self._pages:
            inputs = page.forward(inputs)
        return inputs

    @torch.no_grad()
    def settle(self, delta: Tensor) -> None:
        """Add the sum of the clipped gradients to each parameter's `grad`; `delta` is the loss's at the logits."""
        learned, outputs, inputs = self._go_back(delta)
        with np.errstate(invalid="ignore"):  # zero times infinity: no number, and found out below
            norms = np.sqrt((outputs**2 * (inputs**2 + 1)).sum(0))
        if not (norms.max(initial=0.0) <= WILDEST_NORM and inputs.max(initial=0.0) <= WILDEST_INPUT):
            wild = ~((norms <= WILDEST_NORM) & (inputs.max(0) <= WILDEST_INPUT))
            norms[wild] = 0.0
            for page in learned:
                page.drop(torch.from_numpy(wild)[:, None])
        factors = torch.from_numpy(np.minimum(self.max_grad_norm / (norms + 1e-6), 1.0).astype(np.float32))[:, None]
        for page in learned:
            for parameter, total in zip(page.parameters, page.total(factors), strict=True):
                parameter.grad = total if parameter.grad is None else parameter.grad + total

    def remove_hooks(self) -> None:
        """There are none."""

    def _go_back(self, delta: Tensor) -> tuple[list[Learned], NDArray[np.float64], NDArray[np.float64]]:
        """Go back to the first layer that learns; those that do, and their pages' norms: two of `(layers, rows)`."""
        learned: list[Learned] = []
        norms: list[Tensor] = []
        for page in reversed(self._pages[self._first :]):
            if isinstance(page, _LinearPage | _ConvPage):
                learned.append(page)
                norms += page.close(delta)
            if len(learned) < self._layers:
                delta = page.backward(delta)
        pairs = torch.stack(norms).numpy().astype(np.float64)
        return learned, pairs[::2], pairs[1::2]


class BookKeepingLoss:
    """Cross-entropy summed over the batch, for a `BookKeepingModule`."""

    def __init__(self, module: BookKeepingModule) -> None:
        self._module = module

    def __call__(self, logits: Tensor, labels: Tensor) -> "BookKeptLoss":
        """The loss of logits `(rows, classes)`, as the module returned them last, and int64 labels `(rows,)`."""
        return BookKeptLoss(self._module, logits, labels)


class BookKeptLoss:
    """One batch's loss, in the place of the tensor that PyTorch's loss would be."""

    def __init__(self, module: BookKeepingModule, logits: Tensor, labels: Tensor) -> None:
        self._module, self._logits, self._labels = module, logits, labels

    def backward(self) -> None:
        """Leave each parameter's clipped sum in its `grad`; of cross-entropy, the gradient is softmax less the label."""
        delta = self._logits.softmax(dim=1)
        delta.numpy()[np.arange(len(delta)), self._labels.numpy()] -= 1
        self._module.settle(delta)

    def item(self) -> float:
        """The loss itself. It is not private."""
        return float(cross_entropy(self._logits, self._labels, reduction="sum"))


class _LinearPage:
    def __init__(self, layer: nn.Linear) -> None:
        self.parameters = (self._weight, self._bias) = layer.weight, layer.bias

    def forward(self, inputs: Tensor) -> Tensor:
        self._inputs = inputs
        return torch.addmm(self._bias, inputs, self._weight.t())

    def backward(self, delta: Tensor) -> Tensor:
        return delta @ self._weight

    def close(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        self._delta = delta
        return _norms(delta), _norms(self._inputs)

    def drop(self, rows: Tensor) -> None:
        self._inputs, self._delta = self._inputs.masked_fill(rows, 0.0), self._delta.masked_fill(rows, 0.0)

    def total(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        delta = self._delta * factors
        return delta.t() @ self._inputs, delta.sum(0)


class _ConvPage:
    def __init__(self, layer: nn.Conv2d, bias: nn.Parameter) -> None:
        self._layer, self.parameters = layer, (layer.weight, bias)
        self._placing: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}

    def forward(self, inputs: Tensor) -> Tensor:
        self._inputs = inputs
        return self._layer(inputs)

    def backward(self, delta: Tensor) -> Tensor:
        return conv2d_input(self._inputs.shape, self._layer.weight, delta, **self._placing)

    def close(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        patches = unfold(self._inputs, self._layer.kernel_size, **self._placing)
        weights = delta.flatten(2) @ patches.transpose(1, 2)
        self._gradients = torch.cat([weights.flatten(1), delta.sum((2, 3))], dim=1)
        norms = _norms(self._gradients)
        return norms, torch.zeros_like(norms)

    def drop(self, rows: Tensor) -> None:
        self._gradients = self._gradients.masked_fill(rows, 0.0)

    def total(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = (factors[:, 0] @ self._gradients).split([part.numel() for part in self.parameters])
        return weight.view_as(self._layer.weight), bias


class _TanhPage:
    def forward(self, inputs: Tensor) -> Tensor:
        # NumPy's tanh takes a tenth of PyTorch's time on a CPU.
        self._outputs = torch.from_numpy(np.tanh(inputs.numpy()))
        return self._outputs

    def backward(self, delta: Tensor) -> Tensor:
        return torch.ops.aten.tanh_backward(delta, self._outputs)


class _ShapePage:
    def __init__(self, layer: nn.Flatten | nn.Unflatten) -> None:
        self._layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        self._shape = inputs.shape
        return self._layer(inputs)

    def backward(self, delta: Tensor) -> Tensor:
        return delta.reshape(self._shape)


def _norms(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1)


def _page(layer: nn.Module) -> _LinearPage | _ConvPage | _TanhPage | _ShapePage | None:
    """An empty page for a layer; none where the book does not know how to keep it."""
    match layer:
        case nn.Linear():
            return _LinearPage(layer)
        case nn.Conv2d(groups=1, padding_mode="zeros", padding=tuple(), bias=nn.Parameter() as bias):
            return _ConvPage(layer, bias)
        case nn.Tanh():
            return _TanhPage()
        case nn.Flatten() | nn.Unflatten():
            return _ShapePage(layer)
        case _:
            return None


def is_known(network: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether the book has a page for each layer of this network, all of them learn, and none shares a parameter."""
    if type(network) is not nn.Sequential:
        return False
    learned = [layer for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)]
    parameters = list(network.parameters())
    trained = all(parameter.requires_grad for parameter in parameters) and len(parameters) == 2 * len(learned)
    return trained and bool(learned) and None not in map(_page, network)
