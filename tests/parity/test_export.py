"""The signed file answers exactly as training's features and PyTorch's network do."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import small_task
from releasing import some_weights

from server.export import export
from server.gates import check
from shared.errors import ReleaseError
from shared.features import Bucket, Category, Cycle, Number, encode_columns
from shared.feeds import to_feeds
from shared.hostile import check_model_file
from shared.network import build, load
from shared.runtime import ask, open_model
from shared.synthetic import make_columns
from shared.tasks import Architecture, Task

NUMBER_NAMES, TEXT_NAMES = ("a", "b", "c"), ("x", "y")
finite = st.floats(-1000, 1000, width=32)
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6)


@st.composite
def features(draw: st.DrawFn) -> tuple[object, ...]:
    """One to six features of any kind, columns shared between kinds where they may be."""
    found: dict[tuple[str, str], object] = {}
    for _ in range(draw(st.integers(1, 6))):
        feature = draw(st.one_of(numbers(), cycles(), buckets(), categories()))
        found[feature.name, feature.kind] = feature
    return tuple(found.values())


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    low = draw(finite)
    high = low + draw(st.floats(0.5, 500))
    return Number(name=draw(st.sampled_from(NUMBER_NAMES)), low=low, high=high, missing=(low + high) / 2)


def cycles() -> st.SearchStrategy[Cycle]:
    return st.builds(Cycle, name=st.sampled_from(NUMBER_NAMES), period=st.floats(1, 500))


def buckets() -> st.SearchStrategy[Bucket]:
    edges = st.lists(finite, min_size=1, max_size=5, unique=True).map(sorted).map(tuple)
    return st.builds(Bucket, name=st.sampled_from(NUMBER_NAMES), edges=edges)


def categories() -> st.SearchStrategy[Category]:
    values = st.lists(words, min_size=1, max_size=4, unique=True).map(tuple)
    return st.builds(Category, name=st.sampled_from(TEXT_NAMES), values=values)


architectures = st.sampled_from([Architecture(kind="linear"), Architecture(kind="mlp", hidden=(7, 3))])
tasks = st.builds(lambda f, a: small_task(features=f, architecture=a), features(), architectures)


def torch_scores(task: Task, weights: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    network = build(task)
    load(network, weights, task)
    with torch.no_grad():
        return network(torch.from_numpy(encode_columns(task.features, columns))).softmax(dim=1).numpy()


@settings(max_examples=60, deadline=None)
@given(task=tasks, seed=st.integers(0, 2**32 - 1))
def test_the_file_answers_as_torch_does(task: Task, seed: int) -> None:
    weights, columns = some_weights(task, seed=seed), make_columns(task, 300, seed=seed, wild=True)
    model = export(task, weights, version=1)
    check_model_file(model, what="the file")
    found = ask(open_model(model), to_feeds(task, columns))
    np.testing.assert_allclose(found, torch_scores(task, weights, columns), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    value=st.one_of(st.just(np.nan), st.floats(width=32)), edges=st.lists(finite, min_size=1, max_size=4, unique=True)
)
def test_every_number_falls_in_the_same_bucket(value: float, edges: list[float]) -> None:
    task = small_task(features=(Bucket(name="a", edges=tuple(sorted(edges))),))
    weights = some_weights(task, seed=3)
    columns = {"a": np.array([value, *edges], dtype=np.float32)}
    found = ask(open_model(export(task, weights, version=1)), to_feeds(task, columns))
    np.testing.assert_allclose(found, torch_scores(task, weights, columns), atol=1e-6)


def test_equal_arguments_give_equal_bytes(task: Task) -> None:
    weights = some_weights(task, seed=1)
    assert export(task, weights, version=7) == export(task, weights, version=7)


def test_the_file_names_its_task_revision_and_version(task: Task) -> None:
    model = onnx.load_model_from_string(export(task, some_weights(task, seed=1), version=7))
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "task": "machines",
        "revision": "1",
        "version": "7",
    }


@pytest.mark.parametrize("hidden", [(), (32,), (64, 32)])
def test_int8_is_smaller_and_close(hidden: tuple[int, ...]) -> None:
    task = small_task(architecture=Architecture(kind="mlp" if hidden else "linear", hidden=hidden))
    weights = some_weights(task, seed=2)
    fp32, int8 = (export(task, weights, version=1, precision=precision) for precision in ("fp32", "int8"))
    feeds = to_feeds(task, make_columns(task, 2000, seed=5, wild=True))
    exact, small = (ask(open_model(model), feeds) for model in (fp32, int8))
    assert 0 < np.abs(exact - small).max() < 0.05
    if hidden:
        assert len(int8) < len(fp32)


def test_a_row_of_zero_weights_survives_int8(task: Task) -> None:
    weights = np.zeros_like(some_weights(task, seed=1))
    scores = ask(
        open_model(export(task, weights, version=1, precision="int8")), to_feeds(task, make_columns(task, 5, seed=1))
    )
    np.testing.assert_allclose(scores, 0.5)


def test_weights_that_are_not_finite_are_refused(task: Task) -> None:
    weights = some_weights(task, seed=1)
    weights[3] = np.nan
    with pytest.raises(ReleaseError, match="not finite"):
        export(task, weights, version=1)


def test_a_model_of_other_weights_fails_parity(task: Task) -> None:
    fp32, int8 = (export(task, some_weights(task, seed=1), version=1, precision=p) for p in ("fp32", "int8"))
    verdicts = {verdict.name: verdict for verdict in check(task, some_weights(task, seed=2), fp32, int8)}
    assert not verdicts["parity with torch"].passed
    assert verdicts["size"].passed
