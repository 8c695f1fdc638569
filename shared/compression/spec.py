"""What compression is called in a task and a plan, and the only kind of update that it takes: a noised, charged one."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.privacy import Cost

Kind = Literal["int8", "eden", "rand-k"]
Update = NDArray[np.float32]
Words = Callable[[int], NDArray[np.uint64]]
"""Gives so many uniform 64-bit words: what rounds at random. It needs to be fair, and hides nothing."""

LONGEST = 1e30
"""No clipped update comes near this norm; below it no sum or scale overflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How updates travel: `int8`, `eden` with 1 to 4 `bits` a value, or `rand-k` with a `fraction` of the values.

    With `feedback` a device adds to each update what compression cut from the one before (`client/feedback.py`), and
    decoding shrinks to the least squared error where it otherwise is unbiased.
    """

    kind: Kind
    bits: int | None = None
    fraction: float | None = None
    feedback: bool = False

    def __post_init__(self) -> None:
        """Refuse what the kind does not have, and feedback where there is next to nothing to feed back."""
        if (self.kind == "eden") != (self.bits is not None) or self.bits not in (None, 1, 2, 3, 4):
            raise ValueError(f"eden takes 1 to 4 bits and nothing else does, got {self.kind} with {self.bits}")
        if (self.kind == "rand-k") != (self.fraction is not None):
            raise ValueError(f"rand-k takes a fraction and nothing else does, got {self.kind} with {self.fraction}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {self.fraction}")
        if self.feedback and self.kind == "int8":
            raise ValueError("int8 is unbiased and nearly exact; leave feedback out")

    def __str__(self) -> str:
        """The scheme as a person reads it."""
        detail = f" {self.bits} bits" if self.bits else f" {self.fraction:g}" if self.fraction else ""
        return f"{self.kind}{detail}{', feedback' if self.feedback else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noised:
    """A clipped update, shape `(size,)`, that carries the whole noise of what its device was charged.

    `encode` takes nothing else, so whatever it cuts, keeps or rounds is post-processing of what was paid for. Where
    the noise is shared out over a cohort, or added by the coordinator, an update by itself is not that.
    """

    values: Update
    cost: Cost

    def __post_init__(self) -> None:
        """Refuse an update that does not hold against everyone, is not flat and finite, or was never clipped."""
        if self.cost.trust != "everyone":
            raise ValueError(f"only an update that holds against everyone is compressed, not {self.cost.trust!r}")
        if self.values.ndim != 1 or self.values.dtype != np.float32 or not self.values.size:
            raise ValueError(f"an update is a flat float32 vector, got {self.values.dtype} {self.values.shape}")
        norm = float(np.linalg.norm(self.values.astype(np.float64)))
        if not norm < LONGEST:
            raise ValueError(f"an update is finite and clipped, got the norm {norm:.3g}")


def public_seed(run_id: int, number: int, device: str) -> bytes:
    """The seed of one device's one round, known to both sides.

    Each device has its own, so that the errors of many average out (EDEN needs rotations that are independent).
    """
    return sha256(f"covey compression/{run_id}/{number}/{device}".encode()).digest()
