"""A model file that could do more than answer never reaches ONNX Runtime."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from releasing import some_weights

from server.export import export
from shared import hostile
from shared.errors import ReleaseError
from shared.hostile import check_model_file
from shared.tasks import Task


def keep_weights_elsewhere(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def point_elsewhere_quietly(model: ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def import_another_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def use_another_domain(model: ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def use_a_newer_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 23


def loop_for_ever(model: ModelProto) -> None:
    model.graph.node.add(op_type="Loop", input=["", "", "numbers"], output=["again"])


def make_noise(model: ModelProto) -> None:
    model.graph.node.add(op_type="RandomUniform", output=["noise"])


def hide_a_graph(model: ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", onnx.GraphProto()))


def define_functions(model: ModelProto) -> None:
    model.functions.add(name="Softmax", domain="")


def claim_a_huge_constant(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def claim_a_negative_shape(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1]


def multiply_tensors_out(model: ModelProto) -> None:
    """Two small constants whose sum is 10^10 numbers."""
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((100_000, 1), np.float32), "tall"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 100_000), np.float32), "wide"))
    model.graph.node.insert(0, helper.make_node("Mul", ["tall", "wide"], ["big"]))


def multiply_records_out(model: ModelProto) -> None:
    """A tensor that is small for one record and takes 1 GiB for the batch that a self-test asks."""
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1 << 20), np.float32), "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "first"))
    model.graph.node.insert(0, helper.make_node("Mul", ["one", "wide"], ["big"]))
    model.graph.node.insert(0, helper.make_node("Gather", ["numbers", "first"], ["one"], axis=1))


def have_too_many_nodes(model: ModelProto) -> None:
    for index in range(hostile.MAX_NODES):
        model.graph.node.insert(0, helper.make_node("Not", ["scores"], [f"n{index}"]))


def train_itself(model: ModelProto) -> None:
    model.training_info.add()


ATTACKS = [
    keep_weights_elsewhere, point_elsewhere_quietly, import_another_domain, use_another_domain, use_a_newer_opset,
    loop_for_ever, make_noise, hide_a_graph, define_functions, claim_a_huge_constant, claim_a_negative_shape,
    multiply_tensors_out, multiply_records_out, have_too_many_nodes, train_itself,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_file_is_refused(attack: Callable[[ModelProto], None], task: Task) -> None:
    model = onnx.load_model_from_string(export(task, some_weights(task, seed=1), version=1))
    check_model_file(model.SerializeToString(), what="fp32.onnx")
    attack(model)
    with pytest.raises(ReleaseError, match=r"fp32\.onnx is refused"):
        check_model_file(model.SerializeToString(), what="fp32.onnx")


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"not a model", bytes(hostile.MAX_BYTES + 1)])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(ReleaseError, match="is refused"):
        check_model_file(data, what="int8.onnx")
