"""A federation in one process: the ServerApp, the ClientApp and the ledgers that ship, over an in-process Grid."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, RecordDict
from machines import machine_rows, small_task

from client.app import app
from client.ledger import Ledger
from client.store import AgentStore
from server.app import conduct
from server.records import CampaignRequest, Run
from server.store import Store
from shared.architecture import size
from shared.errors import InputError
from shared.privacy import PrivacyBudget
from shared.tasks import Task, Window
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid, Tamper

DEVICES = ("ada", "ben", "cyd", "dot")


class Rehearsal:
    """A store, four agents, and a grid between them."""

    def __init__(self, folder: Path, task: Task, *, epsilon: float = 50.0) -> None:
        self.task, self.store = task, Store(folder / "covey.db")
        files = {name: folder / f"{name}.parquet" for name in DEVICES}
        for seed, path in enumerate(files.values()):
            machine_rows(400, seed=seed).write_parquet(path)
        budget = PrivacyBudget(epsilon=epsilon, delta=1e-5)
        self.agents = rehearse(self.store, task, files, folder / "agents", budget=budget)

    def campaign(self, *, rounds: int = 2, quorum: int = 2, tamper: Tamper | None = None) -> Run:
        request = CampaignRequest(
            task=self.task.name, window=Window(), training=replace(self.task.training, rounds=rounds),
            base_version=self.store.versions()[-1].number, quorum=quorum, cohort=10, deadline_seconds=5.0,
        )  # fmt: skip
        run = self.store.run(self.store.queue_run(self.task.name, "train", request))
        conduct(LoopbackGrid(app, self.agents, tamper=tamper), self.store, run)
        return self.store.run(run.id)

    def ledger(self, node: int) -> Ledger:
        return Ledger(AgentStore(self.agents[node] / "agent.db"))


@pytest.fixture
def rehearsal(tmp_path: Path) -> Rehearsal:
    return Rehearsal(tmp_path, small_task())


def test_a_campaign_commits_a_version_a_round(rehearsal: Rehearsal) -> None:
    assert rehearsal.campaign(rounds=3).state == "finished"
    rounds, versions = rehearsal.store.rounds(), rehearsal.store.versions()
    assert [r.outcome for r in rounds] == ["committed"] * 3
    assert [r.returned for r in rounds] == [DEVICES] * 3
    assert [(v.number, v.parent) for v in versions] == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert len({v.weights_sha256 for v in versions}) == 4


def test_it_learns(tmp_path: Path) -> None:
    from simulations.demo.central import auc

    task = small_task()
    rehearsal = Rehearsal(tmp_path, task)
    rehearsal.campaign(rounds=10)
    from client.dataset import read_examples
    from shared.architecture import split

    machine_rows(1000, seed=99).write_parquet(tmp_path / "test.parquet")
    test = read_examples(tmp_path / "test.parquet", task, Window())
    weights = np.frombuffer(rehearsal.store.weights(rehearsal.store.versions()[-1].number), "<f4")
    matrix, bias = split(weights, task)
    logits = test.inputs @ matrix.T + bias
    assert auc(logits[:, 1] - logits[:, 0], test.labels) > 0.8


def test_every_device_is_charged_exactly_what_the_plans_say(rehearsal: Rehearsal) -> None:
    from shared.accounting import epsilon

    rehearsal.campaign(rounds=3)
    plans = [result.plan.event for result in rehearsal.store.rounds()]
    for node in rehearsal.agents:
        assert rehearsal.ledger(node).spent(1e-5).epsilon == pytest.approx(epsilon(plans, delta=1e-5))


def _replace_array(values: object) -> Callable[[Message], None]:
    def change(reply: Message) -> None:
        reply.content["array"] = ArrayRecord({"flat": Array(np.asarray(values))})

    return change


def _drop_array(reply: Message) -> None:
    del reply.content["array"]


def _drop_report(reply: Message) -> None:
    del reply.content["report"]


SIZE = size(small_task())
BAD_UPDATES = {
    "NaN": _replace_array(np.full(SIZE, np.nan, np.float32)),
    "infinite": _replace_array(np.full(SIZE, np.inf, np.float32)),
    "huge": _replace_array(np.full(SIZE, 1e30, np.float32)),
    "zero": _replace_array(np.zeros(SIZE, np.float32)),
    "too long": _replace_array(np.ones(SIZE + 1, np.float32)),
    "float64": _replace_array(np.ones(SIZE)),
    "square": _replace_array(np.ones((SIZE, SIZE), np.float32)),
    "no array": _drop_array,
    "no report": _drop_report,
}


@pytest.mark.parametrize("bad", BAD_UPDATES)
def test_a_bad_update_costs_its_sender_not_the_round(rehearsal: Rehearsal, bad: str) -> None:
    liar = min(rehearsal.agents)

    def tamper(node: int, reply: Message) -> Message:
        if node == liar:
            BAD_UPDATES[bad](reply)
        return reply

    assert rehearsal.campaign(rounds=1, tamper=tamper).state == "finished"
    (result,) = rehearsal.store.rounds()
    assert result.outcome == "committed"
    assert result.returned == DEVICES[1:]
    assert list(result.failures) == [DEVICES[0]]
    weights = np.frombuffer(rehearsal.store.weights(2), "<f4")
    assert np.isfinite(weights).all()
    assert np.abs(weights).max() < 10


def test_an_error_reply_and_an_empty_one_cost_their_senders(rehearsal: Rehearsal) -> None:
    first, second, *_ = sorted(rehearsal.agents)

    def tamper(node: int, reply: Message) -> Message:
        if node == first:
            lost = Message(RecordDict(), dst_node_id=node, message_type="train")
            vars(lost.metadata)["_message_id"] = reply.metadata.reply_to_message_id
            return Message(Error(code=2, reason="/home/somebody/secret"), reply_to=lost)
        if node == second:
            reply.content.clear()
        return reply

    rehearsal.campaign(rounds=1, tamper=tamper)
    (result,) = rehearsal.store.rounds()
    assert result.outcome == "committed"
    assert result.failures[DEVICES[0]] == "failed"
    assert "lacks" in result.failures[DEVICES[1]] or "no 'report'" in result.failures[DEVICES[1]]


def test_below_quorum_a_round_is_abandoned_and_weights_stay(rehearsal: Rehearsal) -> None:
    def tamper(node: int, reply: Message) -> Message:
        reply.content.clear()
        return reply

    with pytest.raises(InputError, match="rounds were abandoned"):
        rehearsal.campaign(rounds=1, tamper=tamper)
    assert [r.outcome for r in rehearsal.store.rounds()] == ["abandoned"]
    assert len(rehearsal.store.versions()) == 1
    assert rehearsal.store.runs()[-1].state == "failed"


def test_a_spent_budget_refuses_and_the_round_goes_on(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, small_task())
    settings = rehearsal.agents[min(rehearsal.agents)] / "agent.toml"
    per_round = rehearsal.ledger(min(rehearsal.agents)).spent(1e-5)
    assert per_round.epsilon == 0.0
    settings.write_text(settings.read_text().replace("epsilon = 50.0", "epsilon = 9.0"))
    rehearsal.campaign(rounds=6)
    reasons = [result.refusals.get(DEVICES[0]) for result in rehearsal.store.rounds()]
    assert reasons[0] is None
    assert reasons[-1] == "budget"
    assert all(result.outcome == "committed" for result in rehearsal.store.rounds())
    assert rehearsal.ledger(min(rehearsal.agents)).spent(1e-5).epsilon <= 9.0


def test_a_run_resumes_after_its_last_committed_round(rehearsal: Rehearsal) -> None:
    request = CampaignRequest(
        task="machines", window=Window(), training=replace(rehearsal.task.training, rounds=4, server_momentum=0.9),
        base_version=1, quorum=2, cohort=10, deadline_seconds=5.0,
    )  # fmt: skip
    run_id = rehearsal.store.queue_run("machines", "train", request)
    rounds_seen = 0

    def crash(node: int, reply: Message) -> Message:
        nonlocal rounds_seen
        rounds_seen += node == min(rehearsal.agents)
        if rounds_seen == 3:
            raise KeyboardInterrupt
        return reply

    with pytest.raises(KeyboardInterrupt):
        conduct(LoopbackGrid(app, rehearsal.agents, tamper=crash), rehearsal.store, rehearsal.store.run(run_id))
    assert len(rehearsal.store.rounds(run_id)) == 2
    conduct(LoopbackGrid(app, rehearsal.agents), rehearsal.store, rehearsal.store.run(run_id))
    assert [r.plan.number for r in rehearsal.store.rounds(run_id)] == [1, 2, 3, 4]
    assert [v.parent for v in rehearsal.store.versions()] == [0, 1, 2, 3, 4]


def test_a_plan_outside_the_signed_task_is_refused_by_every_device(rehearsal: Rehearsal) -> None:
    weak = replace(rehearsal.task.training, noise_multiplier=0.1, rounds=1)
    request = CampaignRequest(
        task="machines", window=Window(), training=weak, base_version=1, quorum=1, cohort=10, deadline_seconds=5.0
    )
    run_id = rehearsal.store.queue_run("machines", "train", request)
    with pytest.raises(InputError):
        conduct(LoopbackGrid(app, rehearsal.agents), rehearsal.store, rehearsal.store.run(run_id))
    assert set(rehearsal.store.rounds()[0].refusals.values()) == {"plan"}
    assert all(rehearsal.ledger(node).spent(1e-5).releases == 0 for node in rehearsal.agents)
