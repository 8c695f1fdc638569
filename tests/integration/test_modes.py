"""Rounds whose noise is shared out or added by the coordinator: the shipping apps and ledgers, over an in-process grid."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Error, Message, RecordDict
from machines import machine_rows, small_task

from client.app import app
from client.dataset import read_examples
from client.ledger import Ledger
from client.light import contribution
from client.store import AgentStore
from server import planning
from server.app import conduct
from server.records import CampaignRequest, Run
from server.store import Store
from shared import wire
from shared.accounting import epsilon
from shared.architecture import initial_weights
from shared.errors import InputError
from shared.modes import Central, Distributed, Mode
from shared.noise import CipherStream
from shared.privacy import PrivacyBudget, SampledGaussian
from shared.tasks import Task, Window
from shared.training import Training
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid, Tamper

DEVICES = ("ada", "ben", "cyd", "dot", "eva")
TRAINING = Training(
    rounds=2, sample_rate=1.0, steps=1, normalizer=400.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=4.0,
    max_update_norm=0.5,
)  # fmt: skip
QUIET = replace(TRAINING, noise_multiplier=1e-3)


def distributed(training: Training = TRAINING) -> Distributed:
    return Distributed(
        training=training, min_cohort=3, threshold=0.7, colluders=0.1, min_noise_multiplier=1e-3, bits=32
    )


def loose_task(**changes: object) -> Task:
    """A small task whose ceiling leaves room for rounds with next to no noise."""
    return small_task(privacy=replace(small_task().privacy, epsilon=1e9), **changes)


class Federation:
    """A store, five agents, and a grid between them."""

    def __init__(self, folder: Path, task: Task, *, epsilon: float = 1e9) -> None:
        self.task, self.store = task, Store(folder / "covey.db")
        self.files = {name: folder / f"{name}.parquet" for name in DEVICES}
        for seed, path in enumerate(self.files.values()):
            machine_rows(100 + 20 * seed, seed=seed).write_parquet(path)
        budget = PrivacyBudget(epsilon=epsilon, delta=1e-5)
        self.agents = rehearse(self.store, task, self.files, folder / "agents", budget=budget)

    def trust(self, word: str) -> None:
        for path in self.agents.values():
            file = path / "agent.toml"
            file.write_text(file.read_text().replace('trust = "sums"', f'trust = "{word}"'))

    def campaign(self, mode: Mode, *, tamper: Tamper | None = None, deadline: float = 20.0) -> Run:
        training = self.task.training_in(mode)
        assert training is not None
        request = CampaignRequest(
            task=self.task.name, window=Window(), training=training, base_version=1, quorum=1, cohort=len(DEVICES),
            deadline_seconds=deadline, mode=mode,
        )  # fmt: skip
        run = self.store.run(self.store.queue_run(self.task.name, "train", request))
        conduct(LoopbackGrid(app, self.agents, tamper=tamper), self.store, run)
        return self.store.run(run.id)

    def ledger(self, name: str) -> Ledger:
        node = dict(zip(DEVICES, sorted(self.agents), strict=True))[name]
        return Ledger(AgentStore(self.agents[node] / "agent.db"))

    def expected(self, names: tuple[str, ...], weights: np.ndarray) -> np.ndarray:
        """The noiseless mean of what the named devices contribute."""
        training = self.task.training_in("distributed") or self.task.training_in("central")
        assert training is not None
        from server.plans import plan_round

        request = CampaignRequest(
            task=self.task.name, window=Window(), training=training, base_version=1, quorum=1, cohort=1,
            deadline_seconds=1.0,
        )  # fmt: skip
        plan = plan_round(1, 1, self.task, 1, request)
        parts = [
            contribution(
                plan, self.task, weights, read_examples(self.files[name], self.task, Window()), CipherStream(b"k" * 32)
            )
            for name in names
        ]
        return np.mean(parts, axis=0)


def moved(federation: Federation) -> np.ndarray:
    """By how much the last round moved the weights."""
    before, after = (np.frombuffer(federation.store.weights(number), "<f4") for number in (1, 2))
    return after.astype(np.float64) - before


@pytest.fixture
def quiet(tmp_path: Path) -> Federation:
    return Federation(tmp_path, loose_task(distributed=distributed(replace(QUIET, rounds=1))))


def test_the_sum_is_that_of_what_the_devices_contribute(quiet: Federation) -> None:
    assert quiet.campaign("distributed").state == "finished"
    (result,) = quiet.store.rounds()
    assert (result.outcome, result.returned) == ("committed", DEVICES)
    expected = quiet.expected(DEVICES, initial_weights(quiet.task))
    assert np.linalg.norm(expected) > 0.05
    assert moved(quiet) == pytest.approx(expected, abs=1e-4)


def silent(grid_nodes: dict[str, int], steps: dict[str, str]) -> Tamper:
    """Let each named device vanish from a step on."""
    order = ["query.keys", "query.shares", "train", "query.agree", "query.unmask"]
    gone = {grid_nodes[name]: order.index(step) for name, step in steps.items()}

    def tamper(node: int, reply: Message) -> Message:
        if node in gone and order.index(reply.metadata.message_type) >= gone[node]:
            asked = Message(RecordDict(), dst_node_id=node, message_type=reply.metadata.message_type)
            vars(asked.metadata)["_message_id"] = reply.metadata.reply_to_message_id
            return Message(Error(code=5), reply_to=asked)
        return reply

    return tamper


@pytest.mark.parametrize("step", ["query.keys", "query.shares", "train", "query.agree", "query.unmask"])
def test_a_device_may_vanish_at_any_step(quiet: Federation, step: str) -> None:
    nodes = dict(zip(DEVICES, sorted(quiet.agents), strict=True))
    assert quiet.campaign("distributed", tamper=silent(nodes, {"ben": step})).state == "finished"
    (result,) = quiet.store.rounds()
    left = DEVICES if step in ("query.agree", "query.unmask") else tuple(name for name in DEVICES if name != "ben")
    assert (result.outcome, result.returned) == ("committed", left)
    assert moved(quiet) == pytest.approx(quiet.expected(left, initial_weights(quiet.task)), abs=1e-4)
    assert "went away" in result.failures["ben"]


def test_below_the_threshold_nothing_is_unmasked_and_the_round_says_at_which_step(tmp_path: Path) -> None:
    federation = Federation(tmp_path, loose_task(distributed=distributed(replace(QUIET, rounds=1))))
    nodes = dict(zip(DEVICES, sorted(federation.agents), strict=True))
    with pytest.raises(InputError, match="abandoned"):
        federation.campaign("distributed", tamper=silent(nodes, {"ben": "train", "cyd": "train"}))
    (result,) = federation.store.rounds()
    assert (result.outcome, result.returned) == ("abandoned", ())
    assert "the step masked" in result.failures["(the round)"]
    assert len(federation.store.versions()) == 1


def test_each_level_is_charged_at_the_worst_case(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_task(distributed=distributed()))
    federation.campaign("distributed")
    plan = federation.store.rounds()[0].plan
    assert plan.secure is not None
    assert plan.secure.noise.honest == 4 - 1
    for level in ("record", "device", "alone"):
        events = plan.cost.times(2).at(level)
        assert federation.ledger("ada").spent(1e-5, level=level).epsilon == epsilon(events, delta=1e-5)
    record = SampledGaussian(noise_multiplier=4.0, sample_rate=1.0, steps=2)
    assert federation.ledger("ada").spent(1e-5).epsilon == pytest.approx(epsilon([record], delta=1e-5), rel=1e-6)


def test_nothing_but_keys_shares_and_masked_vectors_leaves(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_task(distributed=distributed(replace(TRAINING, rounds=1))))
    seen: dict[str, set[str]] = {}

    def look(_: int, reply: Message) -> Message:
        seen.setdefault(reply.metadata.message_type, set()).update(reply.content.keys())
        return reply

    federation.campaign("distributed", tamper=look)
    assert seen == {
        "query.keys": {"offer"}, "query.shares": {"shares"}, "train": {"masked", "data"}, "query.agree": {"agreement"},
        "query.unmask": {"reveal"},
    }  # fmt: skip


def test_central_noise_needs_an_owner_who_trusts_the_coordinator(tmp_path: Path) -> None:
    central = Central(training=replace(QUIET, rounds=1), min_noise_multiplier=1e-3, unit="record")
    federation = Federation(tmp_path, loose_task(central=central))
    with pytest.raises(InputError, match="abandoned"):
        federation.campaign("central")
    assert set(federation.store.rounds()[0].refusals.values()) == {"plan"}
    assert federation.ledger("ada").spent(1e-5).releases == 0


def test_central_rounds_move_as_the_devices_contributed(tmp_path: Path) -> None:
    central = Central(training=replace(QUIET, rounds=1), min_noise_multiplier=1e-3, unit="record")
    federation = Federation(tmp_path, loose_task(central=central))
    federation.trust("coordinator")
    federation.campaign("central")
    assert moved(federation) == pytest.approx(federation.expected(DEVICES, initial_weights(federation.task)), abs=1e-4)
    assert federation.ledger("ada").spent(1e-5, level="alone").epsilon == float("inf")


def test_correlated_noise_asks_a_device_no_more_often_than_it_paid_for(tmp_path: Path) -> None:
    training = replace(TRAINING, rounds=3, steps=3, sample_rate=0.5, noise_multiplier=8.0)
    central = Central(training=training, min_noise_multiplier=1.0, noise="correlated", participations=2, separation=2)
    federation = Federation(tmp_path, loose_task(central=central))
    federation.trust("coordinator")
    run_quorum(federation, "central", cohort=3)
    rounds = [result for result in federation.store.rounds() if result.outcome == "committed"]
    assert len(rounds) == 3
    taken = [[name for name in DEVICES if name in result.returned] for result in rounds]
    for earlier, later in pairwise(taken):
        assert not set(earlier) & set(later)
    for name in DEVICES:
        if spent := federation.ledger(name).spent(1e-5, level="device").epsilon:
            assert spent == epsilon(rounds[0].plan.cost.device, delta=1e-5)


def run_quorum(federation: Federation, mode: Mode, *, cohort: int) -> Run:
    training = federation.task.training_in(mode)
    assert training is not None
    request = CampaignRequest(
        task=federation.task.name, window=Window(), training=training, base_version=1, quorum=1, cohort=cohort,
        deadline_seconds=20.0, mode=mode,
    )  # fmt: skip
    run = federation.store.run(federation.store.queue_run(federation.task.name, "train", request))
    conduct(LoopbackGrid(app, federation.agents), federation.store, run)
    return run


def test_an_adaptive_bound_moves_towards_its_quantile(tmp_path: Path) -> None:
    training = replace(TRAINING, rounds=6, steps=2, sample_rate=0.5, max_update_norm=50.0, noise_multiplier=1.5)
    central = Central(training=training, min_noise_multiplier=1.0, quantile=0.5)
    federation = Federation(tmp_path, loose_task(central=central))
    federation.trust("coordinator")
    federation.campaign("central")
    bounds = [result.plan.max_update_norm for result in federation.store.rounds()]
    assert bounds[-1] < bounds[0]
    assert all(result.within is not None for result in federation.store.rounds())


def test_a_reserved_campaign_is_paid_for_at_its_start(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_task(), epsilon=50.0)
    request = CampaignRequest(
        task="machines", window=Window(), training=federation.task.training, base_version=1, quorum=1, cohort=5,
        deadline_seconds=20.0, reserve=True,
    )  # fmt: skip
    run = federation.store.run(federation.store.queue_run("machines", "train", request))
    paid: list[float] = []
    ada = min(federation.agents)

    def look(node: int, reply: Message) -> Message:
        if node == ada:
            paid.append(federation.ledger("ada").spent(1e-5).epsilon)
        return reply

    conduct(LoopbackGrid(app, federation.agents, tamper=look), federation.store, run)
    assert len(paid) == 2
    assert paid[0] == paid[1] > 0
    assert federation.ledger("ada").spent(1e-5).releases == 2
    from server.spending import charges

    (spent, *_) = charges(federation.task, federation.store.devices(), federation.store.rounds(), [])
    assert epsilon(spent.events, delta=1e-5) == pytest.approx(paid[0])


@pytest.mark.parametrize(
    ("mode", "change", "words"),
    [
        ("distributed", {"noise_multiplier": 1e-4}, "noise_multiplier must be at least"),
        ("central", {}, r"no \[central\] table"),
        ("distributed", {"max_grad_norm": 2.0}, "max_grad_norm must be at most"),
    ],
)
def test_what_devices_would_refuse_is_refused_to_the_operator(
    quiet: Federation, mode: Mode, change: dict[str, float], words: str
) -> None:
    def plan() -> CampaignRequest:
        training = replace(planning.training_in(quiet.task, mode), **change)
        return planning.campaign(
            quiet.store, quiet.task, window=Window(), training=training, base_version=1, quorum=None, cohort=None,
            deadline_seconds=5.0, mode=mode,
        )  # fmt: skip

    with pytest.raises(InputError, match=words):
        plan()


def test_without_a_roster_nobody_is_asked(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_task(distributed=distributed()))
    federation.store._do("DELETE FROM rosters")
    with pytest.raises(InputError, match="`covey roster` signs one"):
        federation.campaign("distributed")


def test_a_device_that_the_roster_does_not_name_is_not_asked(quiet: Federation) -> None:
    roster = quiet.store.roster()
    assert roster is not None
    short = replace(roster, number=2, devices={name: key for name, key in roster.devices.items() if name != "eva"})
    quiet.store.keep_roster(short)
    for path in quiet.agents.values():
        (path / "roster.json").write_bytes(wire.to_json(short))
    quiet.campaign("distributed")
    assert quiet.store.rounds()[0].cohort == DEVICES[:-1]


def test_a_cohort_that_the_roster_does_not_name_is_refused_to_the_operator(quiet: Federation) -> None:
    def plan() -> CampaignRequest:
        return planning.campaign(
            quiet.store, quiet.task, window=Window(), training=planning.training_in(quiet.task, "distributed"),
            base_version=1, quorum=None, cohort=None, deadline_seconds=5.0, mode="distributed",
        )  # fmt: skip

    assert plan().cohort == len(DEVICES)
    roster = quiet.store.roster()
    assert roster is not None
    short = {name: key for name, key in roster.devices.items() if name != "eva"}
    quiet.store.keep_roster(replace(roster, number=2, devices=short))
    with pytest.raises(InputError, match=r"names 4 of the 5 approved devices.*`covey roster` signs a newer one"):
        plan()
