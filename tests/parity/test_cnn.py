"""A convolutional network answers alike in PyTorch and in the signed file, and its file may do no more than that."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from images import image_task
from machines import small_task
from onnx import ModelProto, helper, numpy_helper
from releasing import some_weights

from server.export import export
from shared.architecture import initial_weights, shapes, size, split
from shared.errors import ReleaseError
from shared.features import Number, encode_columns
from shared.feeds import to_feeds
from shared.hostile import check_model_file
from shared.images import Image
from shared.network import build, flatten, load
from shared.runtime import ask, open_model
from shared.synthetic import make_columns
from shared.tasks import Architecture, Task

TASKS = [
    image_task(),
    image_task(stride=1, channels=(3,), hidden=()),
    image_task(height=3, width=7, channels=(2, 3, 4), hidden=(7, 3)),
]


def torch_scores(task: Task, weights: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    network = build(task)
    load(network, weights, task)
    with torch.no_grad():
        return network(torch.from_numpy(encode_columns(task.features, columns))).softmax(dim=1).numpy()


@pytest.mark.parametrize("task", TASKS, ids=["two", "one", "three"])
def test_the_file_answers_as_torch_does(task: Task) -> None:
    weights, columns = some_weights(task, seed=1), make_columns(task, 300, seed=2, wild=True)
    expected, feeds = torch_scores(task, weights, columns), to_feeds(task, columns)
    fp32, int8 = (export(task, weights, version=1, precision=precision) for precision in ("fp32", "int8"))
    for model in (fp32, int8):
        check_model_file(model, what="the file")
    np.testing.assert_allclose(ask(open_model(fp32), feeds), expected, atol=1e-5)
    assert 0 < np.abs(ask(open_model(int8), feeds) - expected).max() < 0.1


@pytest.mark.parametrize("task", TASKS, ids=["two", "one", "three"])
def test_parameters_travel_in_torchs_order(task: Task) -> None:
    network, weights = build(task), some_weights(task, seed=1)
    assert shapes(task) == tuple(tuple(parameter.shape) for parameter in network.parameters())
    load(network, weights, task)
    assert np.array_equal(flatten(network.parameters()), weights)


def test_initial_weights_are_as_wide_as_a_kernel_allows() -> None:
    task = image_task()
    first, bias, second, *_ = split(initial_weights(task), task)
    assert np.abs(first).max() <= 1 / 3
    assert np.abs(second).max() <= 1 / 6
    assert np.std(second) == pytest.approx(1 / 6 / np.sqrt(3), rel=0.2)
    assert not bias.any()


def test_pixels_are_the_features_and_all_of_them() -> None:
    pixels = tuple(Number(name=f"p{i}", low=0.0, high=1.0, missing=0.0) for i in range(9))
    network = Architecture(kind="cnn", image=Image(height=3, width=3, channels=(1,)))
    assert size(small_task(features=pixels, architecture=network)) == 9 + 1 + 4 * 2 + 2
    for features in (pixels[:-1], (*pixels[:-1], *small_task().features[-1:])):
        with pytest.raises(ValueError, match="9 pixels"):
            small_task(features=features, architecture=network)


@pytest.mark.parametrize(
    "wrong",
    [{"height": 2}, {"width": 65}, {"channels": ()}, {"channels": (0,)}, {"channels": (129,)}, {"stride": 3}],
    ids=str,
)
def test_an_image_that_no_network_takes_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="got"):
        Image(**({"height": 8, "width": 8, "channels": (4,)} | wrong))  # type: ignore[arg-type]


def test_only_a_cnn_has_an_image() -> None:
    with pytest.raises(ValueError, match="a cnn has an image"):
        Architecture(kind="cnn")
    with pytest.raises(ValueError, match="a cnn has an image"):
        Architecture(kind="linear", image=Image(height=3, width=3, channels=(1,)))


def node(model: ModelProto, operator: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == operator)


def shape(model: ModelProto, *sizes: int) -> None:
    """Reshape the pixels to something else."""
    name = node(model, "Reshape").input[1]
    constant = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    constant.CopyFrom(numpy_helper.from_array(np.array(sizes), name))


def mix_records(model: ModelProto) -> None:
    shape(model, -1, 1, 9, 8)


def swap_records_and_pixels(model: ModelProto) -> None:
    shape(model, 72, -1)


def keep_any_shape(model: ModelProto) -> None:
    shape(model, 0, 1, 9, -1)


def take_the_shape_from_a_record(model: ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Cast", ["numbers"], ["sizes"], to=onnx.TensorProto.INT64))
    node(model, "Reshape").input[1] = "sizes"


def hide_the_shape(model: ModelProto) -> None:
    name = node(model, "Reshape").input[1]
    constant = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    constant.raw_data = constant.raw_data[:5]


def allow_zero(model: ModelProto) -> None:
    node(model, "Reshape").attribute.append(helper.make_attribute("allowzero", 1))


def group(model: ModelProto) -> None:
    node(model, "Conv").attribute.append(helper.make_attribute("group", 1))


def pad_much(model: ModelProto) -> None:
    pads = next(a for a in node(model, "Conv").attribute if a.name == "pads")
    pads.ints[:] = [1000, 1000, 1000, 1000]


def stay(model: ModelProto) -> None:
    strides = next(a for a in node(model, "Conv").attribute if a.name == "strides")
    strides.ints[:] = [0, 0]


def work_too_much(model: ModelProto) -> None:
    """A convolution of 600 million products, whose tensors are all small."""
    nodes = model.graph.node
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((128, 128, 3, 3), np.float32), "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 128, 64, 64), np.float32), "large"))
    form = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
    nodes.insert(0, helper.make_node("Conv", ["large", "wide"], ["slow"], **form))


def convolve_records_with_each_other(model: ModelProto) -> None:
    tensor = node(model, "Conv").input[0]
    form = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
    place = next(i for i, n in enumerate(model.graph.node) if n.op_type == "Conv")
    model.graph.initializer.append(numpy_helper.from_array(np.arange(9), "nine"))
    model.graph.node.insert(place, helper.make_node("Gather", ["numbers", "nine"], ["few"], axis=1))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 3, 3]), "form"))
    model.graph.node.insert(place + 1, helper.make_node("Reshape", ["few", "form"], ["kernel"]))
    model.graph.node.insert(place + 2, helper.make_node("Conv", [tensor, "kernel"], ["mixed"], **form))


ATTACKS = [
    mix_records, swap_records_and_pixels, keep_any_shape, take_the_shape_from_a_record, hide_the_shape, allow_zero,
    group, pad_much, stay, work_too_much, convolve_records_with_each_other,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_file_is_refused(attack: Callable[[ModelProto], None]) -> None:
    task = image_task()
    model = onnx.load_model_from_string(export(task, some_weights(task, seed=1), version=1))
    attack(model)
    with pytest.raises(ReleaseError, match=r"is refused: its (node (Reshape|Conv)|shapes)"):
        check_model_file(model.SerializeToString(), what="the file")


def test_the_largest_image_is_still_light() -> None:
    """What a task may ask for, its own file may do."""
    task = image_task(height=64, width=64, channels=(32, 56), stride=1, hidden=())
    check_model_file(export(task, some_weights(task, seed=1), version=1), what="the file")
    with pytest.raises(ValueError, match="products"):
        image_task(height=64, width=64, channels=(32, 57), stride=1)
