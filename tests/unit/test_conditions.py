"""When a device takes part is decided by the machine and its owner, and by nothing else."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import time
from pathlib import Path

import psutil
import pytest

from client import conditions
from client.conditions import Machine, objection, within
from client.settings import Conditions
from shared.errors import NotNow

READY = Machine(busy_share=0.0, on_battery=False, metered=False, clock=time(12))
STRICT = Conditions(idle_only=True, mains_only=True, unmetered_only=True, hours="09:00-17:00")


def test_a_machine_that_fits_every_condition_takes_part() -> None:
    assert objection(STRICT, READY) is None
    conditions.check(STRICT, lambda: READY)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"on_battery": True}, "on battery"),
        ({"on_battery": None}, "does not say"),
        ({"metered": True}, "is metered"),
        ({"metered": None}, "does not say"),
        ({"busy_share": 0.9}, "90% of the processors"),
        ({"clock": time(8, 59)}, "it is 08:59"),
        ({"clock": time(17)}, "it is 17:00"),
    ],
)
def test_what_does_not_fit_is_named_for_the_owner_and_is_one_word_for_the_operator(
    change: dict[str, object], why: str
) -> None:
    with pytest.raises(NotNow, match=why) as refusal:
        conditions.check(STRICT, lambda: replace(READY, **change))  # type: ignore[arg-type]
    assert refusal.value.category == "not-now"


def test_without_conditions_nobody_looks_at_the_machine() -> None:
    def look() -> Machine:
        raise AssertionError("nobody asked")

    conditions.check(Conditions(), look)


@pytest.mark.parametrize(("now", "inside"), [(time(23), True), (time(3), True), (time(6), False), (time(12), False)])
def test_hours_may_pass_midnight(now: time, *, inside: bool) -> None:
    assert within(now, time(22), time(6)) is inside


@pytest.mark.parametrize("hours", ["22:00", "22-25", "a-b", "08:00-08:00", "8 bis 9", "-"])
def test_hours_that_no_clock_shows_are_refused(hours: str) -> None:
    with pytest.raises(ValueError, match="hours must be two times"):
        Conditions(hours=hours)


def test_this_machine_can_be_looked_at() -> None:
    machine = conditions.read_machine()
    assert 0 <= machine.busy_share <= 1
    assert machine.on_battery in (True, False, None)


@pytest.mark.parametrize(
    ("states", "expected"),
    [({"2": "[device]\nmetered=1\n"}, True), ({"2": "metered=2\n"}, False), ({"2": "metered=4\n", "3": "metered=3\n"}, True), ({"2": "managed=1\n"}, None)],
)  # fmt: skip
def test_a_metered_network_is_known_from_network_manager(
    tmp_path: Path, states: dict[str, str], *, expected: bool | None
) -> None:
    for name, text in states.items():
        (tmp_path / name).write_text(text)
    assert conditions.metered(tmp_path) is expected
    assert conditions.metered(tmp_path / "absent") is None


def test_a_niced_training_does_not_make_the_machine_look_busy() -> None:
    """Else `not-now` would tell how long the last round took, and that depends on the rows."""
    burn = "import os; os.nice(10)\nwhile True: pass"
    trainings = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(os.cpu_count() or 1)]
    try:
        busy, niced = next(seen for seen in (beside() for _ in range(60)) if seen[1] > 0.3)
    finally:
        for training in trainings:
            training.kill()
            training.wait()
    assert busy < 1 - niced / 2, "work that steps back was counted"


def beside() -> tuple[float, float]:
    """The busy share, and how much of the processors' time niced work took meanwhile: others may be at work here too."""
    before = psutil.cpu_times()
    busy = conditions.read_machine().busy_share
    after = psutil.cpu_times()
    return busy, (after.nice - before.nice) / (sum(after) - sum(before))
