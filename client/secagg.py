"""A device's part in one secure aggregation: five steps, each once, and no secret outlives the last.

    keys = member.advertise()          -> KeyOffer
    member.share(KeyList)              -> Shares
    member.mask(vector, Incoming)      -> Masked, bytes
    member.agree(Roll)                 -> Agreement
    member.unmask(UnmaskRequest)       -> Reveal

State is in memory only: a device that restarts has dropped out, which the protocol allows for.
"""

from collections.abc import Sequence
from typing import NoReturn, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray

from client.secagg_checks import (
    Floor,
    Roster,
    check_agreement,
    check_incoming,
    check_roll,
    check_setting,
    read_list,
    read_survivors,
)
from shared.errors import InputError, UnsafeAggregation
from shared.secagg import masks, shamir, statements
from shared.secagg.packing import Vector, lane, pack
from shared.secagg.text import decoded, encoded, pieces
from shared.secagg.words import (
    KEY_BYTES,
    SEALED_BYTES,
    Agreement,
    Incoming,
    KeyList,
    KeyOffer,
    Masked,
    Reveal,
    Roll,
    Setting,
    Shares,
    Survivors,
    UnmaskRequest,
)
from shared.sequence import fingerprint_of

_NONE = bytes(KEY_BYTES)

V = TypeVar("V")


class Member:
    """One device in one attempt at one round.

    Every step raises `UnsafeAggregation` where the coordinator's message breaks a rule (`client.secagg_checks`) or
    comes out of turn; that changes nothing, and the right message may still come. **An update may be masked once
    only**: two sums over different cohorts show what one device added, so whoever calls must not `mask` it again in a
    later attempt.
    """

    def __init__(self, *, setting: Setting, identity: ec.EllipticCurvePrivateKey, roster: Roster, floor: Floor) -> None:
        """`identity` is the device's long-term key; `roster` must hold it, and everyone it may be grouped with."""
        check_setting(setting, floor)
        self.device = fingerprint_of(identity)
        if self.device not in roster:
            raise UnsafeAggregation("this device is not on the roster that it holds")
        self._setting, self._identity, self._roster = setting, identity, roster
        self._step = "advertise"
        self._cipher_key, self._mask_key, self._seed = masks.new_key(), masks.new_key(), shamir.new_secret()
        self._own_share = _NONE
        self._held: dict[int, bytes] = {}
        self._reveal: tuple[UnmaskRequest, Reveal] | None = None

    @property
    def step(self) -> str:
        """The step that comes next: advertise, share, mask, agree or unmask; `done` after the last."""
        return self._step

    def advertise(self) -> KeyOffer:
        """Offer this attempt's keys; asked again, it offers the same."""
        cipher, mask = masks.public_key(self._cipher_key), masks.public_key(self._mask_key)
        statement = statements.offer_statement(setting=self._setting.digest(), device=self.device, keys=cipher + mask)
        if self._step == "advertise":
            self._offer = KeyOffer(
                device=self.device, cipher_key=encoded(cipher), mask_key=encoded(mask),
                signature=statements.sign(self._identity, statement),
            )  # fmt: skip
            self._step = "share"
        return self._offer

    def share(self, shown: KeyList) -> Shares:
        """Check the cohort, then deal shares of the mask key and of the seed to every neighbour and to itself."""
        self._turn("share")
        self._view = view = read_list(shown, setting=self._setting, own=self._offer, roster=self._roster)
        self._agreed = self._agree(self._cipher_key, [cipher for cipher, _ in view.keys])
        holders = sorted((*view.neighbours, view.position))
        points = [holder + 1 for holder in holders]
        keys = shamir.split(self._mask_key, threshold=view.cohort.shape.shares, points=points)
        seeds = shamir.split(self._seed, threshold=view.cohort.shape.shares, points=points)
        self._own_share = seeds[holders.index(view.position)]
        dealt = dict(zip(holders, zip(keys, seeds, strict=True), strict=True))
        self._step = "mask"
        return Shares(
            sealed=encoded(
                b"".join(self._seal(other, dealt[other], secret) for other, secret in self._near(self._agreed))
            ),
            marks=encoded(b"".join(self._marks(holder, *dealt[holder]) for holder in holders)),
            seed_mark=encoded(statements.seed_mark(cohort=view.cohort.digest, device=self.device, seed=self._seed)),
        )

    def mask(self, vector: Vector, incoming: Incoming) -> tuple[Masked, bytes]:
        """The vector under all masks, packed; it must have the setting's length and values below 2**bits."""
        self._turn("mask")
        self._dealers = check_incoming(incoming, self._view)
        self._dealt = incoming.dealers
        self._keep(decoded(incoming.sealed))
        masked = self._checked(vector)
        digest, view = self._setting.digest(), self._view
        own = masks.self_mask(self._seed, setting=digest, device=self.device)
        near = [(view.name(other), key) for other, (_, key) in self._near(view.keys) if self._dealers[other]]
        secrets = self._agree(self._mask_key, [key for _, key in near])
        pairs = [
            masks.pair_mask(secret, setting=digest, me=self.device, other=other)
            for (other, _), secret in zip(near, secrets, strict=True)
        ]
        masks.apply(masked, [own, *pairs])
        masked &= masked.dtype.type(2**self._setting.bits - 1)
        self._step = "agree"
        statement = statements.masked_statement(cohort=view.cohort.digest, dealers=self._dealt)
        return Masked(signature=statements.sign(self._identity, statement)), pack(masked, self._setting.bits)

    def agree(self, roll: Roll) -> Agreement:
        """Sign the one survivor set of this attempt; any other is refused from then on."""
        if self._step == "unmask" and roll.survivors == self._survivors:
            return self._agreement
        if self._step in {"unmask", "done"}:
            self._refuse("a second survivor set was shown; one was signed already")
        self._turn("agree")
        check_roll(roll, view=self._view, dealers=self._dealers, dealt=self._dealt, roster=self._roster)
        self._survivors: Survivors = roll.survivors
        statement = statements.survivors_statement(cohort=self._view.cohort.digest, survivors=roll.survivors)
        self._agreement = Agreement(signature=statements.sign(self._identity, statement))
        self._step = "unmask"
        return self._agreement

    def unmask(self, request: UnmaskRequest) -> Reveal:
        """One share for each neighbour that dealt, never of both secrets; asked the same again, the same."""
        if self._reveal is not None and request == self._reveal[0]:
            return self._reveal[1]
        self._turn("unmask")
        if request.survivors != self._survivors:
            self._refuse("shares are asked for another survivor set than the one that was signed")
        survivors, _ = read_survivors(request.survivors, view=self._view, dealers=self._dealers)
        check_agreement(request, view=self._view, survivors=survivors, roster=self._roster)
        reveal = Reveal(shares=encoded(b"".join(self._revealed(survivors))))
        self._reveal, self._step = (request, reveal), "done"
        self.forget()
        return reveal

    def forget(self) -> None:
        """Let go of every secret; a member that was told to can take no further step."""
        self._cipher_key = self._mask_key = self._seed = self._own_share = _NONE
        self._held, self._agreed = {}, []
        self._step = "done"

    def _turn(self, step: str) -> None:
        if self._step != step:
            self._refuse(f"{step} was asked for when the next step was {self._step}")

    def _refuse(self, why: str) -> NoReturn:
        raise UnsafeAggregation(why)

    def _agree(self, private: bytes, publics: list[bytes]) -> list[bytes]:
        try:
            return masks.agree(private, *publics)
        except ValueError:
            raise UnsafeAggregation("a neighbour's key is no usable X25519 key") from None

    def _near(self, values: Sequence[V]) -> list[tuple[int, V]]:
        """Each neighbour's position with its value."""
        return list(zip(self._view.neighbours, values, strict=True))

    def _seal(self, other: int, shares: tuple[bytes, bytes], secret: bytes) -> bytes:
        bound = self._view.cohort.digest
        return masks.seal(secret, b"".join(shares), bound=bound, sender=self.device, receiver=self._view.name(other))

    def _marks(self, holder: int, key: bytes, seed: bytes) -> bytes:
        return b"".join(
            statements.share_mark(
                cohort=self._view.cohort.digest, dealer=self.device, holder=self._view.name(holder), kind=kind, share=share
            )
            for kind, share in ((b"key", key), (b"seed", seed))
        )  # fmt: skip

    def _keep(self, sealed: bytes) -> None:
        """Open what the neighbours sealed; what does not open costs its sender's share, not this device's part."""
        senders = [(other, secret) for other, secret in self._near(self._agreed) if self._dealers[other]]
        if len(sealed) != SEALED_BYTES * len(senders):
            self._refuse("not every neighbour that dealt has its shares here")
        self._held = {}
        for (other, secret), data in zip(senders, pieces(sealed, SEALED_BYTES), strict=True):
            bound, sender = self._view.cohort.digest, self._view.name(other)
            self._held[other] = (
                masks.unseal(secret, data, bound=bound, sender=sender, receiver=self.device) or 2 * _NONE
            )

    def _checked(self, vector: Vector) -> Vector:
        """A copy to mask, or `InputError` for what the setting does not describe."""
        bits, length = self._setting.bits, self._setting.length
        if vector.dtype != lane(bits) or vector.shape != (length,):
            raise InputError(f"the vector to mask must be {length} values of type {lane(bits)}, got {vector.shape} of {vector.dtype}")  # fmt: skip
        if int(vector.max()) >> bits:
            raise InputError(f"the vector to mask has values of more than {bits} bits")
        return vector.copy()

    def _revealed(self, survivors: NDArray[np.bool_]) -> list[bytes]:
        """In the order of positions: the seed's share of a survivor, the mask key's of a dropped one."""
        held = {**self._held, self._view.position: _NONE + self._own_share}
        return [held[place][KEY_BYTES:] if survivors[place] else held[place][:KEY_BYTES] for place in sorted(held)]
