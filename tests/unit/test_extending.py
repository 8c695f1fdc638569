"""What `docs/extending.md` says: its files are taken from the page, and each rehearses a campaign with the code that ships."""

import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from machines import machine_rows, small_task

from client.app import app
from client.dataset import read_examples
from client.light import network as light
from client.light import train as light_train
from client.training import train as opacus_train
from server import robust, strategy
from server.app import conduct
from server.records import CampaignRequest
from server.store import Store
from shared import architecture, network, wire
from shared.aggregation import Aggregation
from shared.architecture import initial_weights, shapes, size
from shared.errors import InputError, WireError
from shared.noise import CipherStream
from shared.privacy import PrivacyBudget
from shared.tasks import Architecture, Task, Window
from shared.training import Training
from simulations import extending
from simulations.cohort import rehearse
from simulations.fleet.synthetic import Synthetic
from simulations.loopback import LoopbackGrid

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
FILES = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
TABLES = (wire.ALSO, architecture.SHAPES, network.MODULES, light.LAYERS, robust.RULES, strategy.STRATEGIES)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """A process knows what it has read until it ends; the other tests of this one must not."""
    before = [dict(table) for table in TABLES]
    yield
    for table, entries in zip(TABLES, before, strict=True):
        table.clear()
        table.update(entries)


def write(folder: Path, name: str, text: str | None = None) -> Path:
    path = folder / name
    path.write_text(FILES[name] if text is None else text, encoding="utf-8")
    return path


def with_training(task: Task, **changes: object) -> Task:
    return replace(task, training=replace(task.training, **changes))  # type: ignore[arg-type]


def learned(folder: Path, task: Task, *, rounds: int = 10) -> tuple[float, Store]:
    """The AUC on fresh rows of what four devices learn together, and the coordinator's store."""
    import torch

    from simulations.demo.central import auc

    store, files = (
        Store(folder / "covey.db"),
        {name: folder / f"{name}.parquet" for name in ("ada", "ben", "cyd", "dot")},
    )
    for seed, path in enumerate(files.values()):
        machine_rows(400, seed=seed).write_parquet(path)
    agents = rehearse(store, task, files, folder / "agents", budget=PrivacyBudget(epsilon=50.0, delta=1e-5))
    request = CampaignRequest(
        task=task.name, window=Window(), training=replace(task.training, rounds=rounds), base_version=1, quorum=4,
        cohort=4, deadline_seconds=5.0,
    )  # fmt: skip
    conduct(LoopbackGrid(app, agents), store, store.run(store.queue_run(task.name, "train", request)))
    machine_rows(1000, seed=99).write_parquet(folder / "test.parquet")
    test = read_examples(folder / "test.parquet", task, Window())
    built = network.build(task)
    network.load(built, np.frombuffer(store.weights(store.versions()[-1].number), "<f4"), task)
    with torch.no_grad():
        logits = built(torch.from_numpy(test.inputs)).numpy()
    return auc(logits[:, 1] - logits[:, 0], test.labels), store


def test_the_page_has_a_file_of_each_kind() -> None:
    assert list(FILES) == ["my_net.py", "by_hand.py", "fedadam.py", "centred.py"]


def test_a_network_of_ones_own_learns(tmp_path: Path) -> None:
    added = extending.load(write(tmp_path, "my_net.py"))
    assert added == extending.Added(networks=("relu",), strategies=(), rules=())
    task = small_task(architecture=Architecture(kind="relu", hidden=(16,)))  # type: ignore[arg-type]
    assert shapes(task) == ((16, task.inputs), (16,), (2, 16), (2,))
    found, store = learned(tmp_path, task)
    assert found > 0.8
    assert [result.outcome for result in store.rounds()] == ["committed"] * 10
    assert not light.is_known(task)


def test_a_strategy_of_ones_own_learns_and_remembers(tmp_path: Path) -> None:
    extending.load(write(tmp_path, "fedadam.py"))
    task = with_training(small_task(), strategy="fedadam", server_learning_rate=0.1, server_momentum=0.9)
    found, store = learned(tmp_path, task)
    assert found > 0.8
    kept = np.frombuffer(store.momentum(1) or b"", "<f4")
    assert len(kept) == 2 * size(task)
    assert (kept[size(task) :] >= 0).all()
    assert kept.any()


def test_a_rule_of_ones_own_learns(tmp_path: Path) -> None:
    extending.load(write(tmp_path, "centred.py"))
    rule = Aggregation(kind="centred-clip", assumed_byzantine=1)  # type: ignore[arg-type]
    votes = np.concatenate([np.ones((4, 3), np.float32), np.full((1, 3), 1e6, np.float32)])
    assert np.abs(robust.aggregate(votes, rule) - 1).max() < 1e-6
    found, _ = learned(tmp_path, with_training(small_task(), aggregation=rule))
    assert found > 0.8


def test_layers_in_numpy_train_as_the_module_does(tmp_path: Path) -> None:
    extending.load(write(tmp_path, "by_hand.py"))
    task = small_task(architecture=Architecture(kind="by-hand", hidden=(8,)))  # type: ignore[arg-type]
    same = replace(task, architecture=Architecture(kind="mlp", hidden=(8,)))
    from simulations.modes.numerics import plan_of, request_of

    plan = plan_of(task, request_of(task, "local", cohort=1), 1)
    machine_rows(200).write_parquet(tmp_path / "rows.parquet")
    rows, weights = read_examples(tmp_path / "rows.parquet", task, Window()), initial_weights(same)
    ours = light_train(plan, task, weights, rows, CipherStream(bytes(32)))
    assert np.array_equal(ours, light_train(plan, same, weights, rows, CipherStream(bytes(32))))
    assert np.abs(ours - opacus_train(plan, task, weights, rows, CipherStream(bytes(32)))).max() < 1e-6


def test_without_its_file_each_kind_is_refused_by_name(tmp_path: Path) -> None:
    shipped = wire.encode(small_task())
    for where, change in {
        "architecture.kind": {"architecture": {"kind": "relu", "hidden": [16]}},
        "training.strategy": {"training": shipped["training"] | {"strategy": "fedadam"}},
        "training.aggregation.kind": {"training": shipped["training"] | {"aggregation": {"kind": "centred-clip"}}},
    }.items():
        with pytest.raises(WireError, match=rf"{where} must be one of \['"):
            wire.decode(Task, shipped | change, what="task")
    for name in FILES:
        extending.load(write(tmp_path, name))
    assert wire.decode(Task, shipped | {"architecture": {"kind": "relu", "hidden": [16]}}).architecture.hidden == (16,)
    with pytest.raises(WireError, match=r"one of \[.*'relu', 'by-hand'\]"):
        wire.decode(Task, shipped | {"architecture": {"kind": "gelu"}}, what="task")


def test_a_kind_that_no_table_holds_is_refused_wherever_it_is_asked_for() -> None:
    task = small_task(architecture=Architecture(kind="relu"))  # type: ignore[arg-type]
    for ask in (size, network.build, lambda each: light.Network(each, np.zeros(3, np.float32))):
        with pytest.raises(InputError, match="kind 'relu'"):
            ask(task)


def test_a_network_that_mixes_examples_is_refused_as_on_a_device(tmp_path: Path) -> None:
    text = FILES["my_net.py"].replace("nn.ReLU()", "nn.BatchNorm1d(outputs, affine=False)")
    extending.load(write(tmp_path, "mixes.py", text))
    task = small_task(architecture=Architecture(kind="relu", hidden=(16,)))  # type: ignore[arg-type]
    from simulations.modes.numerics import plan_of, request_of

    plan = plan_of(task, request_of(task, "local", cohort=1), 1)
    machine_rows(20).write_parquet(tmp_path / "rows.parquet")
    rows = read_examples(tmp_path / "rows.parquet", task, Window())
    with pytest.raises(InputError, match="BatchNorm1d"):
        opacus_train(plan, task, initial_weights(task), rows, CipherStream(bytes(32)))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "defines none of NETWORKS, STRATEGIES, RULES"),
        ("import nothing_of_this_name", "cannot be run: ModuleNotFoundError"),
        ("def broken(:", "cannot be run: SyntaxError"),
        ("RULES = {'median': max}", "'median' in RULES must be"),
        ("RULES = {'Of Mine': max}", "'Of Mine' in RULES must be"),
        ("RULES = {'mine': 3}", "'mine' in RULES is int"),
        ("RULES = ['mine']", "RULES must be a dictionary"),
        ("NETWORKS = {'mlp': max}", "'mlp' in NETWORKS must be"),
        ("NETWORKS = {'mine': max}", "'mine' in NETWORKS is builtin"),
        ("STRATEGIES = {'momentum': max}", "'momentum' in STRATEGIES must be"),
        ("STRATEGIES = {'mine': max}", "'mine' in STRATEGIES is builtin"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_says_why_and_adds_nothing(tmp_path: Path, text: str, match: str) -> None:
    before = [dict(table) for table in TABLES]
    with pytest.raises(InputError, match=match):
        extending.load(write(tmp_path, "mine.py", text))
    assert [dict(table) for table in TABLES] == before


def test_a_file_that_is_not_there_or_no_python_says_so(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.py", write(tmp_path, "text.txt", "RULES = {'mine': max}")):
        with pytest.raises(InputError, match="no Python file"):
            extending.load(path)


def test_a_second_reading_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "my_net.py")
    assert extending.load(path) == extending.load(path)
    assert [words for words in wire.ALSO.values() if words] == [["relu"]]


def test_workers_read_the_files_before_they_open_their_rows(tmp_path: Path) -> None:
    source = partial(Synthetic, 4, 2, 10)
    assert extending.knowing((), source) is source
    sent = pickle.dumps(extending.knowing((write(tmp_path, "my_net.py"),), source))
    assert "relu" not in architecture.SHAPES
    assert len(pickle.loads(sent)()) == 10
    assert "relu" in architecture.SHAPES


def test_a_training_that_ships_stays_the_same_bytes() -> None:
    assert "strategy" not in wire.encode(small_task().training)
    assert wire.decode(Training, wire.encode(small_task().training)).strategy == "momentum"
