"""One cohort as both sides compute it: members in order, their graph, and the digest that stands for all of it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.secagg import graph
from shared.secagg.graph import Shape
from shared.secagg.text import map_of, map_read


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Who takes part: fingerprints in ascending order, 32 bytes of `leaves` for each, and the graph's shape."""

    setting: bytes
    members: tuple[str, ...]
    leaves: bytes = field(repr=False)
    shape: Shape
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Compute the digest that everything later is bound to."""
        numbers = f"{self.shape.threshold} {self.shape.degree} {self.shape.shares} {len(self.members)}"
        text = "\n".join(("covey secagg list v1", self.setting.hex(), numbers, *self.members, self.leaves.hex()))
        object.__setattr__(self, "digest", hashlib.sha256(text.encode()).digest())

    def __len__(self) -> int:
        return len(self.members)

    def neighbours(self, position: int) -> NDArray[np.intp]:
        """The positions of a member's neighbours, ascending."""
        seed = graph.seed_of(self.digest)
        return graph.neighbours(seed, position=position, count=len(self), degree=self.shape.degree)

    def map_of(self, positions: Iterable[int]) -> str:
        """A map of the cohort with these positions set."""
        return map_of(positions, len(self))

    def map_read(self, text: str, name: str) -> NDArray[np.bool_]:
        """A map of the cohort as booleans; raise `ValueError` for anything else."""
        return map_read(text, len(self), name)
