"""Turning a gradient back into the row that made it: the label, one of many candidates, or the picture itself.

The first was shown by Zhu, Liu & Han (2019, "Deep Leakage from Gradients"); here the label comes first, as in Zhao,
Mopuri & Bilen (2020, "iDLG"), and the picture is the likeliest one, given the noise and what pictures of digits look
like (Balunovic et al., 2022, "Bayesian Framework for Gradient Leakage"). Without noise that is plain matching of
gradients; with more and more of it, it goes over into the mean picture, and is never worse for having looked.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from client.inputs import Examples
from shared.network import build, load
from shared.tasks import Task
from simulations.attacks.digits import CLASSES, draw
from simulations.attacks.views import View

PUBLIC = 3000
"""Pictures of others that the attacker studies first, none of them a device's."""

STEPS, RATE = 200, 0.1
_LEAST_NOISE = 1e-3
_GRAIN = 1e-3
"""What is added to the variance of each pixel, so that no picture is impossible."""

Vectors = NDArray[np.float64]
Labels = NDArray[np.int64]


class Adversary:
    """A coordinator that knows weights, plan and clip, and studied public pictures."""

    def __init__(self, task: Task, weights: NDArray[np.float32], *, clip: float) -> None:
        """Learn what gradients of public pictures look like."""
        torch.set_num_threads(1)
        network = build(task)
        load(network, weights, task)
        self._network, self._clip = network, clip
        self._weights = {name: parameter.detach() for name, parameter in network.named_parameters()}
        self.public = draw(PUBLIC, seed=0)
        gradients = self.gradients(self.public)
        self._mean = gradients.mean(0)
        self._variances, self._axes = np.linalg.eigh(np.cov(gradients.T))
        self._classes = np.stack([gradients[self.public.labels == digit].mean(0) for digit in range(CLASSES)])

    def gradients(self, rows: Examples) -> Vectors:
        """Each row's clipped gradient in units of the clip, shape `(rows, size)`."""
        with torch.no_grad():
            found = self._gradients(torch.from_numpy(rows.inputs), torch.from_numpy(rows.labels))
        return found.numpy().astype(np.float64)

    def labels(self, view: View) -> Labels:
        """The likeliest label of each row.

        Of a single row, the gradient at the last layer's biases is softmax less the label: only the label's is
        negative. Where noise or others are in the way, it is the class whose mean gradient lies nearest.
        """
        seen, classes = self._sharpened(view, self._classes)
        nearest = _nearest(seen, classes)
        negative = view.seen[:, -CLASSES:] < 0
        certain = (negative.sum(1) == 1) & (view.others == 0)
        return np.where(certain, negative.argmax(1), nearest)

    def choose(self, view: View, candidates: Vectors) -> Labels:
        """Which of the candidates' gradients, shape `(candidates, size)`, each row's is likeliest to be."""
        return _nearest(*self._sharpened(view, candidates))

    def pictures(self, view: View, labels: Labels) -> NDArray[np.float32]:
        """The likeliest picture of each row, whose digit the attacker is told; shape `(rows, pixels)`."""
        means, spreads = self._prior(labels)
        lens = self._lens(view).astype(np.float32)
        seen = torch.from_numpy(_through(view.seen - view.others * self._mean, lens)).float()
        glass = torch.from_numpy(lens)
        hidden = (0.3 * torch.randn(means.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
        optimizer = torch.optim.Adam([hidden], lr=RATE)
        calmer = torch.optim.lr_scheduler.MultiStepLR(optimizer, [STEPS * k // 8 for k in (3, 5, 7)], gamma=0.3)
        digits = torch.from_numpy(labels)
        for _ in range(STEPS):
            optimizer.zero_grad()
            pictures = means + torch.einsum("nij,nj->ni", spreads, hidden)
            gradients = self._gradients(pictures, digits)
            misfit = (_through(gradients, glass) - seen).square().sum()
            (misfit + hidden.square().sum()).backward()
            optimizer.step()
            calmer.step()
        found = means + torch.einsum("nij,nj->ni", spreads, hidden.detach())
        return found.clamp(-1, 1).numpy()

    def blind(self, labels: Labels) -> NDArray[np.float32]:
        """The mean public picture of each digit: the best answer of who sees nothing."""
        return self._prior(labels)[0].numpy()

    def _gradients(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """As `gradients`, and PyTorch can go back through it."""

        def loss(weights: dict[str, Tensor], picture: Tensor, label: Tensor) -> Tensor:
            return cross_entropy(functional_call(self._network, weights, (picture[None],)), label[None])

        parts = vmap(grad(loss), in_dims=(None, 0, 0))(self._weights, pictures, labels)
        whole = torch.cat([part.flatten(1) for part in parts.values()], dim=1) / self._clip
        return whole / whole.norm(dim=1, keepdim=True).clamp_min(1.0)

    def _sharpened(self, view: View, means: Vectors) -> tuple[Vectors, Vectors]:
        """What is seen, without what others bring on average, and means: where the noise is the same everywhere."""
        lens = self._lens(view)
        return _through(view.seen - view.others * self._mean, lens), _through(means, lens)

    def _lens(self, view: View) -> Vectors:
        """What makes noise and the others' gradients white: a matrix of shape `(size, size)`, or one factor `(1,)`."""
        noise = max(view.noise, _LEAST_NOISE)
        if not view.others:
            return np.array([1 / noise])
        return self._axes / np.sqrt(view.others * np.maximum(self._variances, 0) + noise**2)

    def _prior(self, labels: Labels) -> tuple[Tensor, Tensor]:
        """Mean and root of the covariance of each row's digit, over public pictures."""
        inputs = [self.public.inputs[self.public.labels == digit].astype(np.float64) for digit in range(CLASSES)]
        means = np.stack([pictures.mean(0) for pictures in inputs])
        roots = [np.linalg.cholesky(np.cov(pictures.T) + _GRAIN * np.eye(pictures.shape[1])) for pictures in inputs]
        return torch.from_numpy(means[labels]).float(), torch.from_numpy(np.stack(roots)[labels]).float()


def _through(values: Any, lens: Any) -> Any:
    """See values, shape `(rows, size)`, through a lens."""
    return values @ lens if lens.ndim > 1 else values * lens


def _nearest(points: Vectors, means: Vectors) -> Labels:
    """Which of the means each point lies nearest to."""
    return (points @ means.T - (means**2).sum(1) / 2).argmax(1)
