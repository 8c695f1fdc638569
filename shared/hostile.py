"""Refuses a model file that could do more than answer, before ONNX Runtime sees it.

What may occur is a list of what Covey's own files need: no loops, no branches, no files outside, no
operators of other domains, and no tensor that grows beyond what a record needs.
"""

import math
from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from shared.errors import ReleaseError
from shared.feeds import SCORES
from shared.images import MAX_PRODUCTS

MAX_BYTES = 8 * 1024 * 1024
MAX_NODES = 200
MAX_ELEMENTS = 4 * 1024 * 1024
MAX_OPSET = 19
BATCH = 256
"""How many records a self-test asks at once: what a tensor of theirs may grow to is counted for so many."""

MAX_BATCH_ELEMENTS = 64 * 1024 * 1024
# fmt: off
OPERATORS = frozenset({
    "And", "Cast", "Concat", "Conv", "Cos", "DequantizeLinear", "Equal", "Gather", "Gemm", "GreaterOrEqual", "IsNaN",
    "Max", "Min", "Mul", "Not", "Reshape", "Sin", "Softmax", "Sub", "Tanh", "Where",
})
# fmt: on
CONVOLUTIONS = [{"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride, stride]} for stride in (1, 2)]
"""The attributes that a convolution may have."""


def check_model_file(data: bytes, *, what: str) -> None:
    """Raise `ReleaseError`, naming `what` and why, unless the bytes are a plain model in Covey's form."""
    model = _parse(data, what)
    for complaint in _complaints(model):
        raise ReleaseError(f"{what} is refused: {complaint}")


def _parse(data: bytes, what: str) -> ModelProto:
    if len(data) > MAX_BYTES:
        raise ReleaseError(f"{what} is refused: {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        return onnx.load_model_from_string(data)
    except DecodeError:
        raise ReleaseError(f"{what} is refused: it is not an ONNX file") from None


def _complaints(model: ModelProto) -> Iterator[str]:
    """Everything wrong with a model, cheapest test first; nothing is computed from a graph that failed one."""
    yield from _foreign_parts(model)
    yield from _foreign_nodes(model.graph)
    yield from _bad_constants(model.graph)
    yield from _unbounded_nodes(model.graph)
    yield from _growing_tensors(model)


def _foreign_parts(model: ModelProto) -> Iterator[str]:
    domains = {str(opset.domain): opset.version for opset in model.opset_import}
    # A name that is not UTF-8 comes as bytes.
    inputs, outputs = ({str(value.name) for value in values} for values in (model.graph.input, model.graph.output))
    if not inputs <= {"numbers", "texts"} or outputs != {SCORES}:
        yield f"it takes {sorted(inputs)} and gives {sorted(outputs)}, expected numbers and texts to {SCORES}"
    if set(domains) - {"", "ai.onnx"}:
        yield f"it imports operators of {sorted(domain for domain in domains if domain)}, expected the standard ones alone"
    if max(domains.values(), default=0) > MAX_OPSET:
        yield f"it imports opset {max(domains.values())}, expected at most {MAX_OPSET}"
    if model.functions or model.training_info:
        yield "it defines functions or training of its own"
    if model.graph.sparse_initializer or model.graph.quantization_annotation:
        yield "it holds sparse or annotated constants"


def _foreign_nodes(graph: GraphProto) -> Iterator[str]:
    if len(graph.node) > MAX_NODES:
        yield f"it has {len(graph.node)} nodes, expected at most {MAX_NODES}"
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            yield f"it has a node {node.domain or 'ai.onnx'}:{node.op_type}"
        if any(attribute.HasField("g") or attribute.graphs or attribute.HasField("t") for attribute in node.attribute):
            yield f"its node {node.op_type} carries a graph or a tensor of its own"


def _bad_constants(graph: GraphProto) -> Iterator[str]:
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            yield f"its constant {tensor.name!r} lies in another file"
        if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > MAX_ELEMENTS:
            yield f"its constant {tensor.name!r} claims the shape {list(tensor.dims)}"


def _unbounded_nodes(graph: GraphProto) -> Iterator[str]:
    """A reshape that mixes records, or a convolution other than Covey's own."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        attributes = {attribute.name: list(attribute.ints) for attribute in node.attribute}
        if node.op_type == "Reshape" and (attributes or not _keeps_records(constants.get(node.input[-1]))):
            yield "its node Reshape takes another shape than a constant one that keeps each record to itself"
        if node.op_type == "Conv" and attributes not in CONVOLUTIONS:
            yield f"its node Conv has the attributes {attributes}, expected one of {CONVOLUTIONS}"


def _keeps_records(shape: TensorProto | None) -> bool:
    """Whether a constant says: as many rows as there are, and a stated size for each."""
    if shape is None or shape.data_type != TensorProto.INT64 or len(shape.raw_data) != 8 * math.prod(shape.dims):
        return False
    sizes = memoryview(shape.raw_data).cast("q").tolist()
    return 2 <= len(sizes) <= 4 and sizes[0] == 0 and all(size > 0 for size in sizes[1:])


def _growing_tensors(model: ModelProto) -> Iterator[str]:
    """What a batch makes of the graph: every tensor's shape must be known, but for the number of records, and small."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        yield f"its shapes do not fit together ({str(error).splitlines()[0]})"
        return
    known = {value.name for value in inferred.value_info} | {value.name for value in inferred.output}
    if unknown := {name for node in inferred.node for name in node.output} - known:
        yield f"the shapes of {sorted(unknown)} are unknown"
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if _elements(value) > MAX_ELEMENTS:
            yield f"its tensor {value.name!r} grows to {_elements(value)} elements for one record"
        if _elements(value, records=BATCH) > MAX_BATCH_ELEMENTS:
            yield f"its tensor {value.name!r} grows to {_elements(value, records=BATCH)} elements for {BATCH} records"
    yield from _heavy_convolutions(inferred)


def _heavy_convolutions(inferred: GraphProto) -> Iterator[str]:
    """Each of a convolution's outputs takes as many products as the kernel of one channel holds."""
    kernels = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    values = {value.name: value for value in (*inferred.value_info, *inferred.output)}
    kernels |= {name: [size.dim_value for size in value.type.tensor_type.shape.dim] for name, value in values.items()}
    for node in inferred.node:
        if node.op_type != "Conv":
            continue
        kernel = kernels.get(node.input[1], [0])
        products = _elements(values[node.output[0]]) * math.prod(kernel[1:])
        if min(kernel) < 1 or products > MAX_PRODUCTS:
            yield f"its node Conv takes {products} products for one record, expected at most {MAX_PRODUCTS}"


def _elements(value: ValueInfoProto, *, records: int = 1) -> int:
    """How many elements a number of records makes; a shape that is not known counts as endless."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return MAX_BATCH_ELEMENTS + 1
    return math.prod(size.dim_value if size.HasField("dim_value") else records for size in tensor.shape.dim)
