"""What an operator reads of the contract: the count of each rule with its noise, in the terminal and on the command line."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from screens.conftest import Open, settled, text_of

from client.drift import report
from server import __main__ as covey_main
from server.planning import survey
from server.records import SurveyRequest, SurveyResult
from server.store import Store
from server.surveys import _compare, plan_survey
from server.tui.header import VIEWS
from shared.drift import CONTRACT, DriftReport, SurveyPlan
from shared.tasks import Task, Window


def counted(task: Task, plan: SurveyPlan, rows: Sequence[int]) -> DriftReport:
    columns = {name: np.zeros(0) for name in (*task.numbers, *task.texts)}
    scores = np.zeros((0, len(task.label.classes)))
    return report(plan, task, columns=columns, scores=scores, cells={CONTRACT: np.array(rows)})


@pytest.fixture
def surveyed(idle: Path) -> Path:
    """The story, and a survey in which two devices' rows lay outside temp's range."""
    store = Store(idle / "covey.db")
    task = store.task("flights")
    request = survey(
        store, task, window=Window(), role="current", features=True, quorum=None, deadline_seconds=1.0
    )  # fmt: skip
    assert request.contract
    run = store.queue_run(task.name, "survey", request)
    plan = plan_survey(run, task, request)
    rules = [rule.name for rule in task.contract.rules]
    rows = [4000 if name == "temp outside its range" else 0 for name in rules] + [100_000]
    result = _compare(store, task, plan, [counted(task, plan, rows) for _ in range(2)])
    assert len(result.rules) == len(rules) + 1
    store.close()
    return idle


async def test_the_drift_view_names_the_rules_that_rows_break(opened: Open, surveyed: Path) -> None:
    async with opened(surveyed).run_test(size=(140, 60)) as pilot:
        app = await settled(pilot)
        await pilot.press(str(list(VIEWS).index("Drift") + 1))
        await pilot.pause()
        # Noise alone may lift another rule's count over its band once in a while.
        assert re.search(r"\b[1-9]\d* broken", text_of(app))
        app.query_one("#shifts").focus()
        await pilot.press("G")
        await pilot.pause()
        shown = text_of(app)
        assert "temp outside its range: 8,0" in shown or "temp outside its range: 7,9" in shown
        assert "± 55" in shown  # 1.96 · 20 · sqrt(2)
        assert "keeps the contract: " in shown


def test_covey_drift_says_the_counts_to_people_and_to_programs(
    surveyed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((), ("--json",)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["covey", "drift", *words, "--home", str(surveyed)])
            with pytest.raises(SystemExit):
                covey_main.main()
    said = capsys.readouterr().out
    assert "rows: temp outside its range: " in said
    found = json.loads(said[said.index("[") :])[-1]["rules"]
    temp = next(rule for rule in found if rule["rule"] == "temp outside its range")
    assert temp["rows"] == pytest.approx(8000, abs=8 * 20 * 2**0.5)
    assert temp["noise"] == pytest.approx(20 * 2**0.5)


def test_a_survey_of_an_older_covey_is_read_without_rules(surveyed: Path) -> None:
    store = Store(surveyed / "covey.db")
    old, *_, new = store.surveys()
    assert (old.rules, bool(new.rules)) == ((), True)
    assert replace(old, run_id=99) != old
    assert isinstance(old, SurveyResult)
    store.close()


def test_a_survey_of_the_score_alone_leaves_the_contract_out(told: Path) -> None:
    store = Store(told / "covey.db")
    task = store.task("flights")
    alone: SurveyRequest = survey(
        store, task, window=Window(), role="current", features=False, quorum=None, deadline_seconds=1.0
    )
    assert (alone.contract, alone.outcomes) == (False, False)
    assert len(plan_survey(1, task, alone).events) == 1
    store.close()
