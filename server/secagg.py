"""The coordinator's part in one secure aggregation: collect each step's messages, then say what each device gets.

    take_offer     close_keys      key_list(device)
    take_shares    close_shares    incoming(device)
    take_masked    close_masked    roll(device)
    take_agreement close_agree     unmask_request()
    take_reveal    finish() -> Total

`device` is the fingerprint that the transport authenticated. A `take_` raises `WireError` for a message that cannot be
used, which costs its sender its place and nobody else anything; a `close_` raises `AggregationFailed`, with the step's
name, when too few are left. A device has one message for each step; a late or a second one is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from server.unmasking import AggregationFailed, Dealt, Unmasking
from shared.errors import WireError
from shared.secagg import graph, masks, statements
from shared.secagg.cohort import Cohort
from shared.secagg.packing import Vector, lane, unpack
from shared.secagg.text import decoded, encoded, pieces
from shared.secagg.words import (
    KEY_BYTES,
    MARK_BYTES,
    PREFIX_BYTES,
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

__all__ = ["Aggregation", "AggregationFailed", "Total"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """The sum modulo 2**bits, shape `(length,)`; whose vectors are in it; who dealt shares but dropped out.

    `suspects` revealed shares that do not match their dealers' commitments; they are left out of account.
    """

    values: Vector
    contributors: tuple[str, ...]
    dropped: tuple[str, ...]
    suspects: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Device:
    """What one member has sent so far."""

    offer: KeyOffer
    neighbours: tuple[int, ...] = ()
    shares: Shares | None = None
    sealed: list[bytes] = field(default_factory=list[bytes])
    masked: str = ""
    agreement: str = ""


class Aggregation:
    """One attempt at one round, without I/O; it keeps a running sum, not the vectors."""

    def __init__(self, *, setting: Setting, roster: Mapping[str, bytes]) -> None:
        """`roster` maps fingerprints to public keys (PEM), as on the devices."""
        self._setting, self._roster = setting, roster
        self._step = "keys"
        self._devices: dict[str, _Device] = {}
        self._cohort: Cohort | None = None
        self._sum = cast(Vector, np.zeros(setting.length, dtype=lane(setting.bits)))
        self._unmasking: Unmasking | None = None

    @property
    def step(self) -> str:
        """The step whose messages are being collected: keys, shares, masked, agree or unmask."""
        return self._step

    @property
    def cohort(self) -> Cohort:
        """The cohort, once `close_keys` has fixed it."""
        if self._cohort is None:
            raise WireError("the cohort is not known before the keys are closed")
        return self._cohort

    def take_offer(self, device: str, offer: KeyOffer) -> None:
        """Take a device's keys: signed by itself, on the roster, usable."""
        self._at("keys")
        if offer.device != device or device not in self._roster:
            raise WireError("the keys are not those of a device on the roster that sends them")
        if device in self._devices:
            raise WireError("the device has offered keys already")
        statement = statements.offer_statement(setting=self._setting.digest(), device=device, keys=offer.keys())
        if not statements.signed(self._roster[device], statement, offer.signature):
            raise WireError("the keys are not signed by the device for this attempt")
        try:
            masks.agree(masks.new_key(), *pieces(offer.keys(), KEY_BYTES))
        except ValueError:
            raise WireError("the keys are no usable X25519 keys") from None
        self._devices[device] = _Device(offer=offer)

    def close_keys(self) -> None:
        """Fix the cohort and its graph."""
        self._at("keys")
        if len(self._devices) < self._setting.minimum_cohort:
            raise AggregationFailed("keys", f"{len(self._devices)} devices offered keys, fewer than {self._setting.minimum_cohort}")  # fmt: skip
        members = tuple(sorted(self._devices))
        leaves = b"".join(statements.leaf(self._devices[device].offer.keys()) for device in members)
        shape = graph.shape_for(
            len(members), colluders=self._setting.colluders, dropouts=self._setting.dropouts,
            least=self._setting.minimum_cohort,
        )  # fmt: skip
        shape = graph.raised(shape, threshold=self._setting.minimum_cohort, count=len(members))
        self._cohort = Cohort(setting=self._setting.digest(), members=members, leaves=leaves, shape=shape)
        for position, device in enumerate(members):
            self._devices[device].neighbours = tuple(int(other) for other in self._cohort.neighbours(position))
        self._step = "shares"

    def key_list(self, device: str) -> KeyList:
        """The cohort as one device sees it."""
        near = [self._devices[self._name(other)].offer for other in self._member(device).neighbours]
        return KeyList(
            threshold=self.cohort.shape.threshold, degree=self.cohort.shape.degree, shares=self.cohort.shape.shares,
            prefixes=encoded(b"".join(bytes.fromhex(member[: 2 * PREFIX_BYTES]) for member in self.cohort.members)),
            leaves=encoded(self.cohort.leaves),
            keys=encoded(b"".join(offer.keys() for offer in near)),
            signatures=tuple(offer.signature for offer in near),
        )  # fmt: skip

    def take_shares(self, device: str, shares: Shares) -> None:
        """Take what a device sealed for its neighbours."""
        self._at("shares")
        member = self._member(device)
        sealed = pieces(decoded(shares.sealed), SEALED_BYTES)
        if member.shares is not None or len(sealed) != len(member.neighbours):
            raise WireError("a device deals one share to each of its neighbours, once")
        member.shares, member.sealed = shares, list(sealed)

    def close_shares(self) -> None:
        """Fix who dealt: only they may send masked vectors."""
        self._at("shares")
        self._dealers = [place for place, member in enumerate(self._members()) if member.shares is not None]
        self._enough("shares", len(self._dealers))
        self._dealers_map = self.cohort.map_of(self._dealers)
        self._step = "masked"

    def incoming(self, device: str) -> Incoming:
        """What its neighbours sealed for a device."""
        me = self.cohort.members.index(device)
        sealed: list[bytes] = []
        for other in self._member(device).neighbours:
            dealer = self._devices[self._name(other)]
            if dealer.sealed:
                sealed.append(dealer.sealed[dealer.neighbours.index(me)])
        return Incoming(dealers=self._dealers_map, sealed=encoded(b"".join(sealed)))

    def take_masked(self, device: str, masked: Masked, vector: bytes) -> None:
        """Add a masked vector to the sum."""
        self._at("masked")
        member = self._member(device)
        if member.shares is None or member.masked:
            raise WireError("a device that dealt shares sends one masked vector")
        statement = statements.masked_statement(cohort=self.cohort.digest, dealers=self._dealers_map)
        if not statements.signed(self._roster[device], statement, masked.signature):
            raise WireError("the masked vector was made for another list of members or of dealers")
        self._sum += unpack(vector, self._setting.length, self._setting.bits)
        member.masked = masked.signature

    def close_masked(self) -> None:
        """Fix who survived: theirs is the sum."""
        self._at("masked")
        members = self._members()
        survivors = [place for place in self._dealers if members[place].masked]
        self._enough("masked", len(survivors))
        dealt = {
            place: _dealt(place, members[place].offer, members[place].neighbours, shares)
            for place in self._dealers
            if (shares := members[place].shares) is not None
        }
        self._unmasking = Unmasking(
            setting=self._setting, cohort=self.cohort, dealt=dealt, survivors=frozenset(survivors)
        )
        self._unmasking.possible("masked", survivors)
        dropped = [place for place in self._dealers if not members[place].masked]
        self._survivors = Survivors(survivors=self.cohort.map_of(survivors), dropped=self.cohort.map_of(dropped))
        self._step = "agree"

    def roll(self, device: str) -> Roll:
        """The survivors, with what this device's neighbours signed."""
        near = (self._devices[self._name(other)].masked for other in self._member(device).neighbours)
        return Roll(survivors=self._survivors, signatures=tuple(signature for signature in near if signature))

    def take_agreement(self, device: str, agreement: Agreement) -> None:
        """Take a survivor's signature under the survivor set."""
        self._at("agree")
        member = self._member(device)
        if not member.masked or member.agreement:
            raise WireError("a survivor signs the survivor set once")
        statement = statements.survivors_statement(cohort=self.cohort.digest, survivors=self._survivors)
        if not statements.signed(self._roster[device], statement, agreement.signature):
            raise WireError("the signature is not under this survivor set")
        member.agreement = agreement.signature

    def close_agree(self) -> None:
        """Choose as many signatures as the threshold asks for: more would only be bytes."""
        self._at("agree")
        signers = [place for place, member in enumerate(self._members()) if member.agreement]
        self._enough("agree", len(signers))
        self._signers = signers[: self.cohort.shape.threshold]
        self._step = "unmask"

    def unmask_request(self) -> UnmaskRequest:
        """The same for every survivor."""
        self._at("unmask")
        members = self._members()
        return UnmaskRequest(
            survivors=self._survivors, signers=self.cohort.map_of(self._signers),
            signatures=tuple(members[place].agreement for place in self._signers),
        )  # fmt: skip

    def take_reveal(self, device: str, reveal: Reveal) -> None:
        """Take a survivor's shares; those that its neighbours did not deal are ignored, and it becomes a suspect."""
        self._at("unmask")
        if self._unmasking is None or not self._member(device).masked:
            raise WireError("only a survivor reveals shares")
        self._unmasking.take(self.cohort.members.index(device), decoded(reveal.shares))

    def finish(self) -> Total:
        """Take every mask off the sum; raise `AggregationFailed` if shares are missing or a dealer's do not fit."""
        self._at("unmask")
        if self._unmasking is None:
            raise WireError("nothing is masked")
        self._unmasking.take_off(self._sum)
        self._step = "done"
        survivors = self._unmasking.survivors
        return Total(
            values=self._sum,
            contributors=tuple(self._name(place) for place in sorted(survivors)),
            dropped=tuple(self._name(place) for place in self._dealers if place not in survivors),
            suspects=tuple(self._name(place) for place in sorted(self._unmasking.suspects)),
        )

    def _at(self, step: str) -> None:
        if self._step != step:
            raise WireError(f"a message for the step {step} came during {self._step}")

    def _enough(self, step: str, count: int) -> None:
        if count < self.cohort.shape.threshold:
            raise AggregationFailed(step, f"{count} of {len(self.cohort)} devices are left, fewer than {self.cohort.shape.threshold}")  # fmt: skip

    def _member(self, device: str) -> _Device:
        if device not in self._devices:
            raise WireError("the device is not in this cohort")
        return self._devices[device]

    def _members(self) -> list[_Device]:
        return [self._devices[device] for device in self.cohort.members]

    def _name(self, position: int) -> str:
        return self.cohort.members[position]


def _dealt(place: int, offer: KeyOffer, neighbours: tuple[int, ...], shares: Shares) -> Dealt:
    marks = zip(sorted((*neighbours, place)), pieces(decoded(shares.marks), 2 * MARK_BYTES), strict=True)
    return Dealt(offer=offer, neighbours=neighbours, marks=dict(marks), seed_mark=decoded(shares.seed_mark))
