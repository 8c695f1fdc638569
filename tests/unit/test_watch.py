"""An agent notices that its owner edited the policy, that the machine slept, and that its clock was set."""

import logging
from pathlib import Path

import pytest

from client.config import AgentHome
from client.watch import Moment, Watch

POLICY = 'name = "ada"\ncoordinator = "127.0.0.1:1"\nfederation = "works"\nbudget = { epsilon = 1.0, delta = 1e-5 }\n'


class Clock:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.moment = Moment(wall=1000.0, awake=10.0)

    def __call__(self) -> Moment:
        return self.moment

    def move(self, *, wall: float, awake: float) -> None:
        self.moment = Moment(wall=self.moment.wall + wall, awake=self.moment.awake + awake)


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    (tmp_path / "agent.toml").write_text(POLICY)
    return AgentHome(tmp_path)


@pytest.mark.parametrize(("wall", "woken"), [(2.0, 0), (3600.0, 1), (-3600.0, 1), (20.0, 0)])
def test_a_sleep_or_a_clock_that_was_set_is_noticed(home: AgentHome, wall: float, woken: int) -> None:
    woke: list[bool] = []
    clock = Clock()
    watch = Watch(home, on_wake=lambda: woke.append(True), clock=clock)
    clock.move(wall=wall, awake=2.0)
    watch.look()
    watch.look()
    assert len(woke) == woken


def test_an_edited_policy_is_noticed_and_a_broken_one_is_named(
    home: AgentHome, caplog: pytest.LogCaptureFixture
) -> None:
    woke: list[bool] = []
    watch = Watch(home, on_wake=lambda: woke.append(True))
    with caplog.at_level(logging.INFO):
        watch.look()
        home.settings_file.write_text(POLICY + "paused = true\n")
        watch.look()
        home.settings_file.write_text(POLICY + "paused = maybe\n")
        watch.look()
    assert len(woke) == 1
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
    assert "is not TOML" in caplog.text
