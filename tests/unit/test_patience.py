"""When a device tries again, and when "no" is the answer."""

from random import Random

import pytest

from client.patience import Declined, Link, pause, rest, verdict


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
    assert max(pause(10_000, "unreachable", random=Random(seed)) for seed in range(50)) <= 300.0
    assert pause(10_000, "revoked", random=Random(0)) <= 60.0
    assert len({pause(5, "unreachable", random=Random(seed)) for seed in range(50)}) > 40


class Night:
    """An event that nobody sets, on a machine whose wall clock runs ahead while it sleeps."""

    def __init__(self, slept: float) -> None:
        self.awake, self.wall, self.slept = 0.0, 1000.0, slept

    def wait(self, seconds: float) -> bool:
        self.awake += seconds
        self.wall += seconds + self.slept
        return False

    def is_set(self) -> bool:
        return False


@pytest.mark.parametrize(("slept", "waited"), [(0.0, 200.0), (28_800.0, 5.0), (-28_800.0, 5.0)])
def test_a_machine_that_slept_does_not_sleep_its_pause_out(
    monkeypatch: pytest.MonkeyPatch, slept: float, waited: float
) -> None:
    night = Night(slept)
    monkeypatch.setattr("client.patience.time.monotonic", lambda: night.awake)
    monkeypatch.setattr("client.patience.time.time", lambda: night.wall)
    assert rest(night, 200.0) is False  # type: ignore[arg-type]
    assert night.awake == pytest.approx(waited)
