"""int8 by the recipe: integer arithmetic, scores close to fp32's, and nothing but declared bounds behind it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from machines import small_task
from releasing import some_weights

from server.export import export
from shared import quantization
from shared.errors import ReleaseError
from shared.feeds import to_feeds
from shared.hostile import check_model_file
from shared.quantization import quantize
from shared.runtime import ask, open_model, optimize
from shared.synthetic import make_columns
from shared.tasks import Architecture, Task


def networks() -> list[Task]:
    deep = Architecture(kind="mlp", hidden=(128, 64))
    return [small_task(), small_task(architecture=deep), small_task(architecture=Architecture(kind="mlp", hidden=(5,)))]


@pytest.mark.parametrize("task", networks(), ids=lambda task: str(task.architecture.hidden))
def test_scores_are_close_to_the_exact_ones(task: Task) -> None:
    fp32 = export(task, some_weights(task, seed=2) / 4, version=1)
    feeds = to_feeds(task, make_columns(task, 2000, seed=5, wild=True))
    exact, small = (ask(open_model(model), feeds) for model in (fp32, quantize(task, fp32)))
    assert 0 < np.abs(exact - small).max() < 0.02


def test_equal_files_give_equal_files_and_the_name_stays(task: Task) -> None:
    fp32 = export(task, some_weights(task, seed=1), version=7)
    assert quantize(task, fp32) == quantize(task, fp32)
    props = {prop.key: prop.value for prop in onnx.load_model_from_string(quantize(task, fp32)).metadata_props}
    assert props["version"] == "7"


def test_the_arithmetic_is_in_integers(tmp_path: Path) -> None:
    """ONNX Runtime turns each layer but the last into one operation on bytes."""
    task = small_task(architecture=Architecture(kind="mlp", hidden=(128, 64)))
    optimize(quantize(task, export(task, some_weights(task, seed=1), version=1)), tmp_path / "optimized.onnx")
    ran = [node.op_type for node in onnx.load(str(tmp_path / "optimized.onnx")).graph.node]
    assert (ran.count("QGemm"), ran.count("Gemm") + ran.count("FusedGemm")) == (2, 1)


def test_what_a_device_makes_may_not_be_downloaded(task: Task) -> None:
    made = quantize(task, export(task, some_weights(task, seed=1), version=1))
    with pytest.raises(ReleaseError, match="QuantizeLinear"):
        check_model_file(made, what="int8.onnx")


def test_a_row_of_zero_weights_survives(task: Task) -> None:
    weights = np.zeros_like(some_weights(task, seed=1))
    scores = ask(
        open_model(quantize(task, export(task, weights, version=1))), to_feeds(task, make_columns(task, 5, seed=1))
    )
    np.testing.assert_allclose(scores, 0.5)


def test_rule_12_ranges_come_from_made_up_records_alone(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe asks for one set of records, by the task's revision, and reads nothing else."""
    asked: list[tuple[int, bool]] = []

    def seen(task: Task, rows: int, *, seed: int, wild: bool) -> dict[str, np.ndarray]:
        asked.append((seed, wild))
        return make_columns(task, rows, seed=seed, wild=wild)

    monkeypatch.setattr(quantization, "make_columns", seen)
    quantize(task, export(task, some_weights(task, seed=1), version=1))
    assert asked == [(task.revision, True)]
