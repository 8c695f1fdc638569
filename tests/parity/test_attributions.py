"""The explanation is integrated gradients: equal to Captum's, and complete."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import small_task
from releasing import some_weights

from client.attributiongraph import build_graph
from client.attributions import ATTRIBUTIONS, Explainer
from server.export import export
from shared.errors import ReleaseError
from shared.features import Bucket, Category, Cycle, Number, encode_columns
from shared.feeds import SCORES, Feeds, to_feeds
from shared.images import Image
from shared.network import build, load
from shared.runtime import ask, open_model
from shared.synthetic import make_columns
from shared.tasks import Architecture, Classes, Task

with warnings.catch_warnings():
    # Captum's own modules use what PyTorch and NumPy have deprecated; nothing of ours runs in here.
    warnings.simplefilter("ignore")
    from captum.attr import IntegratedGradients

ROWS = 12
FEATURES = (
    Category(name="site", values=("north", "south")),
    Number(name="load", low=0.0, high=1.0, missing=0.3),
    Cycle(name="hour", period=24.0),
    Bucket(name="hour", edges=(6.0, 12.0, 18.0)),
    Category(name="kind", values=("a", "b", "c")),
    Cycle(name="day", period=7.0),
    Number(name="age", low=-5.0, high=5.0, missing=0.0),
)
IMAGE = Image(height=6, width=7, channels=(3, 4))
PIXELS = tuple(Number(name=f"p{index}", low=0.0, high=1.0, missing=0.5) for index in range(IMAGE.pixels))
NETWORKS = {
    "linear": Architecture(kind="linear"),
    "one layer": Architecture(kind="mlp", hidden=(16,)),
    "three layers": Architecture(kind="mlp", hidden=(16, 8, 4)),
}
IMAGES = {
    "cnn": Architecture(kind="cnn", hidden=(8,), image=IMAGE),
    "cnn that keeps its size": Architecture(kind="cnn", image=Image(height=6, width=7, channels=(2,), stride=1)),
}


def task_of(name: str) -> Task:
    if name in IMAGES:
        return small_task(features=PIXELS, architecture=IMAGES[name], label=three_classes())
    return small_task(features=FEATURES, architecture=NETWORKS[name], label=three_classes())


def three_classes() -> Classes:
    return Classes(column="stops", classes=("runs", "stops", "burns"))


def explained(task: Task, fp32: bytes, feeds: Feeds) -> np.ndarray:
    explainer = Explainer(task, build_graph(task, fp32))
    rows = len(feeds["numbers"])
    shares = [explainer.explain({name: table[row : row + 1] for name, table in feeds.items()}) for row in range(rows)]
    assert {tuple(share) for share in shares} == {(*task.numbers, *task.texts)}
    return np.array([list(share.values()) for share in shares])


def missing(task: Task) -> dict[str, np.ndarray]:
    numbers = {name: np.array([np.nan], np.float32) for name in task.numbers}
    return numbers | {name: np.array([None], dtype=object) for name in task.texts}


def by_captum(task: Task, weights: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    network = torch.nn.Sequential(build(task), torch.nn.Softmax(dim=1))
    load(network[0], weights, task)  # type: ignore[arg-type]
    inputs, baseline = (torch.from_numpy(encode_columns(task.features, each)) for each in (columns, missing(task)))
    answered = network(inputs).argmax(dim=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="captum")  # it sets requires_grad on the inputs, and says so
        found = IntegratedGradients(network).attribute(inputs, baselines=baseline, target=answered, n_steps=50)
    each, names = found.detach().numpy(), (*task.numbers, *task.texts)
    owner = np.array([names.index(feature.name) for feature in task.features for _ in range(feature.width)])
    return np.stack([each[:, owner == column].sum(axis=1) for column in range(len(names))], axis=1)


@pytest.mark.parametrize("name", [*NETWORKS, *IMAGES])
def test_attributions_equal_captums(name: str) -> None:
    task = task_of(name)
    weights = some_weights(task, seed=3)
    columns = make_columns(task, ROWS, seed=4)
    found = explained(task, export(task, weights, version=1), to_feeds(task, columns))
    np.testing.assert_allclose(found, by_captum(task, weights, columns), atol=1e-5)
    assert np.abs(found).max() > 0.05


@pytest.mark.parametrize("name", [*NETWORKS, *IMAGES])
def test_attributions_sum_to_the_score_less_the_baselines(name: str) -> None:
    task = task_of(name)
    fp32 = export(task, some_weights(task, seed=5), version=1)
    feeds = to_feeds(task, make_columns(task, ROWS, seed=6, wild=True))
    session = open_model(fp32)
    scores, start = ask(session, feeds), ask(session, to_feeds(task, missing(task)))[0]
    answered = scores.argmax(axis=1)
    assert len(set(answered.tolist())) > 1
    moved = scores[np.arange(ROWS), answered] - start[answered]
    np.testing.assert_allclose(explained(task, fp32, feeds).sum(axis=1), moved, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(FEATURES), keep=st.integers(1, len(FEATURES)), seed=st.integers(0, 2**32 - 1))
def test_features_in_any_order_reach_their_own_column(order: list[object], keep: int, seed: int) -> None:
    task = small_task(features=tuple(order[:keep]), architecture=Architecture(kind="mlp", hidden=(5,)))
    weights, columns = some_weights(task, seed=seed), make_columns(task, 4, seed=seed)
    found = explained(task, export(task, weights, version=1), to_feeds(task, columns))
    np.testing.assert_allclose(found, by_captum(task, weights, columns), atol=1e-5)


def test_a_missing_record_moves_nothing() -> None:
    task = task_of("one layer")
    fp32 = export(task, some_weights(task, seed=1), version=1)
    np.testing.assert_allclose(explained(task, fp32, to_feeds(task, missing(task))), 0, atol=1e-7)


def test_a_column_that_the_model_ignores_gets_nothing() -> None:
    task = task_of("linear")
    weights = some_weights(task, seed=1)
    weights.shape = (-1,)
    matrix = weights[: 3 * task.inputs].reshape(3, task.inputs)
    matrix[:, 2] = 0  # the load, after the two sites
    found = explained(task, export(task, weights, version=1), to_feeds(task, make_columns(task, ROWS, seed=2)))
    assert np.abs(found[:, task.numbers.index("load")]).max() == 0
    assert np.abs(found).max() > 0


def test_equal_releases_give_equal_graphs() -> None:
    task = task_of("one layer")
    fp32 = export(task, some_weights(task, seed=1), version=1)
    assert build_graph(task, fp32) == build_graph(task, fp32)


def test_a_network_of_another_shape_is_not_explained() -> None:
    task = task_of("one layer")
    other = small_task(features=FEATURES, architecture=NETWORKS["linear"], label=three_classes())
    with pytest.raises(ReleaseError, match="no explanation for this kind of network"):
        build_graph(task, export(other, some_weights(other, seed=1), version=1))
    with pytest.raises(ReleaseError, match="not an ONNX file"):
        build_graph(task, b"\xff\xffnot a model")


def test_a_release_that_answers_otherwise_than_its_layers_is_not_explained() -> None:
    """Shares that do not add up to the release's own answer are worse than none."""
    task = task_of("one layer")
    model = onnx.load_model_from_string(export(task, some_weights(task, seed=1), version=1))
    bent = next(node for node in model.graph.node if node.op_type == "Tanh")
    bent.op_type = "Sin"
    with pytest.raises(ReleaseError, match="shares miss the score"):
        build_graph(task, model.SerializeToString())


def test_a_release_that_orders_its_inputs_otherwise_is_not_explained() -> None:
    task = task_of("one layer")
    model = onnx.load_model_from_string(export(task, some_weights(task, seed=1), version=1))
    first = next(node for node in model.graph.node if node.op_type == "Gemm")
    makers = {node.output[0]: node for node in model.graph.node}
    turned = list(reversed(makers[first.input[0]].input))
    makers[first.input[0]].input[:] = turned
    with pytest.raises(ReleaseError, match="an order unknown here"):
        build_graph(task, model.SerializeToString())


def test_a_graph_that_does_not_answer_is_a_release_error() -> None:
    task = task_of("linear")
    explainer = Explainer(task, build_graph(task, export(task, some_weights(task, seed=1), version=1)))
    with pytest.raises(ReleaseError, match="the explanation does not answer"):
        explainer.explain({"numbers": np.zeros((1, 1), np.float32)})


def test_the_graph_gives_attributions_and_the_releases_own_scores() -> None:
    task = task_of("linear")
    graph = onnx.load_model_from_string(build_graph(task, export(task, some_weights(task, seed=1), version=1))).graph
    assert [output.name for output in graph.output] == [ATTRIBUTIONS, SCORES]
