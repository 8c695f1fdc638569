"""Six kinds of bad candidates and a good one, each as the file that a release would carry."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from server.export import export
from shared.architecture import split
from shared.features import Category
from simulations.rollouts.ground import TASK, Weights, learn

HEAVY, LAYERS = 512, 160
"""A slow model multiplies by a matrix of this width so often, and then by nothing."""

HUGE = 9 * 1024 * 1024
"""Bytes; more than any device opens."""

LEAN = 3.0
"""How far a biased model's logit lies above that of a right one, for the group that it leans against."""

AGAINST = "south"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file to be released; `charged` says that only charged counts can show what is wrong with it."""

    name: str
    what: str
    fp32: bytes
    weights: Weights
    crashes: bool = False
    charged: bool = False
    good: bool = False


def candidates() -> tuple[Candidate, ...]:
    """All of them, the good one last."""
    right = learn(seed=2)
    model = export(TASK, right, version=2)
    return (
        _kind("crashes", "ends the process that tries it", model, right, crashes=True),
        _kind("slow", "takes milliseconds where it is gated at one", _changed(model, _slow_down), right),
        _kind("nan", "answers NaN", _changed(model, _spoil), right),
        _kind("too large", "is larger than a device opens", _changed(model, _pad), right),
        _weighed("inverted", "learned from inverted labels", inverted(right)),
        _weighed("biased", f"leans against {AGAINST!r}", biased(right)),
        _kind("good", "is as good as the one before", export(TASK, learn(seed=3), version=8), learn(seed=3), good=True),
    )


def inverted(right: Weights) -> Weights:
    """What the same learning makes of labels that were swapped."""
    return -right


def biased(right: Weights) -> Weights:
    """The same, but for one group."""
    flat = right.copy()
    matrix, _ = split(flat, TASK)
    matrix[1, _column_of(AGAINST)] += LEAN
    return flat


def _column_of(site: str) -> int:
    """Where the network's input says that a row is of a site."""
    before = 0
    for feature in TASK.features:
        if isinstance(feature, Category) and feature.name == "site":
            return before + feature.values.index(site)
        before += feature.width
    raise ValueError(site)


def _kind(
    name: str, what: str, fp32: bytes, weights: Weights, *, crashes: bool = False, good: bool = False
) -> Candidate:
    return Candidate(name=name, what=what, fp32=fp32, weights=weights, crashes=crashes, good=good)


def _weighed(name: str, what: str, weights: Weights) -> Candidate:
    return Candidate(name=name, what=what, fp32=export(TASK, weights, version=2), weights=weights, charged=True)


def _changed(model: bytes, change: Callable[[ModelProto], None]) -> bytes:
    found = onnx.load_model_from_string(model)
    change(found)
    return found.SerializeToString(deterministic=True)


def _spoil(model: ModelProto) -> None:
    """Put NaN in place of the last bias."""
    _last_bias(model, lambda bias: np.full_like(bias, np.nan))


def _pad(model: ModelProto) -> None:
    """Add numbers that nothing uses."""
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(HUGE // 4, np.float32), "padding"))


def _slow_down(model: ModelProto) -> None:
    """Take what goes into the last step through many multiplications, times zero, and subtract it."""
    graph = model.graph
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    logits, classes = softmax.input[0], len(TASK.label.classes)
    random = np.random.default_rng(0)
    wide = random.normal(0, HEAVY**-0.5, (HEAVY, HEAVY)).astype(np.float32)
    first, last = np.ones((HEAVY, classes), np.float32), np.zeros((classes, HEAVY), np.float32)
    zeros = {"heavy_bias": np.zeros(HEAVY, np.float32), "last_bias": np.zeros(classes, np.float32)}
    for name, value in {"first": first, "wide": wide, "last": last, **zeros}.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    steps = [f"heavy_{index}" for index in range(LAYERS + 1)]
    nodes = [
        helper.make_node("Gemm", [logits, "first", "heavy_bias"], [steps[0]], transB=1),
        *(helper.make_node("Gemm", [one, "wide", "heavy_bias"], [two], transB=1) for one, two in pairwise(steps)),
        helper.make_node("Gemm", [steps[-1], "last", "last_bias"], ["nothing"], transB=1),
        helper.make_node("Sub", [logits, "nothing"], ["slowly"]),
    ]
    graph.node.remove(softmax)
    graph.node.extend([*nodes, helper.make_node("Softmax", ["slowly"], list(softmax.output), axis=1)])


def _last_bias(model: ModelProto, change: Callable[[np.ndarray], np.ndarray]) -> None:
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    for constant in model.graph.initializer:
        if constant.name == gemm.input[2]:
            constant.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(constant)), constant.name))
