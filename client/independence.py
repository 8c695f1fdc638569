"""No layer may mix examples: clipping bounds one example's gradient only where no other example moves it.

Opacus's own validator looks for buffers, so it lets `BatchNorm1d(affine=False)` pass, which normalises each example by
the others. A list of what may be used does not depend on somebody having thought of a layer.
"""

from torch import nn

from shared.errors import InputError

INDEPENDENT = frozenset({nn.Sequential, nn.Linear, nn.Conv2d, nn.Tanh, nn.ReLU, nn.Flatten, nn.Unflatten})
"""Layers that treat each example by itself. A subclass may do as it likes, so it is none of them."""


def require_independent(network: nn.Module) -> None:
    """Raise `InputError` if any layer of the network is not known to treat each example by itself."""
    for name, layer in network.named_modules():
        if type(layer) not in INDEPENDENT or _reshapes_the_batch(layer):
            raise InputError(
                f"layer {name or 'network'!r} is {layer}, which is not known to treat each example by itself: its "
                f"clipped gradient would bound nothing; use {', '.join(sorted(kind.__name__ for kind in INDEPENDENT))}"
            )


def _reshapes_the_batch(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Flatten):
        return layer.start_dim < 1
    return isinstance(layer, nn.Unflatten) and layer.dim < 1
