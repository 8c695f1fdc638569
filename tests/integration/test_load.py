"""A small load, with everything in it that the large ones have."""

from pathlib import Path

from simulations.load.measure import Wanted, measure


def test_a_swarm_of_eight_plays_two_rounds(tmp_path: Path) -> None:
    said: list[str] = []
    wanted = Wanted(devices=8, cohort=5, rounds=2, idle_seconds=0.5)
    load = measure(wanted, tmp_path, said.append)
    assert [(result.outcome, len(result.returned)) for result in load.rounds] == [("committed", 5)] * 2
    assert (load.failed_rounds, load.lost) == (0, 0)
    assert load.requests >= load.messages * 10
    assert load.coordinator_cpu > 0
    assert load.run_cpu > 0
    assert set(load.memory) >= {0, 2}
    assert said
