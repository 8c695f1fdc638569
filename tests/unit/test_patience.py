"""When a device tries again, and when "no" is the answer."""

from random import Random

import pytest

from client.patience import Declined, Link, pause, verdict


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, b'{"reason": "pending"}', "pending"),
        (403, b'{"reason": "revoked"}', "revoked"),
        (412, b'{"code": 2004, "message": "Failed to activate SuperNode."}', "rejoining"),
        (401, b'{"reason": "unknown"}', "unknown"),
        (500, b"", "unreachable"),
        (503, b'{"reason": "starting"}', "unreachable"),
        (429, b"[]", "unreachable"),
    ],
)
def test_an_answer_that_may_change_is_waited_for(status: int, body: bytes, expected: Link) -> None:
    assert verdict(status, body) == expected


@pytest.mark.parametrize(("status", "body"), [(403, b'{"code": 2007}'), (403, b"<html>"), (404, b""), (413, b"")])
def test_an_answer_that_will_not_change_is_taken(status: int, body: bytes) -> None:
    with pytest.raises(Declined, match=str(status)):
        verdict(status, body)


def test_pauses_double_up_to_a_limit_and_differ_from_device_to_device() -> None:
    longest = [max(pause(attempt, "unreachable", random=Random(seed)) for seed in range(50)) for attempt in range(9)]
    assert longest == sorted(longest)
    assert longest[-1] <= 10.0
    assert pause(10_000, "revoked", random=Random(0)) <= 60.0
    assert len({pause(5, "unreachable", random=Random(seed)) for seed in range(50)}) > 40
