"""Builds the graph that explains a release: integrated gradients, written out as operators (Sundararajan et al. 2017).

The gradient of the answered class's probability is followed along the straight line from the record in which
everything is missing to the record itself, at 50 points of Gauss and Legendre. The first layer is linear, so its
part of the line is one product for all points; the layers after it are passed forwards and backwards by hand.
The graph never leaves this device.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from client.attributions import ATTRIBUTIONS
from shared.architecture import shapes
from shared.errors import ReleaseError
from shared.features import Bucket, Category, Cycle, Number, encode_columns
from shared.feeds import SCORES, to_feeds
from shared.runtime import open_model
from shared.synthetic import make_columns
from shared.tasks import Task

STEPS = 50
TRIAL_RECORDS = 64
MOST_GAP = 0.01
"""How far attributions may sum from the difference of scores that they explain; more, and nothing is explained."""

Array = NDArray[np.float32]


def build_graph(task: Task, fp32: bytes) -> bytes:
    """The explanation of a verified release `fp32`: takes its inputs, gives its scores and `ATTRIBUTIONS`.

    Raise `ReleaseError` for a network of an unknown kind, and if what was built does not hold on made-up records.
    """
    model = _parsed(fp32)
    encoded, layers = _network(model, task)
    pen = _Pen(model)
    _draw(pen, task, encoded, layers)
    _require_complete(task, model, encoded)
    _set_outputs(model, {ATTRIBUTIONS: len(task.numbers) + len(task.texts), SCORES: len(task.label.classes)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


@dataclass(slots=True)
class _Pen:
    """Draws into a model that has a graph already."""

    model: ModelProto
    drawn: int = 0

    def add(self, operator: str, *inputs: str | NDArray[Any], **attributes: Any) -> str:
        """Append a node over tensors and constants; returns its output's name."""
        self.drawn += 1
        output = f"explain{self.drawn}"
        names = [item if isinstance(item, str) else self._constant(item, place) for place, item in enumerate(inputs)]
        self.model.graph.node.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def reshape(self, tensor: str, *shape: int) -> str:
        """Another shape, with the number of rows left open."""
        return self.add("Reshape", tensor, np.array([-1, *shape], np.int64))

    def _constant(self, value: NDArray[Any], place: int) -> str:
        name = f"explain{self.drawn}_{place}"
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


class _Layer(Protocol):
    """A linear map between flat rows, and its bias."""

    @property
    def bias(self) -> Array: ...

    def forwards(self, pen: _Pen, tensor: str) -> str:
        """The map without its bias."""
        ...

    def backwards(self, pen: _Pen, tensor: str) -> str:
        """The transposed map, which gradients pass."""
        ...


@dataclass(frozen=True, slots=True)
class _Dense:
    """A weight matrix of shape `(out, in)`."""

    weight: Array
    bias: Array

    def forwards(self, pen: _Pen, tensor: str) -> str:
        return pen.add("MatMul", tensor, np.ascontiguousarray(self.weight.T))

    def backwards(self, pen: _Pen, tensor: str) -> str:
        return pen.add("MatMul", tensor, self.weight)


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A kernel of shape `(out, in, height, width)` between maps of `(channels, height, width)`."""

    weight: Array
    bias: Array
    inputs: tuple[int, int, int]
    outputs: tuple[int, int, int]
    stride: int

    def forwards(self, pen: _Pen, tensor: str) -> str:
        image = pen.reshape(tensor, *self.inputs)
        return pen.reshape(pen.add("Conv", image, self.weight, **self._movement), int(np.prod(self.outputs)))

    def backwards(self, pen: _Pen, tensor: str) -> str:
        image, sides = pen.reshape(tensor, *self.outputs), zip(self.inputs[1:], self.outputs[1:], strict=True)
        kernel = self.weight.shape[-1]
        rest = [size - ((moved - 1) * self.stride - 2 + kernel) for size, moved in sides]
        turned = pen.add("ConvTranspose", image, self.weight, **self._movement, output_padding=rest)
        return pen.reshape(turned, int(np.prod(self.inputs)))

    @property
    def _movement(self) -> dict[str, Any]:
        return {"kernel_shape": list(self.weight.shape[2:]), "pads": [1] * 4, "strides": [self.stride] * 2}


def _parsed(fp32: bytes) -> ModelProto:
    try:
        return onnx.load_model_from_string(fp32)
    except DecodeError:
        raise ReleaseError("no explanation for this release: it is not an ONNX file") from None


def _network(model: ModelProto, task: Task) -> tuple[str, list[_Layer]]:
    """The tensor that enters the network, and the layers, as the release has them."""
    nodes, parameters = _parameters(model, task)
    makers = {node.output[0]: node for node in model.graph.node}
    before = makers.get(nodes[0].input[0])
    entered = before.input[0] if before is not None and before.op_type == "Reshape" else nodes[0].input[0]
    return entered, list(_layers(task, parameters))


def _parameters(model: ModelProto, task: Task) -> tuple[list[NodeProto], list[Array]]:
    """The layers' nodes and their weights and biases, as the file has them."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    parameters = [constants.get(name, np.zeros(0)) for node in nodes for name in node.input[1:]]
    if [found.shape for found in parameters] != list(shapes(task)):
        raise ReleaseError(f"no explanation for this kind of network: {task.architecture.kind!r} in an unknown form")
    return nodes, parameters


def released_weights(task: Task, fp32: bytes) -> NDArray[np.float32]:
    """The flat weights, shape `(size,)`, that a release was exported from; `ReleaseError` for an unknown form."""
    _, parameters = _parameters(_parsed(fp32), task)
    if task.architecture.image is None:
        first = np.empty_like(parameters[0])
        first[:, _order(task)] = parameters[0]
        parameters[0] = first
    return np.concatenate([array.ravel() for array in parameters]).astype(np.float32)


def _layers(task: Task, parameters: list[Array]) -> Iterator[_Layer]:
    image = task.architecture.image
    for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        if weight.ndim == 2 or image is None:
            yield _Dense(weight, bias)
            continue
        inputs, outputs = image.maps[number : number + 2]
        each = np.repeat(bias, outputs[1] * outputs[2])
        yield _Convolution(weight, each, inputs, outputs, image.stride)


def _draw(pen: _Pen, task: Task, encoded: str, layers: list[_Layer]) -> None:
    """From the encoded record to one share for each raw column."""
    order = _order(task)
    missing = _missing(task)[:, order]
    points, weights = np.polynomial.legendre.leggauss(STEPS)
    line, shares = ((points + 1) / 2).astype(np.float32), (weights / 2).astype(np.float32)

    away = pen.add("Sub", encoded, missing)
    moved = pen.reshape(layers[0].forwards(pen, away), 1, layers[0].bias.size)
    start = pen.add("Add", layers[0].forwards(pen, pen.add("Identity", missing)), layers[0].bias)
    entered = pen.add("Add", pen.add("Mul", moved, line[None, :, None]), start)
    gradient = _gradient(pen, pen.reshape(entered, layers[0].bias.size), layers[1:], len(task.label.classes))

    steps = pen.reshape(gradient, STEPS, layers[0].bias.size)
    mean = pen.reshape(pen.add("MatMul", shares[None, None, :], steps), layers[0].bias.size)
    each = pen.add("Mul", layers[0].backwards(pen, mean), away)
    pen.add("MatMul", each, _columns(task)[order])
    pen.model.graph.node[-1].output[0] = ATTRIBUTIONS


def _gradient(pen: _Pen, tensor: str, layers: list[_Layer], classes: int) -> str:
    """Of the answered class's probability, by what leaves the first layer: shape `(rows * STEPS, size)` for both."""
    slopes: list[str] = []
    for layer in layers:
        bent = pen.add("Tanh", tensor)
        slopes.append(pen.add("Sub", np.ones(1, np.float32), pen.add("Mul", bent, bent)))
        tensor = pen.add("Add", layer.forwards(pen, bent), layer.bias)
    chances = pen.reshape(pen.add("Softmax", tensor, axis=1), STEPS, classes)
    best = pen.add("ArgMax", SCORES, axis=1, keepdims=1)
    answered = pen.add("Cast", pen.add("Equal", best, np.arange(classes)), to=TensorProto.FLOAT)
    chosen = pen.reshape(answered, 1, classes)
    chance = pen.add("ReduceSum", pen.add("Mul", chances, chosen), np.array([2]), keepdims=1)
    gradient = pen.reshape(pen.add("Mul", chance, pen.add("Sub", chosen, chances)), classes)
    for layer, slope in zip(reversed(layers), reversed(slopes), strict=True):
        gradient = pen.add("Mul", layer.backwards(pen, gradient), slope)
    return gradient


def _order(task: Task) -> list[int]:
    """Which of the network's inputs stand where in a release: all features of one kind together, cycles by sine, cosine."""
    starts = list(accumulate((feature.width for feature in task.features), initial=0))
    placed = list(zip(task.features, starts, strict=False))
    blocks = {kind: [(f, start) for f, start in placed if isinstance(f, kind)] for kind in (Number, Bucket, Category)}
    cycles = [start for feature, start in placed if isinstance(feature, Cycle)]
    by_kind = {kind: [start + i for f, start in block for i in range(f.width)] for kind, block in blocks.items()}
    turns = [*cycles, *(start + 1 for start in cycles)]
    return [*by_kind[Number], *turns, *by_kind[Bucket], *by_kind[Category]]


def _missing(task: Task) -> Array:
    """The encoded record in which every column is missing, shape `(1, inputs)`."""
    numbers = {name: np.full(1, np.nan, np.float32) for name in task.numbers}
    return encode_columns(task.features, numbers | {name: np.array([None], dtype=object) for name in task.texts})


def _columns(task: Task) -> Array:
    """Which raw column each of the network's inputs comes from: ones and zeros of shape `(inputs, columns)`."""
    names = (*task.numbers, *task.texts)
    of_inputs = [names.index(feature.name) for feature in task.features for _ in range(feature.width)]
    return np.eye(len(names), dtype=np.float32)[of_inputs]


def _require_complete(task: Task, model: ModelProto, encoded: str) -> None:
    """Raise `ReleaseError` unless the release encodes as expected and attributions sum to what they explain."""
    _set_outputs(
        model,
        {ATTRIBUTIONS: len(task.numbers) + len(task.texts), SCORES: len(task.label.classes), encoded: task.inputs},
    )
    made = make_columns(task, TRIAL_RECORDS, seed=task.revision)
    columns = {name: _with_missing(column) for name, column in made.items()}
    session = open_model(model.SerializeToString())
    shares, scores, inputs = session.run([ATTRIBUTIONS, SCORES, encoded], to_feeds(task, columns))
    if not np.allclose(inputs, encode_columns(task.features, columns)[:, _order(task)], atol=1e-4):
        raise ReleaseError("no explanation for this release: it encodes its columns in an order unknown here")
    answered = scores.argmax(axis=1)
    moved = scores[np.arange(len(scores)), answered] - scores[-1, answered]
    gap = float(np.abs(shares.sum(axis=1) - moved).max())
    if not gap <= MOST_GAP:
        raise ReleaseError(f"no explanation for this release: shares miss the score by {gap:.3f}, at most {MOST_GAP:g}")


def _with_missing(column: NDArray[Any]) -> NDArray[Any]:
    """A column with one row more, in which it is missing."""
    missing = np.array([None if column.dtype == object else np.nan], dtype=column.dtype)
    return np.concatenate([column, missing])


def _set_outputs(model: ModelProto, widths: dict[str, int]) -> None:
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width]) for name, width in widths.items()
    )
