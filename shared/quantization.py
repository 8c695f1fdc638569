"""The signed recipe by which int8 is made of a verified fp32 file: the coordinator's gates and every device follow it.

Ranges come from synthetic records within the task's declared bounds, never from the owner's rows: which file a
device then serves, and how fast, is told to the coordinator (privacy rule 12). The arithmetic is real: inputs of a
layer as unsigned bytes, weights as signed bytes with a scale for each output, sums in 32 bits. Ranges are fixed when
the file is made, so that no record of a batch moves another's answer (privacy rule 3).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from shared.errors import ReleaseError
from shared.feeds import to_feeds
from shared.models import Recipe
from shared.runtime import open_model
from shared.synthetic import make_columns
from shared.tasks import Task

RECIPE: Recipe = "qdq-1"
RECORDS = 512

Range = tuple[float, float]


@dataclass(slots=True)
class _Sheet:
    """A graph being written again: its constants by name, and the nodes so far."""

    model: ModelProto
    constants: dict[str, NDArray[Any]]
    nodes: list[NodeProto]

    def add(self, operator: str, *inputs: str | NDArray[Any], **attributes: Any) -> str:
        """Append a node over tensors and constants; returns its output's name."""
        output = f"q{len(self.nodes)}"
        names = [item if isinstance(item, str) else self._constant(item) for item in inputs]
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name


def quantize(task: Task, fp32: bytes) -> bytes:
    """The int8 file that the recipe makes of a verified `fp32` file; raise `ReleaseError` if it cannot be followed.

    The last of several layers stays as it is: it is small, and scores are read from it.
    """
    model = onnx.load_model_from_string(fp32)
    layers = [node for node in model.graph.node if _is_layer(node)]
    chosen = {node.output[0] for node in (layers[:-1] or layers)}
    ranges = _ranges(model, task, [node for node in layers if node.output[0] in chosen])
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sheet = _Sheet(model, constants, [])
    for node in _without_clamps(model, constants):
        _write_layer(sheet, node, ranges) if node.output[0] in chosen else sheet.nodes.append(node)
    return _serialized(sheet)


def _without_clamps(model: ModelProto, constants: dict[str, NDArray[Any]]) -> Iterator[NodeProto]:
    """The nodes without those that clamp numbers to their declared bounds: bytes saturate there by themselves.

    A clamped number is scaled to [-1, 1], the range that the first layer's bytes have.
    """
    whole = ModelProto()
    whole.CopyFrom(model)
    unclamped: dict[str, str] = {}
    for node in whole.graph.node:
        node.input[:] = [unclamped.get(name, name) for name in node.input]
        if node.op_type in ("Max", "Min") and node.input[1] in constants:
            unclamped[node.output[0]] = node.input[0]
        else:
            yield node


def _is_layer(node: NodeProto) -> bool:
    """A convolution, or a matrix product whose weight has its outputs first."""
    turned = any(attribute.name == "transB" and attribute.i == 1 for attribute in node.attribute)
    return node.op_type == "Conv" or (node.op_type == "Gemm" and turned)


def _ranges(model: ModelProto, task: Task, layers: list[NodeProto]) -> dict[str, Range]:
    """From where to where each layer's input goes, and a convolution's output, on synthetic records."""
    names = list(dict.fromkeys(name for node in layers for name in _watched(node)))
    probe = ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_model(probe.SerializeToString())
    feeds = to_feeds(task, make_columns(task, RECORDS, seed=task.revision, wild=True))
    try:
        tables: list[NDArray[Any]] = session.run(names, feeds)
    except Exception as error:
        raise ReleaseError(f"the recipe for int8 cannot be followed: {error}") from error
    return {name: (float(table.min()), float(table.max())) for name, table in zip(names, tables, strict=True)}


def _watched(node: NodeProto) -> Iterator[str]:
    yield node.input[0]
    if node.op_type == "Conv":
        yield node.output[0]


def _write_layer(sheet: _Sheet, node: NodeProto, ranges: dict[str, Range]) -> None:
    """A layer between bytes; ONNX Runtime fuses what stands around it into one integer operation."""
    values, scale = _as_bytes(sheet, node.input[0], ranges[node.input[0]])
    weight, scales = _weight(sheet, sheet.constants[node.input[1]])
    inputs = [values, weight]
    if len(node.input) > 2:
        inputs.append(_bias(sheet, sheet.constants[node.input[2]], scale * scales))
    layer = sheet.add(node.op_type, *inputs)
    sheet.nodes[-1].attribute.extend(node.attribute)
    if node.op_type == "Conv":
        _as_bytes(sheet, layer, ranges[node.output[0]])
    sheet.nodes[-1].output[0] = node.output[0]


def _as_bytes(sheet: _Sheet, tensor: str, bounds: Range) -> tuple[str, np.float32]:
    """Round a tensor to unsigned bytes; zero stays exactly zero."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale = np.float32((high - low) / 255 or 1.0)
    zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
    grid = np.array(scale), np.array(zero)
    return sheet.add("DequantizeLinear", sheet.add("QuantizeLinear", tensor, *grid), *grid), scale


def _weight(sheet: _Sheet, weight: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
    """Signed bytes with a scale for each output, which is the first axis."""
    peaks = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scales = np.where(peaks > 0, peaks / 127, 1).astype(np.float32)
    whole = np.rint(weight / scales.reshape(-1, *(1,) * (weight.ndim - 1))).astype(np.int8)
    return sheet.add("DequantizeLinear", whole, scales, np.zeros(len(scales), np.int8), axis=0), scales


def _bias(sheet: _Sheet, bias: NDArray[np.float32], scales: NDArray[np.float32]) -> str:
    limit = float(2**31 - 128)
    whole = np.clip(np.rint(bias.astype(np.float64) / scales), -limit, limit).astype(np.int32)
    return sheet.add("DequantizeLinear", whole, scales, np.zeros(len(scales), np.int32), axis=0)


def _serialized(sheet: _Sheet) -> bytes:
    used = {name for node in sheet.nodes for name in node.input}
    graph = sheet.model.graph
    del graph.node[:], graph.initializer[:]
    graph.node.extend(sheet.nodes)
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in sheet.constants.items() if name in used)
    return sheet.model.SerializeToString(deterministic=True)
