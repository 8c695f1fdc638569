"""Error feedback: what compression cut from a device's last update goes into its next one.

Seide et al. (2014), "1-Bit Stochastic Gradient Descent"; Karimireddy et al. (2019), "Error Feedback Fixes SignSGD".

Why it is sound. The device pays for each update u as if all of u were released, with the whole noise in it, before
anything is cut. What travels in round t is a function of u_1 ... u_t and of public seeds, and so is what is kept: it
is post-processing of releases that were charged, however much of an earlier u a later round carries, and also where
a charge was burnt, for a burnt charge stays paid.

Where it would not be, and is refused or never done here:
- what is kept taken before the noise: it would hold the rows' own gradients, and carry them past the charge;
- noise or accounting for the sent part only (sparsification without replacement that claims a smaller sensitivity, or
  amplification by it): what was left out and never paid for would come later. Covey charges the whole vector;
- a share of the noise (secure aggregation), or none (a trusted coordinator's mode): the sum of what devices keep is
  no function of the sums that were charged. `Noised` takes updates that hold against everyone, and no others.

Where it is of no use: unbiased schemes average out by themselves, and their errors may be longer than the update,
so that what is kept would grow; with feedback a scheme decodes to the least error instead, which never lengthens.
A device that missed rounds corrects for weights that have moved on; beyond `MOST_APART` rounds it starts from nothing.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.light import clip
from shared import wire
from shared.compression import Compression, Noised, Update, Words, decode, encode, public_seed
from shared.errors import InputError
from shared.files import write_whole
from shared.rounds import RoundPlan

MOST_APART = 8
"""Rounds between two updates, beyond which what was cut from the first no longer goes into the second."""

_HEAD = struct.Struct("<8sQQ32s")
_NAME = b"coveyfb1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What was cut from one round's update, shape `(size,)`."""

    run_id: int
    number: int
    scheme: bytes
    values: Update


class Feedback:
    """Keeps one task's rest in a file that is whole or absent, or in memory where there is no file."""

    def __init__(self, path: Path | None = None) -> None:
        """Keep it at `path`, readable by the owner only; its folder is made when needed."""
        self._path = path
        self._held: Rest | None = None

    def rest(self, plan: RoundPlan, size: int) -> NDArray[np.float64]:
        """What goes into this round's update, shape `(size,)`: zeros where nothing that fits is kept."""
        kept = self._read()
        fits = (
            kept is not None
            and (kept.run_id, kept.scheme, len(kept.values)) == (plan.run_id, _scheme(plan.compression), size)
            and 0 < plan.number - kept.number <= MOST_APART
        )
        return kept.values.astype(np.float64) if kept and fits else np.zeros(size)

    def keep(self, plan: RoundPlan, values: Update) -> None:
        """Keep what was cut in this round, instead of what was kept before; raise `InputError` if the disk does not."""
        rest = Rest(run_id=plan.run_id, number=plan.number, scheme=_scheme(plan.compression), values=values)
        if self._path is None:
            self._held = rest
            return
        head = _HEAD.pack(_NAME, rest.run_id, rest.number, rest.scheme)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, head + values.astype("<f4").tobytes(), mode=0o600)
        except OSError as error:
            raise InputError(f"{self._path} cannot be written ({error.strerror}); make room on the disk") from None

    def _read(self) -> Rest | None:
        """What is kept; a file that is missing or damaged holds nothing, which costs accuracy and no more."""
        if self._path is None:
            return self._held
        try:
            data = self._path.read_bytes()
            name, run_id, number, scheme = _HEAD.unpack_from(data)
            values = np.frombuffer(data, "<f4", offset=_HEAD.size).astype(np.float32)
        except (OSError, struct.error, ValueError):
            return None
        if name != _NAME or not np.isfinite(values).all():
            return None
        return Rest(run_id=run_id, number=number, scheme=scheme, values=values)


def compress(update: Noised, plan: RoundPlan, *, device: str, kept: Feedback, words: Words) -> bytes:
    """The bytes in which a round's update travels, by the plan's compression; keeps what they cut if it says so.

    Call it once a charge, before the reply is sealed: a crash in between then loses an update's worth of feedback,
    where the other order would send the same rest twice. Raises `InputError` where the rest cannot be kept.
    """
    spec = plan.compression
    if spec is None:
        raise ValueError("the plan compresses nothing")
    seed = public_seed(plan.run_id, plan.number, device)
    if not spec.feedback:
        return encode(update, spec, seed=seed, words=words)
    size = len(update.values)
    wanted = update.values + kept.rest(plan, size)
    bounded = clip(wanted.astype(np.float32), plan.max_update_norm)
    data = encode(Noised(values=bounded, cost=update.cost), spec, seed=seed, words=words)
    sent = decode(data, spec, size=size, seed=seed)
    kept.keep(plan, clip((wanted - sent).astype(np.float32), plan.max_update_norm))
    return data


def _scheme(spec: Compression | None) -> bytes:
    """Tells one way of cutting from another."""
    return sha256(wire.to_json(spec)).digest() if spec else bytes(32)
