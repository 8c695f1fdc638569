"""What this machine can do at most: large products of float32 matrices on one core, counted in device updates."""

import numpy as np

from simulations.benchmarks.fleet_engine import mlp_task
from simulations.benchmarks.peers.turns import Contend, Turn, timed
from simulations.benchmarks.peers.workload import flop

SIDE, TIMES = 1024, 20


def contender() -> Contend:
    """A turn does as much arithmetic as so many updates, by the faster of NumPy's and PyTorch's BLAS."""
    random = np.random.Generator(np.random.PCG64(0))
    left, right = (random.standard_normal((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    out = np.empty_like(left)
    updates = TIMES * 2.0 * SIDE**3 / flop(mlp_task())

    def by_numpy() -> None:
        for _ in range(TIMES):
            np.matmul(left, right, out=out)

    ways = [timed(updates, by_numpy), *_by_torch(left, right, updates)]

    def turn() -> Turn:
        return min((way() for way in ways), key=lambda each: each.cpu)

    return turn


def _by_torch(left: np.ndarray, right: np.ndarray, updates: float) -> list[Contend]:
    import torch

    torch.set_num_threads(1)
    one, other = torch.from_numpy(left), torch.from_numpy(right)
    out = torch.empty_like(one)

    def act() -> None:
        for _ in range(TIMES):
            torch.matmul(one, other, out=out)

    return [timed(updates, act)]
