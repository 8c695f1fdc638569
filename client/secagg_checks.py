"""What a device checks before it tells a coordinator anything in a secure aggregation; every finding is a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.errors import UnsafeAggregation
from shared.secagg import graph, statements
from shared.secagg.cohort import Cohort
from shared.secagg.graph import Shape
from shared.secagg.text import decoded, pieces
from shared.secagg.words import (
    KEY_BYTES,
    PREFIX_BYTES,
    Incoming,
    KeyList,
    KeyOffer,
    Roll,
    Setting,
    Survivors,
    UnmaskRequest,
)
from shared.sequence import device_fingerprint

Roster = Mapping[str, bytes]
"""Fingerprint (SHA-256 of the PEM, hexadecimal) to public key (PEM): the devices that an offline key vouched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What the device's owner asks for at least: the smallest cohort, the largest fraction that may collude."""

    minimum_cohort: int = 3
    colluders: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A list that passed: the cohort, this device's position, and its neighbours' cipher and mask keys."""

    cohort: Cohort
    position: int
    neighbours: tuple[int, ...]
    keys: tuple[tuple[bytes, bytes], ...]

    def name(self, position: int) -> str:
        """The fingerprint at a position."""
        return self.cohort.members[position]


def check_setting(setting: Setting, floor: Floor) -> None:
    """Refuse a setting below what the owner asks for."""
    if setting.minimum_cohort < floor.minimum_cohort:
        raise UnsafeAggregation(f"the round takes cohorts from {setting.minimum_cohort} devices; this device asks for {floor.minimum_cohort}")  # fmt: skip
    if setting.colluders < floor.colluders:
        raise UnsafeAggregation(f"the round allows for {setting.colluders:.3f} colluders; this device asks for {floor.colluders:.3f}")  # fmt: skip


def read_list(shown: KeyList, *, setting: Setting, own: KeyOffer, roster: Roster) -> View:
    """The cohort, if it is large enough, all of it on the roster, this device in it with its own keys, and safe."""
    members = _members(shown, roster)
    if len(members) < setting.minimum_cohort:
        raise UnsafeAggregation(f"the cohort has {len(members)} members, fewer than {setting.minimum_cohort}")
    leaves = decoded(shown.leaves)
    if len(set(pieces(leaves, KEY_BYTES))) != len(members):
        raise UnsafeAggregation("two members of the cohort have the same keys")
    if own.device not in members:
        raise UnsafeAggregation("the coordinator's list leaves this device out")
    position = members.index(own.device)
    if pieces(leaves, KEY_BYTES)[position] != statements.leaf(own.keys()):
        raise UnsafeAggregation("the coordinator's list has other keys for this device than it offered")
    shape = Shape(threshold=shown.threshold, degree=shown.degree, shares=shown.shares)
    graph.check(shape, count=len(members), colluders=setting.colluders, least=setting.minimum_cohort)
    cohort = Cohort(setting=setting.digest(), members=members, leaves=leaves, shape=shape)
    neighbours = tuple(int(other) for other in cohort.neighbours(position))
    return View(cohort=cohort, position=position, neighbours=neighbours, keys=_keys(shown, cohort, neighbours, own, roster))  # fmt: skip


def check_incoming(incoming: Incoming, view: View) -> NDArray[np.bool_]:
    """Who dealt, if they are enough, this device is among them, and every neighbour's shares came along."""
    dealers = _map(view.cohort, incoming.dealers, "dealers")
    if dealers.sum() < view.cohort.shape.threshold:
        raise UnsafeAggregation(f"{dealers.sum()} members dealt shares, fewer than {view.cohort.shape.threshold}")
    if not dealers[view.position]:
        raise UnsafeAggregation("the coordinator leaves this device out of those that dealt shares")
    return dealers


def check_roll(roll: Roll, *, view: View, dealers: NDArray[np.bool_], dealt: str, roster: Roster) -> None:
    """Refuse survivors that are too few, overlap, leave this device out, or whose neighbours saw other dealers."""
    survivors, _ = read_survivors(roll.survivors, view=view, dealers=dealers)
    near = [other for other in view.neighbours if survivors[other]]
    if len(near) != len(roll.signatures):
        raise UnsafeAggregation("not every surviving neighbour's signature came along")
    statement = statements.masked_statement(cohort=view.cohort.digest, dealers=dealt)
    for other, signature in zip(near, roll.signatures, strict=True):
        if not statements.signed(roster[view.name(other)], statement, signature):
            raise UnsafeAggregation("a neighbour was shown another list of members or of dealers")


def read_survivors(
    claimed: Survivors, *, view: View, dealers: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who survived and who dropped; together they are those who dealt, and nobody is both."""
    survivors = _map(view.cohort, claimed.survivors, "survivors")
    dropped = _map(view.cohort, claimed.dropped, "dropped")
    if (survivors & dropped).any():
        raise UnsafeAggregation("both secrets of one device were asked for")
    if ((survivors | dropped) != dealers).any():
        raise UnsafeAggregation("survivors and dropped are not those who dealt shares")
    if survivors.sum() < view.cohort.shape.threshold:
        raise UnsafeAggregation(f"{survivors.sum()} members survived, fewer than {view.cohort.shape.threshold}")
    if not survivors[view.position]:
        raise UnsafeAggregation("the coordinator calls this device dropped")
    return survivors, dropped


def check_agreement(request: UnmaskRequest, *, view: View, survivors: NDArray[np.bool_], roster: Roster) -> None:
    """Refuse unless as many survivors as the threshold signed this very set."""
    signers = np.flatnonzero(_map(view.cohort, request.signers, "signers"))
    if len(signers) != len(request.signatures) or not survivors[signers].all():
        raise UnsafeAggregation("the signatures are not those of survivors")
    if len(signers) < view.cohort.shape.threshold:
        raise UnsafeAggregation(f"{len(signers)} survivors signed the set, fewer than {view.cohort.shape.threshold}")
    statement = statements.survivors_statement(cohort=view.cohort.digest, survivors=request.survivors)
    for signer, signature in zip(signers, request.signatures, strict=True):
        if not statements.signed(roster[view.name(int(signer))], statement, signature):
            raise UnsafeAggregation("a survivor signed another list of members or of survivors")


def _members(shown: KeyList, roster: Roster) -> tuple[str, ...]:
    """The fingerprints that a list stands for: each on the roster, none twice, in ascending order."""
    known: dict[str, str] = {}
    for device in roster:
        known[device[: 2 * PREFIX_BYTES]] = "" if device[: 2 * PREFIX_BYTES] in known else device
    prefixes = [prefix.hex() for prefix in pieces(decoded(shown.prefixes), PREFIX_BYTES)]
    if any(low >= high for low, high in pairwise(prefixes)):
        raise UnsafeAggregation("the coordinator's list names a device twice or is out of order")
    members = tuple(known.get(prefix, "") for prefix in prefixes)
    if not all(members):
        raise UnsafeAggregation("the coordinator's list has a device that is not on the roster")
    return members


def _keys(
    shown: KeyList, cohort: Cohort, neighbours: tuple[int, ...], own: KeyOffer, roster: Roster
) -> tuple[tuple[bytes, bytes], ...]:  # fmt: skip
    """The neighbours' keys: as the list's leaves say, signed by who is on the roster, and none used twice."""
    if len(shown.signatures) != len(neighbours):
        raise UnsafeAggregation("the coordinator's list does not give the keys of this device's neighbours")
    both, leaves = pieces(decoded(shown.keys), 2 * KEY_BYTES), pieces(cohort.leaves, KEY_BYTES)
    for other, keys, signature in zip(neighbours, both, shown.signatures, strict=True):
        device = cohort.members[other]
        statement = statements.offer_statement(setting=cohort.setting, device=device, keys=keys)
        if statements.leaf(keys) != leaves[other] or device_fingerprint(roster[device]) != device:
            raise UnsafeAggregation("a neighbour's keys are not those of the list")
        if not statements.signed(roster[device], statement, signature):
            raise UnsafeAggregation("a neighbour's keys are not signed by that device for this attempt")
    single = [key for keys in (*both, own.keys()) for key in pieces(keys, KEY_BYTES)]
    if len(set(single)) != len(single):
        raise UnsafeAggregation("one key is offered twice")
    return tuple((keys[:KEY_BYTES], keys[KEY_BYTES:]) for keys in both)


def _map(cohort: Cohort, text: str, name: str) -> NDArray[np.bool_]:
    try:
        return cohort.map_read(text, name)
    except ValueError as error:
        raise UnsafeAggregation(str(error)) from None
