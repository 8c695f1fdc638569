"""What fuzzing found, each as the smallest thing that shows it; the inputs themselves lie in `tests/corpus`."""

import io
import math
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import nanoarrow
import onnx
import pytest
from flwr.proto.fleet_pb2 import PullMessagesResponse
from flwr.proto.message_pb2 import ObjectTree
from machines import small_task
from nanoarrow.ipc import StreamWriter

from client.fleet import read_heads
from client.serving import arrow
from client.serving.app import Problem
from client.serving.app import _read as read_at_the_endpoint
from server.export import export
from server.gateway import Gateway, Refused
from shared import wire
from shared.accounting import admit, epsilon
from shared.architecture import initial_weights
from shared.central import MOST_ROUNDS, CentralRound
from shared.errors import BudgetExhausted, ContractError, ReleaseError, WireError
from shared.hostile import check_model_file
from shared.privacy import PrivacyBudget, SampledGaussian

BUDGET = PrivacyBudget(epsilon=1.0, delta=1e-5)
HONEST = SampledGaussian(noise_multiplier=2.0, sample_rate=0.1, steps=3)


def event(noise: float, rate: float = 0.25, steps: int = 1) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=steps)


# -- too little noise came to no number, and no number to an epsilon of nothing ---------------


@pytest.mark.parametrize("noise", [5e-324, 1e-300, 1e-160, 1e-155, 1e-120, 1e-101, 1e-100, 1e-50, 1e-9])
@pytest.mark.parametrize("rate", [1e-3, 0.25, 0.999, math.nextafter(1.0, 0.0), 1.0])
def test_hardly_any_noise_is_never_affordable(noise: float, rate: float) -> None:
    assert epsilon([event(noise, rate)], delta=1e-5) > 1e6
    with pytest.raises(BudgetExhausted):
        admit([event(noise, rate)], BUDGET)


@pytest.mark.parametrize("noise", [5e-324, 1e-160, 1e-101])
def test_one_such_release_does_not_make_the_others_free(noise: float) -> None:
    assert epsilon([HONEST, event(noise)], delta=1e-5) == math.inf
    with pytest.raises(BudgetExhausted):
        admit([event(noise), HONEST], BUDGET)


@pytest.mark.parametrize("noise", [1e99, 1e100, 1e154, 1e155, 4e200, 1.7e308])
@pytest.mark.parametrize("rate", [5e-324, 1e-3, 0.25, 1.0])
def test_very_much_noise_is_counted_and_not_a_crash(noise: float, rate: float) -> None:
    assert 0.0 <= epsilon([event(noise, rate, 1000)], delta=1e-5) < 0.01
    assert epsilon([HONEST, event(noise, rate)], delta=1e-5) >= epsilon([HONEST], delta=1e-5)


@pytest.mark.parametrize("digits", [300, 308, 309, 4000])
def test_steps_beyond_every_float_cost_without_bound(digits: int) -> None:
    """Whoever lets such a number through: an event's own bound is another's to keep."""
    endless: Any = SimpleNamespace(noise_multiplier=1.0, sample_rate=0.25, steps=10**digits)
    assert epsilon([endless], delta=1e-5) > 1e200
    with pytest.raises(BudgetExhausted):
        admit([endless], BUDGET)


def test_less_noise_never_costs_less() -> None:
    noises = [10.0**exponent for exponent in range(-320, 309, 4)]
    costs = [epsilon([event(noise)], delta=1e-5) for noise in noises]
    assert not any(math.isnan(cost) for cost in costs)
    assert costs == sorted(costs, reverse=True)


# -- a campaign of more rounds than memory has room for ----------------------------------------


@pytest.mark.parametrize("rounds", [MOST_ROUNDS + 1, 2**31, 2**53, 2**63])
def test_a_campaign_without_end_is_refused_before_it_is_counted(rounds: int) -> None:
    document = {"unit": "device", "noise": "correlated", "rounds": rounds, "participations": 2}
    with pytest.raises(WireError, match="rounds must be at most"):
        wire.decode(CentralRound, document)


# -- arithmetic in a document's own checks -----------------------------------------------------


def test_arithmetic_that_fails_in_a_check_is_a_refusal() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Share:
        whole: float
        parts: float

        def __post_init__(self) -> None:
            _ = self.whole / self.parts + self.whole**2

    for parts, whole in ((0.0, 1.0), (1.0, 1e200)):
        with pytest.raises(WireError, match="Share"):
            wire.decode(Share, {"whole": whole, "parts": parts})


# -- Arrow: words that are there, and no offsets that say where --------------------------------


def test_words_without_offsets_are_a_damaged_stream() -> None:
    field = arrow._Field(name="site", offsets="<i4")
    batch = arrow._Batch(rows=2, nodes=iter([(2, 0)]), buffers=iter([(0, 0)] * 3), body=b"")
    with pytest.raises(ContractError, match="'site' have no offsets"):
        arrow._column(field, batch)


def test_no_rows_need_no_offsets() -> None:
    table = {"site": nanoarrow.c_array([], nanoarrow.string())}
    kinds = nanoarrow.struct({name: column.schema for name, column in table.items()})
    made = nanoarrow.c_array_from_buffers(kinds, 0, buffers=[None], children=list(table.values()))
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_array(made)
    assert arrow.read_columns(out.getvalue(), known={"site"}, limit=10)["site"].tolist() == []


# -- ONNX: a name that is no text --------------------------------------------------------------


@pytest.mark.parametrize("place", [b"numbers", b"scores"])
def test_a_model_whose_names_are_no_text_is_refused(place: bytes) -> None:
    task = small_task()
    whole = export(task, initial_weights(task), version=1)
    broken = whole.replace(place, b"\xff" * len(place))
    assert onnx.load_model_from_string(whole)
    assert broken != whole
    with pytest.raises(ReleaseError, match="model is refused"):
        check_model_file(broken, what="model")


# -- lengths that are none ---------------------------------------------------------------------

LENGTHS = [b"\xb2", b"\xb9", b"9" * 20, b"9" * 5000, b"1e3", b"+1", b" 1", b"1_0", b"0x1", b"-1", b"?"]


async def nothing() -> dict[str, Any]:
    raise AssertionError("the body was read")


@pytest.mark.parametrize("length", LENGTHS, ids=lambda length: repr(length[:8]))
async def test_a_length_that_is_none_is_answered_before_the_body(length: bytes) -> None:
    scope: dict[str, Any] = {"type": "http", "headers": [(b"content-length", length)]}
    receive: Callable[[], Awaitable[dict[str, Any]]] = nothing
    with pytest.raises(Refused) as refused:
        await Gateway._read(scope, receive, limit=100)
    assert refused.value.status == 413
    with pytest.raises(Problem) as problem:
        await read_at_the_endpoint(scope, receive)
    assert problem.value.status == 413


# -- Flower's list of messages -----------------------------------------------------------------


def test_a_list_of_messages_that_cannot_be_read_is_said_to_be_none() -> None:
    """Whatever Flower's parsers raise: a type that is none, more messages than trees."""
    from simulations.fuzz import device

    good = PullMessagesResponse.FromString(device._heads()[1])
    assert len(read_heads(good)) == 1
    spoiled = PullMessagesResponse.FromString(device._heads()[1])
    spoiled.messages_list[0].metadata.message_type = "no type"
    lonely = PullMessagesResponse(messages_list=good.messages_list)
    treeless = PullMessagesResponse(message_object_trees=[ObjectTree(object_id="x")])
    for answer in (spoiled, lonely, treeless):
        with pytest.raises(WireError, match="cannot be read"):
            read_heads(answer)
