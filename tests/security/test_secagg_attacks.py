"""What a hostile coordinator, or a hostile member, may try in a secure aggregation, and what stops it.

The coordinator's attacks end in a refusal of the device, before anything that the attack wants has left it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from aggregating import Flock, identities, roster, setting, sum_of, vectors
from cryptography.hazmat.primitives.asymmetric import ec

from client.secagg import Member
from client.secagg_checks import Floor
from server.secagg import AggregationFailed
from shared.errors import UnsafeAggregation, WireError
from shared.secagg import masks, statements
from shared.secagg.text import decoded, encoded, map_of, pieces
from shared.secagg.words import (
    PREFIX_BYTES,
    Incoming,
    KeyList,
    KeyOffer,
    Masked,
    Reveal,
    Roll,
    Setting,
    Survivors,
    UnmaskRequest,
)
from shared.sequence import device_fingerprint, fingerprint_of
from shared.signing import public_key_bytes

COUNT = 5


def offer_of(chosen: Setting, key: ec.EllipticCurvePrivateKey, *, keys: bytes | None = None) -> KeyOffer:
    """What a device with this long-term key would offer; `keys` are its two, or fresh ones."""
    device = fingerprint_of(key)
    keys = keys or masks.public_key(masks.new_key()) + masks.public_key(masks.new_key())
    statement = statements.offer_statement(setting=chosen.digest(), device=device, keys=keys)
    return KeyOffer(
        device=device, cipher_key=encoded(keys[:32]), mask_key=encoded(keys[32:]),
        signature=statements.sign(key, statement),
    )  # fmt: skip


def shown(offers: list[KeyOffer], to: str, **changes: Any) -> KeyList:
    """A list of these offers for one of them, all being neighbours, as any coordinator can make it."""
    offers = sorted(offers, key=lambda offer: offer.device)
    near = [offer for offer in offers if offer.device != to]
    count = len(offers)
    document = {
        "threshold": 2 * count // 3 + 1, "degree": count - 1, "shares": 2 * count // 3 + 1,
        "prefixes": encoded(b"".join(bytes.fromhex(offer.device)[:PREFIX_BYTES] for offer in offers)),
        "leaves": encoded(b"".join(statements.leaf(offer.keys()) for offer in offers)),
        "keys": encoded(b"".join(offer.keys() for offer in near)),
        "signatures": tuple(offer.signature for offer in near),
        **changes,
    }  # fmt: skip
    return KeyList(**document)


def offers_and_victim(chosen: Setting | None = None, count: int = COUNT) -> tuple[Flock, Member, list[KeyOffer]]:
    flock = Flock(count, chosen or setting())
    return flock, flock.members[1], [member.advertise() for member in flock.members]


def swap_a_neighbours_key(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    offers[3] = replace(offers[3], mask_key=encoded(masks.public_key(masks.new_key())))
    return shown(offers, me)


def swap_a_neighbours_key_but_not_its_leaf(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    true = shown(offers, me)
    keys = pieces(decoded(true.keys), 64)
    return replace(true, keys=encoded(b"".join([bytes(64), *keys[1:]])))


def swap_my_own_key(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    offers[1] = offer_of(flock.setting, next(key for d, key in identities(COUNT).items() if d != me))
    return shown([replace(offers[1], device=me), *offers[:1], *offers[2:]], me)


def sign_a_neighbours_key_with_another_identity(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    stranger = offer_of(flock.setting, ec.generate_private_key(ec.SECP256R1()))
    offers[3] = replace(stranger, device=offers[3].device)
    return shown(offers, me)


def add_a_device_that_is_not_on_the_roster(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    return shown([*offers, offer_of(flock.setting, ec.generate_private_key(ec.SECP256R1()))], me)


def leave_me_out(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    return shown([offer for offer in offers if offer.device != me], me)


def count_one_identity_twice(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    key = list(identities(COUNT).values())[3]
    return shown([*offers, offer_of(flock.setting, key)], me)


def let_two_identities_have_the_same_keys(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    key = list(identities(COUNT).values())[3]
    offers[3] = offer_of(flock.setting, key, keys=offers[2].keys())
    return shown(offers, me)


def let_two_identities_have_one_key_in_common(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    key = list(identities(COUNT).values())[3]
    offers[3] = offer_of(flock.setting, key, keys=offers[2].keys()[:32] + masks.public_key(masks.new_key()))
    return shown(offers, me)


def offer_my_own_key_back_to_me(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    key = list(identities(COUNT).values())[3]
    offers[3] = offer_of(flock.setting, key, keys=masks.public_key(masks.new_key()) + offers[1].keys()[32:])
    return shown(offers, me)


def offer_a_key_of_small_order(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    key = list(identities(COUNT).values())[3]
    offers[3] = offer_of(flock.setting, key, keys=bytes(32) + masks.public_key(masks.new_key()))
    return shown(offers, me)


def replay_offers_of_another_attempt(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    before = Flock(COUNT, replace(flock.setting, attempt=1))
    return shown([offers[1], *(member.advertise() for member in before.members if member.device != me)], me)


def replay_offers_of_another_round(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    before = Flock(COUNT, replace(flock.setting, round_number=2))
    return shown([offers[1], *(member.advertise() for member in before.members if member.device != me)], me)


def shrink_the_cohort(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    return shown(offers[:3], me)


def ask_for_fewer_survivors(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    return shown(offers, me, threshold=3, shares=3)


def ask_for_fewer_shares(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    return shown(offers, me, shares=2)


def ask_for_fewer_neighbours(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    return shown(offers, me, degree=2)


def give_the_keys_of_fewer_neighbours(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    true = shown(offers, me)
    return replace(true, keys=encoded(decoded(true.keys)[:-64]), signatures=true.signatures[:-1])


def list_members_out_of_order(flock: Flock, offers: list[KeyOffer], me: str) -> KeyList:
    true = shown(offers, me)
    return replace(true, prefixes=encoded(b"".join(reversed(pieces(decoded(true.prefixes), PREFIX_BYTES)))))


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (swap_a_neighbours_key, "not signed by that device"),
        (swap_a_neighbours_key_but_not_its_leaf, "not those of the list"),
        (swap_my_own_key, "other keys for this device"),
        (sign_a_neighbours_key_with_another_identity, "not signed by that device"),
        (add_a_device_that_is_not_on_the_roster, "not on the roster"),
        (leave_me_out, "leaves this device out"),
        (count_one_identity_twice, "names a device twice"),
        (let_two_identities_have_the_same_keys, "same keys"),
        (let_two_identities_have_one_key_in_common, "offered twice"),
        (offer_my_own_key_back_to_me, "offered twice"),
        (offer_a_key_of_small_order, "no usable X25519"),
        (replay_offers_of_another_attempt, "not signed by that device for this attempt"),
        (replay_offers_of_another_round, "not signed by that device for this attempt"),
        (shrink_the_cohort, "fewer than 4"),
        (ask_for_fewer_survivors, "more than two thirds"),
        (ask_for_fewer_shares, "shares must make a secret"),
        (ask_for_fewer_neighbours, "do not protect"),
        (give_the_keys_of_fewer_neighbours, "does not give the keys"),
        (list_members_out_of_order, "out of order"),
    ],
)
def test_a_device_deals_no_share_to_a_cohort_that_breaks_a_rule(attack: Callable[..., Any], reason: str) -> None:
    flock, victim, offers = offers_and_victim(setting(minimum_cohort=4))
    with pytest.raises(UnsafeAggregation, match=reason) as refused:
        victim.share(attack(flock, offers, victim.device))
    assert refused.value.category == "secure-aggregation"


def test_the_table_above_refuses_nothing_that_is_honest() -> None:
    _, victim, offers = offers_and_victim(setting(minimum_cohort=4))
    assert victim.share(shown(offers, victim.device))


def test_more_colluders_than_the_threshold_allows_are_refused() -> None:
    _, victim, offers = offers_and_victim(setting(colluders=0.33), count=7)
    with pytest.raises(UnsafeAggregation, match="and 6 here"):
        victim.share(shown(offers, victim.device, threshold=5, shares=5))
    assert victim.share(shown(offers, victim.device, threshold=6, shares=6))


def test_a_sum_of_fewer_than_the_setting_says_is_refused() -> None:
    _, victim, offers = offers_and_victim(setting(minimum_cohort=5))
    with pytest.raises(UnsafeAggregation, match="and 5 here"):
        victim.share(shown(offers, victim.device))
    assert victim.share(shown(offers, victim.device, threshold=5, shares=5))


@pytest.mark.parametrize("changes", [{"minimum_cohort": 9}, {"colluders": 0.1}])
def test_a_setting_below_the_owners_floor_is_refused_before_any_key_is_made(changes: dict[str, Any]) -> None:
    floor = Floor(minimum_cohort=10, colluders=0.2)
    low = setting(**{"minimum_cohort": 10, "colluders": 0.2, **changes})
    key = next(iter(identities(COUNT).values()))
    with pytest.raises(UnsafeAggregation, match="this device asks for"):
        Member(setting=low, identity=key, roster=roster(COUNT), floor=floor)


def test_a_device_that_is_not_on_its_own_roster_takes_no_part() -> None:
    with pytest.raises(UnsafeAggregation, match="not on the roster"):
        Member(setting=setting(), identity=ec.generate_private_key(ec.SECP256R1()), roster=roster(COUNT), floor=Floor())


def test_a_roster_that_files_a_key_under_another_fingerprint_is_noticed() -> None:
    flock, victim, offers = offers_and_victim()
    key = ec.generate_private_key(ec.SECP256R1())
    victim._roster = {**roster(COUNT), offers[3].device: public_key_bytes(key.public_key())}
    assert device_fingerprint(victim._roster[offers[3].device]) != offers[3].device
    offers[3] = replace(offer_of(flock.setting, key), device=offers[3].device)
    with pytest.raises(UnsafeAggregation, match="not those of the list"):
        victim.share(shown(offers, victim.device))


def incoming_for(flock: Flock, victim: Member, dealers: Iterable[int]) -> Incoming:
    true = flock.coordinator.incoming(victim.device)
    near = [place for place in range(COUNT) if flock.members[place] is not victim]
    sealed = dict(zip(near, pieces(decoded(true.sealed), 80), strict=True))
    return Incoming(dealers=map_of(dealers, COUNT), sealed=encoded(b"".join(sealed[p] for p in dealers if p in sealed)))


@pytest.mark.parametrize(
    ("dealers", "reason"),
    [([0, 1, 2], "fewer than 4"), ([0, 2, 3, 4], "leaves this device out")],
)
def test_a_device_masks_nothing_when_too_few_dealt_or_it_is_left_out(dealers: Iterable[int], reason: str) -> None:
    flock = Flock(COUNT)
    inputs = vectors(flock.setting, COUNT)
    flock.until("masked", inputs)
    victim = flock.members[1]
    with pytest.raises(UnsafeAggregation, match=reason):
        victim.mask(inputs[1], incoming_for(flock, victim, dealers))


def test_a_dealer_whose_shares_are_held_back_is_noticed() -> None:
    flock = Flock(COUNT)
    inputs = vectors(flock.setting, COUNT)
    flock.until("masked", inputs)
    victim = flock.members[1]
    true = incoming_for(flock, victim, range(COUNT))
    with pytest.raises(UnsafeAggregation, match="has its shares here"):
        victim.mask(inputs[1], replace(true, sealed=encoded(decoded(true.sealed)[:-80])))


def test_two_views_of_who_dealt_are_refused_before_a_share_leaves() -> None:
    """One member is shown that another did not deal, so that the mask between the two would be missing."""
    flock = Flock(COUNT)
    inputs = vectors(flock.setting, COUNT)
    flock.until("masked", inputs)
    victim, others = flock.members[1], [m for m in flock.members if m is not flock.members[1]]
    wrong, _ = victim.mask(inputs[1], incoming_for(flock, victim, [0, 1, 2, 3]))
    signed = {1: wrong}
    for member in others:
        place = flock.members.index(member)
        signed[place], _ = member.mask(inputs[place], flock.coordinator.incoming(member.device))
    survivors = Survivors(survivors=map_of(range(COUNT), COUNT), dropped=map_of([], COUNT))
    for member in others:
        near = tuple(signed[p].signature for p in range(COUNT) if flock.members[p] is not member)
        with pytest.raises(UnsafeAggregation, match="another list of members or of dealers"):
            member.agree(Roll(survivors=survivors, signatures=near))


def test_two_cohorts_with_a_member_in_both_are_refused() -> None:
    """A split view: the victim is shown a cohort of five, another device one of four of them; both sign."""
    flock = Flock(COUNT)
    offers = [member.advertise() for member in flock.members]
    lists = {m.device: shown(offers if m is not flock.members[0] else offers[:4], m.device) for m in flock.members}
    dealt = {m.device: m.share(lists[m.device]) for m in flock.members}
    victim, other = flock.members[1], flock.members[0]
    sealed = [pieces(decoded(dealt[m.device].sealed), 80)[flock.members.index(m) < 1 or 1] for m in flock.members]
    near = [sealed[place] for place in (0, 2, 3, 4)]
    inputs = vectors(flock.setting, COUNT)
    victim.mask(inputs[1], Incoming(dealers=map_of(range(COUNT), COUNT), sealed=encoded(b"".join(near))))
    # What the other device sealed is bound to its own list, so it does not open here.
    assert victim._held[0] == bytes(64)
    statement = statements.masked_statement(cohort=other._view.cohort.digest, dealers=map_of(range(COUNT), COUNT))
    foreign = statements.sign(other._identity, statement)
    mine = statements.masked_statement(cohort=victim._view.cohort.digest, dealers=map_of(range(COUNT), COUNT))
    rest = [statements.sign(flock.members[p]._identity, mine) for p in (2, 3, 4)]
    survivors = Survivors(survivors=map_of(range(COUNT), COUNT), dropped=map_of([], COUNT))
    with pytest.raises(UnsafeAggregation, match="another list of members"):
        victim.agree(Roll(survivors=survivors, signatures=(foreign, *rest)))


def at_agree(count: int = COUNT, away: dict[int, str] | None = None) -> tuple[Flock, Member]:
    flock = Flock(count)
    flock.until("agree", vectors(flock.setting, count), away)
    return flock, flock.members[1]


@pytest.mark.parametrize(
    ("survivors", "dropped", "reason"),
    [
        ([0, 1, 2, 3, 4], [3], "both secrets"),
        ([0, 1, 2, 3], [4, 0], "both secrets"),
        ([0, 1, 2, 3], [], "not those who dealt"),
        ([0, 1, 2], [3, 4], "fewer than 4"),
        ([0, 2, 3, 4], [1], "calls this device dropped"),
    ],
)
def test_a_device_signs_no_survivor_set_that_breaks_a_rule(
    survivors: list[int], dropped: list[int], reason: str
) -> None:
    flock, victim = at_agree()
    true = flock.coordinator.roll(victim.device)
    asked = Survivors(survivors=map_of(survivors, COUNT), dropped=map_of(dropped, COUNT))
    with pytest.raises(UnsafeAggregation, match=reason):
        victim.agree(replace(true, survivors=asked))


def test_a_survivor_that_never_dealt_is_refused() -> None:
    flock, victim = at_agree(away={4: "shares"})
    true = flock.coordinator.roll(victim.device)
    ghosts = Survivors(survivors=map_of(range(COUNT), COUNT), dropped=map_of([], COUNT))
    with pytest.raises(UnsafeAggregation, match="not those who dealt"):
        victim.agree(replace(true, survivors=ghosts))


@pytest.mark.parametrize("data", [map_of(range(5), 9), "/w==", "=", ""])
def test_a_map_of_another_size_is_refused(data: bytes) -> None:
    flock, victim = at_agree()
    true = flock.coordinator.roll(victim.device)
    with pytest.raises((UnsafeAggregation, ValueError)):
        victim.agree(replace(true, survivors=replace(true.survivors, survivors=data)))


def test_a_second_survivor_set_is_refused_smaller_or_not_and_the_first_stays_signed() -> None:
    flock, victim = at_agree(count=7)
    roll = flock.coordinator.roll(victim.device)
    signed = victim.agree(roll)
    assert victim.agree(roll) == signed
    smaller = Survivors(survivors=map_of(range(6), 7), dropped=map_of([6], 7))
    with pytest.raises(UnsafeAggregation, match="second survivor set"):
        victim.agree(Roll(survivors=smaller, signatures=roll.signatures[:-1]))


def at_unmask(count: int = 7, away: dict[int, str] | None = None) -> tuple[Flock, Member, UnmaskRequest]:
    flock = Flock(count)
    flock.until("unmask", vectors(flock.setting, count), away)
    return flock, flock.members[1], flock.coordinator.unmask_request()


def test_shares_for_another_set_than_the_signed_one_are_refused() -> None:
    _, victim, request = at_unmask()
    smaller = Survivors(survivors=map_of(range(6), 7), dropped=map_of([6], 7))
    with pytest.raises(UnsafeAggregation, match="another survivor set"):
        victim.unmask(replace(request, survivors=smaller))
    assert victim.unmask(request)


def fewer_signatures(flock: Flock, request: UnmaskRequest) -> UnmaskRequest:
    return replace(request, signers=map_of(range(4), 7), signatures=request.signatures[:4])


def one_forged_signature(flock: Flock, request: UnmaskRequest) -> UnmaskRequest:
    forged = statements.sign(ec.generate_private_key(ec.SECP256R1()), b"anything")
    return replace(request, signatures=(*request.signatures[:-1], forged))


def one_signature_twice(flock: Flock, request: UnmaskRequest) -> UnmaskRequest:
    return replace(request, signatures=(*request.signatures[:-1], request.signatures[0]))


def a_signature_under_another_set(flock: Flock, request: UnmaskRequest) -> UnmaskRequest:
    smaller = Survivors(survivors=map_of(range(6), 7), dropped=map_of([6], 7))
    cohort = flock.coordinator.cohort.digest
    key = next(iter(identities(7).values()))
    other = statements.sign(key, statements.survivors_statement(cohort=cohort, survivors=smaller))
    return replace(request, signatures=(other, *request.signatures[1:]))


def more_signers_than_signatures(flock: Flock, request: UnmaskRequest) -> UnmaskRequest:
    return replace(request, signers=map_of(range(7), 7))


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (fewer_signatures, "fewer than 5"),
        (one_forged_signature, "another list of members or of survivors"),
        (one_signature_twice, "another list of members or of survivors"),
        (a_signature_under_another_set, "another list of members or of survivors"),
        (more_signers_than_signatures, "not those of survivors"),
    ],
)
def test_no_share_leaves_without_enough_survivors_signatures(attack: Callable[..., Any], reason: str) -> None:
    flock, victim, request = at_unmask()
    with pytest.raises(UnsafeAggregation, match=reason):
        victim.unmask(attack(flock, request))


def test_signatures_of_those_who_dropped_do_not_count() -> None:
    flock, victim, request = at_unmask(away={0: "masked"})
    dropped = flock.members[0]
    statement = statements.survivors_statement(cohort=flock.coordinator.cohort.digest, survivors=request.survivors)
    forged = statements.sign(dropped._identity, statement)
    asked = UnmaskRequest(
        survivors=request.survivors, signers=map_of(range(5), 7), signatures=(forged, *request.signatures[:4])
    )
    with pytest.raises(UnsafeAggregation, match="not those of survivors"):
        victim.unmask(asked)


def test_a_device_reveals_one_share_of_each_member_and_of_the_right_secret() -> None:
    _, victim, request = at_unmask(away={0: "masked", 6: "shares"})
    held, own = dict(victim._held), victim._own_share
    shares = pieces(decoded(victim.unmask(request).shares), 32)
    assert shares == [held[0][:32], own, *(held[place][32:] for place in (2, 3, 4, 5))]
    assert victim.unmask(request).shares == encoded(b"".join(shares))
    with pytest.raises(UnsafeAggregation, match="next step was done"):
        victim.unmask(replace(request, signatures=request.signatures[:-1]))


@pytest.mark.parametrize("step", ["share", "mask", "agree", "unmask"])
def test_steps_out_of_turn_are_refused(step: str) -> None:
    flock, victim, request = at_unmask()
    shown_to_it = {
        "share": (flock.coordinator.key_list(victim.device),),
        "mask": (vectors(flock.setting, 1)[0], flock.coordinator.incoming(victim.device)),
        "agree": (flock.coordinator.roll(victim.device),),
        "unmask": (request,),
    }[step]
    late = [victim] if step in {"share", "mask"} else []
    for member in (Flock(7).members[1], *late):
        with pytest.raises(UnsafeAggregation, match="the next step was"):
            getattr(member, step)(*shown_to_it)


def test_a_corrupted_share_is_ignored_and_its_sender_named() -> None:
    flock, liar, request = at_unmask()
    inputs = vectors(flock.setting, 7)
    for member in flock.members:
        reveal = member.unmask(request)
        if member is liar:
            data = bytearray(decoded(reveal.shares))
            data[::32] = bytes(byte ^ 1 for byte in data[::32])
            reveal = Reveal(shares=encoded(bytes(data)))
        flock.coordinator.take_reveal(member.device, reveal)
    total = flock.coordinator.finish()
    assert total.values.tolist() == sum_of(flock.setting, inputs)
    assert total.suspects == (liar.device,)


def test_too_many_corrupted_shares_fail_the_round_instead_of_spoiling_the_sum() -> None:
    flock, _, request = at_unmask()
    for member in flock.members[:3]:
        size = len(decoded(member.unmask(request).shares))
        flock.coordinator.take_reveal(member.device, Reveal(shares=encoded(b"\1" * size)))
    for member in flock.members[3:]:
        flock.coordinator.take_reveal(member.device, member.unmask(request))
    with pytest.raises(AggregationFailed, match="step unmask"):
        flock.coordinator.finish()


def test_sealed_garbage_costs_its_sender_a_share_and_the_round_nothing() -> None:
    flock = Flock(7)
    inputs = vectors(flock.setting, 7)
    flock.until("shares", inputs)
    for place, member in enumerate(flock.members):
        shares = member.share(flock.coordinator.key_list(member.device))
        if place == 0:
            sealed = bytearray(decoded(shares.sealed))
            sealed[:80] = bytes(80)
            shares = replace(shares, sealed=encoded(bytes(sealed)))
        flock.coordinator.take_shares(member.device, shares)
    flock.coordinator.close_shares()
    for step in ("masked", "agree", "unmask"):
        getattr(flock, step)(flock.members, inputs)
    assert flock.coordinator.finish().values.tolist() == sum_of(flock.setting, inputs)


def truncate(data: bytes) -> bytes:
    return data[:-1]


def grow(data: bytes) -> bytes:
    return data + b"\0"


def empty(data: bytes) -> bytes:
    return b""


def set_a_value_beyond_the_length(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] | 128])


@pytest.mark.parametrize("attack", [truncate, grow, empty, set_a_value_beyond_the_length])
def test_a_masked_vector_of_another_size_costs_its_sender_only(attack: Callable[..., Any]) -> None:
    flock = Flock(4)
    inputs = vectors(flock.setting, 4)
    flock.until("masked", inputs)
    for member in flock.members:
        masked, data = member.mask(inputs[flock.members.index(member)], flock.coordinator.incoming(member.device))
        if member is flock.members[2]:
            with pytest.raises(WireError, match="vector"):
                flock.coordinator.take_masked(member.device, masked, attack(data))
        else:
            flock.coordinator.take_masked(member.device, masked, data)
    flock.coordinator.close_masked()
    here = [member for member in flock.members if member is not flock.members[2]]
    flock.agree(here, inputs)
    flock.unmask(here, inputs)
    assert flock.coordinator.finish().values.tolist() == sum_of(flock.setting, [inputs[p] for p in (0, 1, 3)])


def test_a_masked_vector_under_another_list_of_dealers_is_refused_by_the_coordinator() -> None:
    flock = Flock(4)
    inputs = vectors(flock.setting, 4)
    flock.until("masked", inputs)
    first, second = flock.members[:2]
    _, data = first.mask(inputs[0], flock.coordinator.incoming(first.device))
    wrong = statements.masked_statement(cohort=flock.coordinator.cohort.digest, dealers=map_of([0, 1, 2], 4))
    for signature in (statements.sign(first._identity, wrong), statements.sign(second._identity, wrong)):
        with pytest.raises(WireError, match="another list"):
            flock.coordinator.take_masked(first.device, Masked(signature=signature), data)
    assert not np.any(flock.coordinator._sum)


def test_offers_that_no_honest_device_makes_are_refused_by_the_coordinator() -> None:
    flock = Flock(4)
    one, two = flock.members[:2]
    keys = list(identities(4).values())
    stranger = ec.generate_private_key(ec.SECP256R1())
    flock.coordinator.take_offer(two.device, two.advertise())
    small = offer_of(flock.setting, keys[0], keys=bytes(32) + masks.public_key(masks.new_key()))
    old = offer_of(replace(flock.setting, attempt=5), keys[0])
    for device, offer, reason in (
        (one.device, two.advertise(), "that sends them"),
        (fingerprint_of(stranger), offer_of(flock.setting, stranger), "on the roster"),
        (two.device, two.advertise(), "already"),
        (one.device, replace(one.advertise(), cipher_key=two.advertise().cipher_key), "not signed"),
        (one.device, old, "not signed"),
        (one.device, small, "no usable"),
    ):
        with pytest.raises(WireError, match=reason):
            flock.coordinator.take_offer(device, offer)
    flock.coordinator.take_offer(one.device, one.advertise())


def test_an_update_masked_under_one_cohort_looks_uniform() -> None:
    """The masked words of a vector of zeros: each of 16 buckets holds a sixteenth, within six standard errors."""
    chosen = setting(bits=32, length=100_000)
    flock = Flock(3, chosen)
    zeros = [np.zeros(chosen.length, dtype=np.uint32)] * 3
    (first, *_) = flock.until("masked", zeros)
    _, data = first.mask(zeros[0], flock.coordinator.incoming(first.device))
    counts = np.bincount(np.frombuffer(data, dtype=np.uint32) >> 28, minlength=16)
    assert np.abs(counts - counts.sum() / 16).max() < 6 * np.sqrt(counts.sum() * 15) / 16
