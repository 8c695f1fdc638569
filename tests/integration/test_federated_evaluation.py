"""A version is evaluated on the fleet: charged, counted, merged, and read within its own bars."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from machines import machine_rows, small_task

from client.app import app
from client.dataset import read_columns, read_examples
from client.evaluation import count, scored
from client.ledger import Ledger
from client.store import AgentStore
from server import planning
from server.__main__ import main
from server.app import conduct
from server.evaluated import evaluated, newest
from server.export import export
from server.fairness import fairness
from server.metrics import Cells, auc
from server.records import CampaignRequest, EvaluationResult, Run
from server.rounds import read_weights
from server.spending import charges, spending
from server.store import Store
from shared import messages
from shared.errors import InputError
from shared.evaluation import EvaluationReport
from shared.feeds import to_feeds
from shared.lifecycle import Evaluation
from shared.privacy import PrivacyBudget
from shared.rounds import RefusalReport
from shared.runtime import ask, open_model
from shared.tasks import Window
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid, Tamper

DEVICES = ("ada", "ben", "cyd", "dot")
TASK = small_task(evaluation=Evaluation(noise_multiplier=3.0, score_bins=10), groups=("site",))
LEARNED, LATER = Window(end="2026-01-16"), Window(start="2026-01-16")


class Fleet:
    """A store, four agents with rows of January, and a version that learned the first half of it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "federation"
        self.home.mkdir()
        settings = 'name = "rehearsal"\nhost = "127.0.0.1"\nport = 1\nadmin_port = 2\n'
        (self.home / "federation.toml").write_text(settings, encoding="utf-8")
        self.store = Store(self.home / "covey.db")
        self.files = {name: folder / f"{name}.parquet" for name in DEVICES}
        for seed, path in enumerate(self.files.values()):
            machine_rows(2000, seed=seed).write_parquet(path)
        budget = PrivacyBudget(epsilon=50.0, delta=1e-5)
        self.agents = rehearse(self.store, TASK, self.files, folder / "agents", budget=budget)
        training = replace(TASK.training, rounds=6)
        request = CampaignRequest(
            task=TASK.name, window=LEARNED, training=training, base_version=1, quorum=2, cohort=10, deadline_seconds=5.0
        )
        self.run("train", request)

    def run(self, kind: str, request: object, tamper: Tamper | None = None) -> Run:
        run = self.store.run(self.store.queue_run(TASK.name, kind, request))  # type: ignore[arg-type]
        conduct(LoopbackGrid(app, self.agents, tamper=tamper), self.store, run)
        return self.store.run(run.id)

    def evaluate(self, *, version: int | None = None, tamper: Tamper | None = None) -> EvaluationResult:
        request = planning.evaluation(self.store, TASK, version=version, window=None, quorum=2, deadline_seconds=5.0)
        run = self.run("evaluate", request, tamper)
        return next(each for each in self.store.evaluations() if each.run_id == run.id)

    def exact(self, version: int, window: Window) -> Cells:
        """What the devices' rows come to without noise; only a test may know."""
        weights = read_weights(self.store, version)
        counts = np.zeros(3 * 2 * 10, np.int64)
        for path in self.files.values():
            columns, labels = read_columns(path, TASK, window)
            inputs = read_examples(path, TASK, window).inputs
            counts += count(TASK, columns, labels, scored(TASK, weights, inputs), bins=10)
        shaped = counts.reshape(3, 2, 10).astype(float)
        return Cells(
            groups=("north", "south", "other"), counts=shaped, noise=np.zeros_like(shaped),
            edges=tuple(edge / 10 for edge in range(11)),
        )  # fmt: skip


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"))


def test_it_counts_the_rows_after_those_that_were_learned(fleet: Fleet) -> None:
    result = fleet.evaluate()
    exact = fleet.exact(result.version, LATER)
    assert (result.devices, result.window) == (4, LATER)
    found = np.array(result.cells.counts).reshape(exact.counts.shape)
    # Twelve standard deviations of the merged noise.
    assert np.abs(found - exact.counts).max() <= 12 * result.cells.noise
    assert result.cells.noise == pytest.approx(3.0 * 2)
    assert exact.counts.sum() == pytest.approx(found.sum(), abs=12 * result.cells.noise * 60**0.5)


def test_the_figures_hold_the_true_ones_within_their_bars(fleet: Fleet) -> None:
    result = fleet.evaluate()
    exact, found = fleet.exact(result.version, LATER), evaluated(fleet.store, result, threshold=None)
    true = auc(exact).value
    assert true > 0.8
    # The bars are for 95 of 100; twice as wide, a draw outside them is one in ten thousand.
    assert found.auc.tells
    assert abs(found.auc.value - true) <= 2 * found.auc.band
    groups = fairness(exact, 0.5).groups
    for one, other in zip(found.fairness.groups[:2], groups[:2], strict=True):
        assert abs(one.recall.value - other.recall.value) <= 2 * one.recall.band
    assert str(found.fairness.groups[2].recall) == "cannot tell"


def test_numpy_scores_as_the_release_would(fleet: Fleet) -> None:
    weights = read_weights(fleet.store, fleet.store.versions()[-1].number)
    columns, _ = read_columns(fleet.files["ada"], TASK, LATER)
    released = ask(open_model(export(TASK, weights, version=1)), to_feeds(TASK, columns))[:, -1]
    ours = scored(TASK, weights, read_examples(fleet.files["ada"], TASK, LATER).inputs)
    assert np.abs(released - ours).max() < 1e-5


def test_each_device_pays_for_it_and_the_coordinator_counts_it(fleet: Fleet) -> None:
    before = charges(TASK, fleet.store.devices(), fleet.store.rounds(), fleet.store.runs())
    result = fleet.evaluate()
    after = charges(TASK, fleet.store.devices(), fleet.store.rounds(), fleet.store.runs())
    assert [one.surveys + 1 for one in before] == [one.surveys for one in after]
    for path in fleet.agents.values():
        store = AgentStore(path / "agent.db")
        newest_charge = store.charges()[-1]
        assert newest_charge.purpose == f"evaluation of version {result.version}, {LATER}"
        assert [event.noise_multiplier for event in store.events_of(newest_charge.id)] == [3.0]
        own = Ledger(store).spent(1e-5).epsilon
        store.close()
        assert spending(TASK, fleet.store.devices(), fleet.store.rounds(), fleet.store.runs())[0].epsilon == (
            pytest.approx(own)
        )


LIES: dict[str, Callable[[EvaluationReport], EvaluationReport]] = {
    "half the noise": lambda report: replace(report, cells=replace(report.cells, noise=report.cells.noise / 2)),
    "other edges": lambda report: replace(report, cells=replace(report.cells, edges=report.cells.edges[:-1])),
    "fewer cells": lambda report: replace(report, cells=replace(report.cells, counts=report.cells.counts[:-1])),
    "another name": lambda report: replace(report, cells=replace(report.cells, name="score")),
    "another run": lambda report: replace(report, run_id=report.run_id + 1),
    "another version": lambda report: replace(report, version=report.version - 1),
    "below all noise": lambda report: replace(
        report, cells=replace(report.cells, counts=(-100.0, *report.cells.counts[1:]))
    ),
    "more rows than there are": lambda report: replace(
        report, cells=replace(report.cells, counts=(1e12, *report.cells.counts[1:]))
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_report_that_is_none_costs_its_sender_alone(fleet: Fleet, lie: str) -> None:
    def tamper(node: int, reply: Message) -> Message:
        if node == min(fleet.agents):
            report = messages.unpack(reply.content, "cells", EvaluationReport)
            reply.content = messages.pack("cells", LIES[lie](report))
        return reply

    result = fleet.evaluate(tamper=tamper)
    assert (result.devices, result.cells.noise) == (3, pytest.approx(3.0 * 3**0.5))


def test_too_few_answers_are_no_evaluation(fleet: Fleet) -> None:
    def silent(_: int, reply: Message) -> Message:
        reply.content = messages.pack("refusal", RefusalReport(category="budget"))
        return reply

    with pytest.raises(InputError, match=r"0 devices answered the evaluation, 2 are needed \(budget\)"):
        fleet.evaluate(tamper=silent)
    assert fleet.store.runs()[-1].state == "failed"


def test_rows_that_were_learned_are_refused_by_name(fleet: Fleet) -> None:
    with pytest.raises(
        InputError, match=r"has learned rows of the beginning to 2026-01-16, .* --window 2026-01-16\.\."
    ):
        planning.evaluation(
            fleet.store, TASK, version=None, window=Window(start="2026-01-10"), quorum=2, deadline_seconds=5.0
        )
    untrained = planning.evaluation(fleet.store, TASK, version=1, window=None, quorum=2, deadline_seconds=5.0)
    assert untrained.window == Window()


def test_the_command_line_asks_and_shows(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    result = fleet.evaluate()

    def covey(*words: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["covey", *words, "--home", str(fleet.home)])
            with pytest.raises(SystemExit) as left:
                main()
        assert left.value.code in (0, None)
        return capsys.readouterr().out

    shown = covey("fairness", str(result.version))
    assert f"Version {result.version} on 2026-01-16 to now, 4 devices" in shown
    assert "too small to tell: other" in shown
    document = json.loads(covey("fairness", "--json"))
    assert document["auc"]["low"] <= document["auc"]["value"] <= document["auc"]["high"]
    assert newest(fleet.store, TASK.name, None).run_id == document["run_id"]
    queued = json.loads(covey("evaluate", "--json"))
    assert (queued["kind"], queued["state"]) == ("evaluate", "queued")
    fleet.store.set_run_state(queued["id"], "stopped")
