"""Writes `shared/features.py` as an ONNX graph, feature kind by feature kind.

All features of one kind are computed together, so a graph has about thirty nodes however many columns
a task has. That orders the network's inputs by kind; `Block.inputs` says which ones a block holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from shared.features import Bucket, Category, Cycle, Feature, Number
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A tensor of shape `(rows, len(inputs))`, and which of the network's inputs its columns are."""

    tensor: str
    inputs: tuple[int, ...]


@dataclass(slots=True)
class Sketch:
    """A graph being drawn: nodes in order, and constants."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str | NDArray[Any], **attributes: Any) -> str:
        """Append a node over tensors and constants; returns its output's name."""
        output = f"t{len(self.nodes)}"
        names = [item if isinstance(item, str) else self._constant(item) for item in inputs]
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def draw_features(sketch: Sketch, task: Task) -> list[Block]:
    """Draw from the inputs `numbers` and `texts` to the network's input, in one block for each kind."""
    starts = list(accumulate((feature.width for feature in task.features), initial=0))
    placed = list(zip(task.features, starts, strict=False))
    numbers = [(f, start) for f, start in placed if isinstance(f, Number)]
    cycles = [(f, start) for f, start in placed if isinstance(f, Cycle)]
    buckets = [(f, start) for f, start in placed if isinstance(f, Bucket)]
    categories = [(f, start) for f, start in placed if isinstance(f, Category)]
    blocks = [
        _numbers(sketch, task, numbers) if numbers else None,
        _cycles(sketch, task, cycles) if cycles else None,
        _buckets(sketch, task, buckets) if buckets else None,
        _categories(sketch, task, categories) if categories else None,
    ]
    return [block for block in blocks if block]


def _numbers(sketch: Sketch, task: Task, placed: Sequence[tuple[Number, int]]) -> Block:
    features = [feature for feature, _ in placed]
    low = np.array([f.low for f in features], np.float32)
    high = np.array([f.high for f in features], np.float32)
    scale = np.array([2 / (f.high - f.low) for f in features], np.float32)
    missing = np.array([f.missing for f in features], np.float32)
    raw = _pick(sketch, "numbers", [task.numbers.index(f.name) for f in features], len(task.numbers))
    filled = sketch.add("Where", sketch.add("IsNaN", raw), missing, raw)
    clamped = sketch.add("Min", sketch.add("Max", filled, low), high)
    scaled = sketch.add("Mul", sketch.add("Sub", clamped, low), scale)
    return Block(tensor=sketch.add("Sub", scaled, np.array([1], np.float32)), inputs=_inputs(placed))


def _cycles(sketch: Sketch, task: Task, placed: Sequence[tuple[Cycle, int]]) -> Block:
    speed = np.array([2 * np.pi / f.period for f, _ in placed], np.float32)
    raw = _pick(sketch, "numbers", [task.numbers.index(f.name) for f, _ in placed], len(task.numbers))
    angle = sketch.add("Mul", raw, speed)
    turned = sketch.add("Concat", sketch.add("Sin", angle), sketch.add("Cos", angle), axis=1)
    known = sketch.add("Where", sketch.add("IsNaN", turned), np.array([0], np.float32), turned)
    sines, cosines = (tuple(start + turn for _, start in placed) for turn in (0, 1))
    return Block(tensor=known, inputs=sines + cosines)


def _buckets(sketch: Sketch, task: Task, placed: Sequence[tuple[Bucket, int]]) -> Block:
    """At or above the lower edge, less at or above the upper; no number is at or above NaN, so the last is open."""
    lower = np.concatenate([np.array([-np.inf, *f.edges], np.float32) for f, _ in placed])
    upper = np.concatenate([np.array([*f.edges, np.nan], np.float32) for f, _ in placed])
    columns = [task.numbers.index(f.name) for f, _ in placed for _ in range(f.width)]
    raw = _pick(sketch, "numbers", columns, len(task.numbers))
    reached, passed = (sketch.add("GreaterOrEqual", raw, edges) for edges in (lower, upper))
    inside = sketch.add("And", reached, sketch.add("Not", passed))
    return Block(tensor=_to_float(sketch, inside), inputs=_inputs(placed))


def _categories(sketch: Sketch, task: Task, placed: Sequence[tuple[Category, int]]) -> Block:
    words = np.array([word for f, _ in placed for word in f.values], dtype=object)
    columns = [task.texts.index(f.name) for f, _ in placed for _ in f.values]
    equal = sketch.add("Equal", _pick(sketch, "texts", columns, len(task.texts)), words)
    return Block(tensor=_to_float(sketch, equal), inputs=_inputs(placed))


def _pick(sketch: Sketch, source: str, columns: list[int], width: int) -> str:
    """The listed columns of an input; the input itself where that is all of it in order."""
    if columns == list(range(width)):
        return source
    return sketch.add("Gather", source, np.array(columns, np.int64), axis=1)


def _to_float(sketch: Sketch, tensor: str) -> str:
    return sketch.add("Cast", tensor, to=TensorProto.FLOAT)


def _inputs(placed: Sequence[tuple[Feature, int]]) -> tuple[int, ...]:
    return tuple(start + offset for feature, start in placed for offset in range(feature.width))
