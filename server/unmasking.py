"""The last step of a secure aggregation: shares to secrets, secrets to masks, masks off the sum."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import CoveyError, WireError
from shared.secagg import masks, shamir, statements
from shared.secagg.cohort import Cohort
from shared.secagg.masks import Mask
from shared.secagg.packing import Vector
from shared.secagg.text import decoded, pieces
from shared.secagg.words import KEY_BYTES, MARK_BYTES, KeyOffer, Setting


class AggregationFailed(CoveyError):
    """Too few devices are left at a step, or some (`culprits`) dealt shares that give no secret back."""

    def __init__(self, step: str, why: str, culprits: tuple[str, ...] = ()) -> None:
        super().__init__(f"secure aggregation ended at the step {step}: {why}")
        self.step, self.culprits = step, culprits


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What the coordinator keeps of a member that dealt shares: `marks` has 16 bytes by the holder's position."""

    offer: KeyOffer
    neighbours: tuple[int, ...]
    marks: dict[int, bytes]
    seed_mark: bytes


class Unmasking:
    """Collects shares of survivors' seeds and dropped members' mask keys; `dealt` is by position."""

    def __init__(self, *, setting: Setting, cohort: Cohort, dealt: dict[int, Dealt], survivors: frozenset[int]) -> None:
        self.survivors = survivors
        self.suspects: set[int] = set()
        self._setting, self._cohort, self._dealt = setting.digest(), cohort, dealt
        self._bits = setting.bits
        self._taken: set[int] = set()
        self._shares: dict[int, dict[int, bytes]] = {place: {} for place in dealt}

    def possible(self, step: str, holders: Iterable[int]) -> None:
        """Raise `AggregationFailed` unless so many holders are enough for every secret."""
        alive, needed = set(holders), self._cohort.shape.shares
        for place, dealt in self._dealt.items():
            if len(alive.intersection((*dealt.neighbours, place))) < needed:
                raise AggregationFailed(step, f"a member has fewer than {needed} holders of its shares left")

    def take(self, holder: int, shares: bytes) -> None:
        """Keep a survivor's shares, one for each dealer next to it and itself; raise `WireError` for another number."""
        dealers = sorted(place for place in (*self._dealt[holder].neighbours, holder) if place in self._dealt)
        if holder in self._taken or len(shares) != KEY_BYTES * len(dealers):
            raise WireError("a survivor reveals one share for each neighbour that dealt, once")
        self._taken.add(holder)
        for dealer, share in zip(dealers, pieces(shares, KEY_BYTES), strict=True):
            if self._committed(dealer, holder, share):
                self._shares[dealer][holder + 1] = share
            else:
                self.suspects.add(holder)

    def take_off(self, total: Vector) -> None:
        """Subtract the survivors' own masks and those that dropped members' pairs left, in place modulo 2**bits."""
        needed = self._cohort.shape.shares
        if any(len(shares) < needed for shares in self._shares.values()):
            raise AggregationFailed("unmask", f"a member has fewer than {needed} shares of its secret left")
        secrets = {place: self._secret(place) for place in self._dealt}
        if culprits := tuple(self._cohort.members[place] for place, secret in secrets.items() if secret is None):
            raise AggregationFailed("unmask", "the shares of some members give no secret back", culprits)
        left: list[Mask] = []
        for place, secret in secrets.items():
            left += self._left_by(place, secret or b"")
        masks.apply(total, [Mask(key=mask.key, add=not mask.add) for mask in left])
        total &= total.dtype.type(2**self._bits - 1)

    def _left_by(self, place: int, secret: bytes) -> list[Mask]:
        """The masks in the sum that a secret reveals: a survivor's own, or what survivors share with a dropped one."""
        name = self._cohort.members[place]
        if place in self.survivors:
            return [masks.self_mask(secret, setting=self._setting, device=name)]
        near = [other for other in self._dealt[place].neighbours if other in self.survivors]
        keys = [decoded(self._dealt[other].offer.mask_key) for other in near]
        return [
            masks.pair_mask(shared, setting=self._setting, me=self._cohort.members[other], other=name)
            for other, shared in zip(near, masks.agree(secret, *keys), strict=True)
        ]

    def _secret(self, place: int) -> bytes | None:
        """A member's secret, or None if it is not the one that it committed to."""
        shares = dict(sorted(self._shares[place].items())[: self._cohort.shape.shares])
        secret, dealt = shamir.join(shares), self._dealt[place]
        if place in self.survivors:
            mark = statements.seed_mark(cohort=self._cohort.digest, device=self._cohort.members[place], seed=secret)
            return secret if mark == dealt.seed_mark else None
        return secret if masks.public_key(secret) == decoded(dealt.offer.mask_key) else None

    def _committed(self, dealer: int, holder: int, share: bytes) -> bool:
        """Whether a share is the one that its dealer committed to for this holder."""
        dealt, members = self._dealt[dealer], self._cohort.members
        marks = dealt.marks[holder]
        kind, mark = (b"seed", marks[MARK_BYTES:]) if dealer in self.survivors else (b"key", marks[:MARK_BYTES])
        made = statements.share_mark(
            cohort=self._cohort.digest, dealer=members[dealer], holder=members[holder], kind=kind, share=share
        )
        return made == mark
