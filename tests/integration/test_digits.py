"""The digits task: its table, that a fleet learns it under the code that ships, and that its network can be released."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from client.inputs import Examples
from server.export import export
from server.gates import check
from shared.accounting import epsilon
from shared.architecture import initial_weights, size
from shared.errors import InputError
from shared.hostile import check_model_file
from shared.quantization import quantize
from shared.tasks import Task, read_task
from simulations import digits
from simulations.fleet.datasets import known
from simulations.fleet.population import Packed, pack
from simulations.modes.numerics import campaign, plan_of, request_of

TASK_FILE = Path(__file__).parents[2] / "tasks" / "digits.toml"
DEVICES = 20


@pytest.fixture(scope="module")
def task() -> Task:
    return read_task(TASK_FILE)


@pytest.fixture(scope="module")
def fleet(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("digits")
    dataset = known("digits")
    assert dataset
    pack(folder, dataset.rows(task, devices=DEVICES))
    return Packed(folder)


def rows_of(fleet: Packed, *, test: bool) -> list[Examples]:
    dataset = known("digits")
    assert dataset
    return [fleet.examples(number, dataset.test if test else dataset.learn) for number in range(DEVICES)]


def accuracy(task: Task, weights: np.ndarray, rows: list[Examples]) -> float:
    import torch

    from shared.network import build, load

    network = build(task)
    load(network, weights, task)
    with torch.no_grad():
        answers = [network(torch.from_numpy(each.inputs.copy())).argmax(dim=1).numpy() for each in rows]
    return float(np.mean(np.concatenate([said == each.labels for said, each in zip(answers, rows, strict=True)])))


def test_the_table_is_the_published_one_in_three_parts() -> None:
    table = digits.table()
    assert table.shape == (1797, 67)
    assert dict(table["split"].value_counts().iter_rows()) == {"learn": 1077, "choose": 360, "test": 360}
    pixels = table.select(digits.PIXELS).to_numpy()
    assert (pixels.min(), pixels.max(), pixels.sum()) == (0, 16, 561718)
    assert sorted(table["digit"].unique()) == list("0123456789")
    assert table["arrived"].is_sorted()
    for part, window in {"learn": digits.LEARN, "choose": digits.CHOOSE, "test": digits.TEST}.items():
        days = table.filter(table["split"] == part)["arrived"].dt.strftime("%Y-%m-%d")
        assert window.start <= min(days) <= max(days) < window.end


def test_its_windows_are_the_parts(fleet: Packed) -> None:
    assert sum(len(each.labels) for each in rows_of(fleet, test=False)) == 1077 + 360
    assert sum(len(each.labels) for each in rows_of(fleet, test=True)) == 360


def test_each_campaign_keeps_to_the_tasks_ceiling(task: Task) -> None:
    assert size(task) == 2730
    for mode, most in {"local": 7.6, "central": 4.1, "distributed": 4.1}.items():
        request = request_of(task, mode, cohort=DEVICES)  # type: ignore[arg-type]
        event = plan_of(task, request, 1).cost.record
        assert epsilon(list(event) * request.training.rounds, delta=task.privacy.delta) < most <= task.privacy.epsilon


@pytest.mark.parametrize(("mode", "least"), [("local", 0.8), ("central", 0.85)])
def test_a_skewed_fleet_learns_under_noise(task: Task, fleet: Packed, mode: str, least: float) -> None:
    """Runs gave 0.89 or more (docs/decisions/0022); what is asked lies far below, since each draws its own noise."""
    weights, _ = campaign(task, mode, rows_of(fleet, test=False))  # type: ignore[arg-type]
    assert accuracy(task, weights, rows_of(fleet, test=True)) > least
    assert accuracy(task, initial_weights(task), rows_of(fleet, test=True)) < 0.4


@pytest.mark.proof
def test_a_skewed_fleet_learns_by_sums(task: Task, fleet: Packed) -> None:
    weights, _ = campaign(task, "distributed", rows_of(fleet, test=False))
    assert accuracy(task, weights, rows_of(fleet, test=True)) > 0.82


def test_its_network_passes_the_gates(task: Task) -> None:
    weights = initial_weights(task)
    fp32 = export(task, weights, version=1)
    check_model_file(fp32, what="fp32.onnx")
    verdicts = check(task, weights, fp32, quantize(task, fp32))
    late = {verdict.name for verdict in verdicts if not verdict.passed} - {"latency"}  # a busy machine is slow
    assert not late, verdicts
    assert {verdict.name for verdict in verdicts} == {"form", "parity with torch", "int8 loss", "size", "latency"}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"shape \(0,\)"),
        (b"plain text", "cannot be read"),
        (gzip.compress(b"1,2\n", mtime=0), r"shape \(1, 2\)"),
        (gzip.compress(b"1,2\n3\n", mtime=0), "cannot be read"),
        (gzip.compress(b"a,b\n", mtime=0), "cannot be read"),
    ],
)
def test_a_spoilt_package_says_how_to_mend_it(
    content: bytes, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits.csv.gz").write_bytes(content)
    monkeypatch.setattr(digits, "_data_folder", lambda: tmp_path)
    with pytest.raises(InputError, match=f"{match}.*pip install --force-reinstall scikit-learn"):
        digits.table.__wrapped__()


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install scikit-learn==1\.9\.1"):
        digits.table.__wrapped__()
