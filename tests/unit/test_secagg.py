"""Secure aggregation gives the sum of those who stayed, or says at which step too few were left."""

import zlib
from itertools import combinations

import numpy as np
import pytest
from aggregating import STEPS, Flock, setting, sum_of, vectors

from server.secagg import AggregationFailed
from shared.errors import InputError, WireError
from shared.secagg import envelope, graph, shamir

SUBSETS = [
    (count, step, gone)
    for count in (3, 4, 5)
    for step in STEPS
    for size in range(count + 1)
    for gone in combinations(range(count), size)
]


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("step", STEPS)
def test_every_subset_that_drops_out_at_a_step_costs_itself_or_the_round(count: int, step: str) -> None:
    chosen = setting(length=3)
    inputs = vectors(chosen, count)
    for gone in (gone for n, at, gone in SUBSETS if (n, at) == (count, step)):
        flock = Flock(count, chosen)
        left = count - len(gone)
        cohort = left if step == "keys" else count
        enough = cohort >= 3 and left >= graph.least_threshold(cohort)
        away = dict.fromkeys(gone, step)
        if not enough:
            with pytest.raises(AggregationFailed) as failed:
                flock.run(inputs, away)
            assert failed.value.step == step
            continue
        total = flock.run(inputs, away)
        summed = [place for place in range(count) if place not in gone or step in {"agree", "unmask"}]
        assert total.values.tolist() == sum_of(chosen, [inputs[place] for place in summed])
        assert total.contributors == tuple(flock.members[place].device for place in summed)
        assert total.dropped == tuple(flock.members[place].device for place in gone if step == "masked")
        assert total.suspects == ()


def test_members_may_drop_out_at_different_steps() -> None:
    chosen = setting(bits=33)
    inputs = vectors(chosen, 12)
    total = Flock(12, chosen).run(inputs, {0: "keys", 3: "shares", 7: "masked", 9: "agree"})
    assert total.values.tolist() == sum_of(chosen, [inputs[place] for place in range(12) if place not in {0, 3, 7}])


@pytest.mark.proof
def test_a_sparse_graph_gives_the_sum_with_a_third_gone() -> None:
    chosen = setting(bits=27, length=5000, colluders=0.02)
    inputs = vectors(chosen, 150)
    away = {place: ("shares", "masked", "masked", "agree", "unmask")[place % 5] for place in range(0, 150, 4)}
    flock = Flock(150, chosen)
    total = flock.run(inputs, away)
    assert flock.coordinator.cohort.shape.degree < 100
    stayed = [place for place in range(150) if away.get(place) not in {"shares", "masked"}]
    assert np.array_equal(total.values, np.array(sum_of(chosen, [inputs[place] for place in stayed])))


def test_messages_out_of_turn_or_twice_are_refused_by_the_coordinator() -> None:
    flock = Flock(4)
    inputs = vectors(flock.setting, 4)
    first = flock.members[0]
    flock.until("masked", inputs)
    with pytest.raises(WireError, match="step keys"):
        flock.coordinator.take_offer(first.device, first.advertise())
    masked, data = first.mask(inputs[0], flock.coordinator.incoming(first.device))
    flock.coordinator.take_masked(first.device, masked, data)
    with pytest.raises(WireError, match="one masked vector"):
        flock.coordinator.take_masked(first.device, masked, data)


def test_a_vector_that_the_setting_does_not_describe_is_not_masked() -> None:
    flock = Flock(3)
    inputs = vectors(flock.setting, 3)
    (first, *_) = flock.until("masked", inputs)
    incoming = flock.coordinator.incoming(first.device)
    for wrong in (inputs[0][:-1], inputs[0].astype(np.int64), inputs[0] | np.uint32(2**20)):
        with pytest.raises(InputError, match="the vector to mask"):
            first.mask(wrong, incoming)
    assert first.mask(inputs[0], incoming)


def test_a_member_keeps_no_secret_after_its_last_step() -> None:
    flock = Flock(3)
    flock.run(vectors(flock.setting, 3))
    member = flock.members[0]
    kept = (member._cipher_key, member._mask_key, member._seed, member._own_share)
    assert all(not any(secret) for secret in kept)
    assert not member._held
    assert not member._agreed


def test_a_dealer_whose_shares_give_nothing_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    flock = Flock(4)
    liar = flock.members[2]
    split = shamir.split

    def spoiled(secret: bytes, *, threshold: int, points: list[int]) -> list[bytes]:
        other = bytes(32) if secret == liar._seed else secret
        return split(other, threshold=threshold, points=points)

    monkeypatch.setattr(shamir, "split", spoiled)
    with pytest.raises(AggregationFailed, match="give no secret back") as failed:
        flock.run(vectors(flock.setting, 4))
    assert failed.value.culprits == (liar.device,)


def test_messages_fold_to_little_more_than_their_bytes_and_nothing_else_unfolds() -> None:
    flock = Flock(30)
    flock.until("shares", [])
    member = flock.members[0]
    shares = member.share(flock.coordinator.key_list(member.device))
    data = envelope.folded(shares)
    assert envelope.unfolded(type(shares), data) == shares
    assert len(data) < 1.05 * (29 * 80 + 30 * 16 + 32) + 80
    bomb = zlib.compress(bytes(2**25))
    for wrong in (data[:-1], data + b"0", b"", b"{}", bomb, zlib.compress(b"{}")):
        with pytest.raises(WireError):
            envelope.unfolded(type(shares), wrong)
