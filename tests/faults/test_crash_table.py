"""The table of `make faults`: each life cut short, each disk that fails, each file damaged, and the start after it."""

import pytest
from rich.console import Console

from simulations.faults.__main__ import LEAST, run
from simulations.faults.table import Outcome


def assert_holds(outcomes: list[Outcome]) -> None:
    wrong = [(one.case.name, one.case.at, one.starts, one.serves, one.epsilon, one.files) for one in outcomes]
    assert [one for one, outcome in zip(wrong, outcomes, strict=True) if not outcome.holds] == []


@pytest.mark.parametrize("pattern", ["killed: rollback", "disk full: audit"])
def test_a_few_cases_hold(pattern: str) -> None:
    outcomes, _ = run(pattern, Console(quiet=True))
    assert outcomes
    assert_holds(outcomes)


@pytest.mark.proof
def test_every_case_holds() -> None:
    outcomes, _ = run("*", Console(quiet=True))
    assert len(outcomes) >= LEAST
    assert_holds(outcomes)
