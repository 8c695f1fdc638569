"""A version's weights as one self-contained ONNX file: raw record in, class probabilities out.

The preprocessing is inside the graph, so a device cannot prepare a record in another way than training did.
Only operators of the standard domain occur. `server/gates/files.py` holds every file against PyTorch.
"""

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, helper, load_model_from_string

from server.graph import Block, Sketch, draw_features
from shared.architecture import split
from shared.errors import ReleaseError
from shared.feeds import SCORES
from shared.images import KERNEL, Image
from shared.models import Precision
from shared.tasks import Task

OPSET = 19
"""The first in which words can be compared for equality."""

IR_VERSION = 9

CARD = "card"
"""The name under which a model's metadata holds its card."""


def export(
    task: Task, weights: NDArray[np.float32], *, version: int, precision: Precision = "fp32", card: str = ""
) -> bytes:
    """The model of flat `weights`, shape `(size,)`; equal arguments give equal bytes.

    `card` travels inside it: what the version is for, what it learned from and what is known of it. `int8` keeps each row of a weight matrix in bytes beside its scale. Arithmetic stays in float: for
    networks of this size that is smaller, as fast, and more exact than quantized activations are.
    """
    _require_exact(task, weights)
    sketch = Sketch()
    blocks = draw_features(sketch, task)
    logits = _network(sketch, blocks, task.architecture.image, list(split(weights, task)), precision)
    sketch.add("Softmax", logits, axis=1)
    sketch.nodes[-1].output[0] = SCORES
    return _model(sketch, task, version, card).SerializeToString(deterministic=True)


def same_content(one: bytes, other: bytes) -> bool:
    """Whether two files answer alike and name the same version; what their cards say does not matter."""
    return _without_card(one) == _without_card(other)


def _without_card(data: bytes) -> bytes | None:
    """A file without its card; None for what is no ONNX file."""
    try:
        model = load_model_from_string(data)
    except DecodeError:
        return None
    helper.set_model_props(model, {prop.key: prop.value for prop in model.metadata_props if prop.key != CARD})
    return model.SerializeToString(deterministic=True)


def _network(
    sketch: Sketch,
    blocks: list[Block],
    image: Image | None,
    parameters: list[NDArray[np.float32]],
    precision: Precision,
) -> str:
    """Linear layers with tanh in between; the first one's weights take the order in which the blocks stand.

    Before an image's, its convolutions; its pixels are one block, in order.
    """
    tensor = sketch.add("Concat", *(block.tensor for block in blocks), axis=1)
    if image:
        tensor = _convolutions(sketch, tensor, image, parameters, precision)
        parameters = parameters[2 * len(image.channels) :]
    else:
        parameters[0] = parameters[0][:, [index for block in blocks for index in block.inputs]]
    for index in range(0, len(parameters), 2):
        if index:
            tensor = sketch.add("Tanh", tensor)
        matrix = _matrix(sketch, parameters[index], precision)
        tensor = sketch.add("Gemm", tensor, matrix, parameters[index + 1], transB=1)
    return tensor


def _convolutions(
    sketch: Sketch, tensor: str, image: Image, parameters: list[NDArray[np.float32]], precision: Precision
) -> str:
    """From flat pixels to the last convolution's outputs, flat again; tanh after each."""
    form = {"kernel_shape": [KERNEL, KERNEL], "pads": [1, 1, 1, 1], "strides": [image.stride, image.stride]}
    tensor = sketch.add("Reshape", tensor, np.array([0, *image.maps[0]]))
    for index in range(0, 2 * len(image.channels), 2):
        kernel = _matrix(sketch, parameters[index], precision)
        tensor = sketch.add("Tanh", sketch.add("Conv", tensor, kernel, parameters[index + 1], **form))
    return sketch.add("Reshape", tensor, np.array([0, image.outputs]))


def _matrix(sketch: Sketch, weight: NDArray[np.float32], precision: Precision) -> NDArray[np.float32] | str:
    """A weight `(out, in, …)`, or the node that restores it from bytes and one scale for each of `out`."""
    if precision == "fp32":
        return np.ascontiguousarray(weight)
    peak = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = np.where(peak > 0, peak / 127, 1).astype(np.float32)
    return sketch.add("DequantizeLinear", np.rint(weight / scale).astype(np.int8), scale.ravel(), axis=0)


def _model(sketch: Sketch, task: Task, version: int, card: str) -> ModelProto:
    outputs = [_rows(SCORES, TensorProto.FLOAT, len(task.label.classes))]
    inputs = [_rows("numbers", TensorProto.FLOAT, len(task.numbers))]
    if task.texts:
        inputs.append(_rows("texts", TensorProto.STRING, len(task.texts)))
    graph = helper.make_graph(sketch.nodes, task.name, inputs, outputs, sketch.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    props = {"task": task.name, "revision": str(task.revision), "version": str(version)}
    helper.set_model_props(model, props | ({CARD: card} if card else {}))
    checker.check_model(model, full_check=True)
    return model


def _rows(name: str, kind: int, width: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["rows", width])


def _require_exact(task: Task, weights: NDArray[np.float32]) -> None:
    """Raise `ReleaseError` for what no graph can say exactly."""
    if not np.isfinite(weights).all():
        raise ReleaseError("the version's weights are not finite; promote another version")
    empty = [feature.name for feature in task.features if feature.kind == "category" and "" in feature.values]
    if empty:
        raise ReleaseError(f"the empty word stands for a missing one, so {empty} cannot declare it as a value")
